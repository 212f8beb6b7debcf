"""One cell of a comparison: one way of training with one seed, from the generator to the figures of the judged rows."""

import time
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tardiff.base.noise import stream
from tardiff.base.threads import one_thread
from tardiff.classifier.folder import fit_guide, guide_seeds
from tardiff.compare.baselines import BASELINES
from tardiff.compare.metrics import METRICS
from tardiff.data.codec import Codec
from tardiff.data.dataset import Dataset, Split
from tardiff.data.labels import labels_to_add
from tardiff.data.subgroups import Rule
from tardiff.evaluate.bootstrap import Resamples, packed
from tardiff.evaluate.cache import Arrays, Cache
from tardiff.evaluate.judges import Rows
from tardiff.evaluate.metrics import auprc
from tardiff.evaluate.pool import Fit, run_fits
from tardiff.evaluate.row_sets import Part, Parts, RowSets
from tardiff.evaluate.train_and_judge import best_of, judge_fit, judged
from tardiff.model.budget import training_settings
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.model.training import train
from tardiff.settings import CompareSettings, GuidanceSettings
from tardiff.synthesis.run import synthesise

CHOOSERS = {"gru": ("trees", "logistic")}
"""Judges that stand for a slow one where a number of synthetic rows is chosen; every other one chooses for itself."""


@dataclass
class Comparison:
    """What every cell of a comparison reads.

    Attributes:
        data: `train` to learn from and `validation` to stop on and to choose by.
        judged: the rows that judge; nothing is fitted on them or chosen by them.
        settings: models, ways and ratios.
        work: folder that keeps generators and fits while the comparison is in progress.
        groups: subgroups of the judged rows by name, all of them first.
        run, refined: generators trained already, shared by all seeds; without `run` each seed trains its own.
        drawn: the synthetic rows that were drawn last, by method and seed; several models share them.
    """

    data: Dataset
    judged: Split
    settings: CompareSettings
    work: Path
    groups: dict[str, Rule]
    run: TarDiffPipeline | None = None
    refined: TarDiffPipeline | None = None
    drawn: dict[tuple[str, int], Rows] = field(default_factory=dict)

    @cached_property
    def codec(self) -> Codec:
        """Fitted on the training rows; every model reads every row through it."""
        return Codec.fit(self.data.train, self.data.manifest)

    @cached_property
    def sets(self) -> RowSets:
        """Rows to learn from, to stop on and to judge, as models read them."""
        splits = {"train": self.data.train, "validation": self.data.split("validation"), "judged": self.judged}
        return RowSets({role: Rows.of(split, self.codec) for role, split in splits.items()})

    @cached_property
    def resamples(self) -> Resamples:
        """Of the judged patients, the same in every cell, so that cells pair."""
        return Resamples.draw(self.judged.subject_id, self.settings.bootstrap, stream("compared patients", self.settings.seed))

    def cell(self, method: str, seed: int) -> dict[str, Any]:
        """Train one way with one seed: figures of the judged rows, and what was chosen on validation rows."""
        start = time.perf_counter()
        learn: Parts = (Part("learnt"),)
        chosen: dict[str, Any] = {}
        with one_thread():
            if method in BASELINES:
                rows, balanced = BASELINES[method](self.sets.rows["train"], self.codec, seed)
                sets = self.sets.adding(learnt=rows)
            else:
                sets, learn, chosen = self.augmented(method, seed)
                balanced = False
            fit = self._fit(self.settings.model, learn, seed, sets, balanced)
            probability = self._run([fit], sets)[fit]["both"]
        validation = sets.rows["validation"].label
        plain = auprc(validation, probability[: len(validation)], np.ones((1, len(validation)), np.float32))
        return {
            "validation_auprc": float(plain[0]),
            "rows": sets.count(learn),
            **chosen,
            "groups": {name: self._figures(rule(self.judged), probability[len(validation) :]) for name, rule in self.groups.items()},
            "seconds": round(time.perf_counter() - start, 1),
        }

    def augmented(self, method: str, seed: int) -> tuple[RowSets, Parts, dict[str, Any]]:
        """Real rows with the number of synthetic ones at which the model does best on validation rows."""
        counts = np.bincount(self.data.train.label, minlength=2)
        pool = self.pool(method, seed, labels_to_add(counts, max(self.settings.ratios), both=True))
        sets = self.sets.adding(pool=pool)
        choices = list(product(self.settings.ratios, (False, True)))
        learns = [(Part("train"), Part.of("pool", first_of(pool.label, labels_to_add(counts, *choice)))) for choice in choices]
        judges = CHOOSERS.get(self.settings.model, (self.settings.model,))
        candidates = [[self._fit(judge, learn, seed, sets) for judge in judges] for learn in learns]
        done = self._run([fit for fits in candidates for fit in fits], sets)
        best = best_of(candidates, done, sets.rows["validation"].label)
        return sets, learns[best], dict(zip(("ratio", "both"), choices[best], strict=True))

    def pool(self, method: str, seed: int, label: NDArray[np.int64]) -> Rows:
        """Synthetic rows of the given labels; the same noise for every method."""
        if (method, seed) in self.drawn:
            return self.drawn[method, seed]
        guided = method == "guided"
        pipeline = self.generator(seed) if method != "refined" else self.refined
        assert pipeline is not None  # the comparison leaves `refined` out where there is none
        made = synthesise(
            pipeline,
            len(label),
            classifier=fit_guide(self.data, pipeline.codec, guide_seeds(seed, 1)[0]) if guided else (),
            guidance=GuidanceSettings() if guided else GuidanceSettings(guidance="none"),
            label=label,
            seed=seed,
            progress=False,
        )
        self.drawn = {(method, seed): Rows.of(made.dataset.train, self.codec)}
        return self.drawn[method, seed]

    def generator(self, seed: int) -> TarDiffPipeline:
        """The generator that was given, or one trained on the training rows from this seed."""
        if self.run is not None:
            return self.run
        path = self.work / f"generator-{seed}"
        if path.exists():
            return TarDiffPipeline.from_pretrained(path)
        data = Dataset(self.data.manifest, {"train": self.data.train}).completed()
        settings = training_settings(len(data.train), data.manifest.steps, self.settings.budget_minutes, seed)
        return train(data, path, settings, progress=False)

    def _fit(self, judge: str, learn: Parts, seed: int, sets: RowSets, balanced: bool = False) -> Fit:
        validation = (Part("validation"),)
        ask = {"validation": validation, "both": (*validation, Part("judged"))}
        return judge_fit(judge, learn, validation, ask, seed, sets, balanced=balanced)

    def _run(self, fits: list[Fit], sets: RowSets) -> dict[Fit, Arrays]:
        return run_fits(fits, sets, self.settings.workers, Cache(self.work / "fits"), progress=False)

    def _figures(self, rows: NDArray[np.bool_], score: NDArray[np.float64]) -> dict[str, Any]:
        """Size of a group and, by metric, the value in every resample (the first one is the rows as they are)."""
        label = self.judged.label[rows]
        draws = {name: d[:, 0] for name, d in judged(label, score[None, rows], self.resamples.within(rows), METRICS).items()}
        return {
            "n": int(rows.sum()),
            "positives": int(label.sum()),
            "values": {name: round(float(d[0]), 5) if np.isfinite(d[0]) else None for name, d in draws.items()},
            "draws": {name: packed(d) for name, d in draws.items()},
        }


def first_of(label: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.intp]:
    """Rows of a pool, the first ones of each class, so many as are wanted of it."""
    counts = np.bincount(wanted, minlength=int(label.max()) + 1)
    return np.concatenate([np.flatnonzero(label == c)[:n] for c, n in enumerate(counts)])
