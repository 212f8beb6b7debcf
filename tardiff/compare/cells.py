"""One cell of a comparison: one way of training with one seed, from the generator to the figures of the judged rows."""

import base64
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tardiff.augment.generate import CLASSIFIER_GUIDANCE
from tardiff.augment.guides import fit_guides
from tardiff.base.noise import stream
from tardiff.base.threads import one_thread
from tardiff.classifier.folder import ClassifierFolder
from tardiff.compare.baselines import BASELINES
from tardiff.compare.judges import CHOOSERS, fit_judge
from tardiff.compare.metrics import METRICS
from tardiff.data.codec import Codec
from tardiff.data.dataset import Dataset, Split
from tardiff.data.labels import labels_to_add
from tardiff.data.subgroups import Rule
from tardiff.errors import TardiffError
from tardiff.evaluate.bootstrap import group_weights
from tardiff.evaluate.judges import Rows
from tardiff.evaluate.metrics import Metric, auprc, positive_score
from tardiff.model.budget import training_settings
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.model.training import train
from tardiff.settings import CompareSettings, GuidanceSettings
from tardiff.synthesis.run import synthesise

CHUNK = 64


@dataclass
class Bench:
    """What every cell of a comparison reads.

    Attributes:
        data: `train` to learn from and `validation` to stop on and to choose by.
        judged: the rows that judge; nothing is fitted on them or chosen by them.
        settings: models, ways and ratios.
        work: folder that keeps generators while the comparison is in progress.
        groups: subgroups of the judged rows by name.
        run, refined: generators trained already, shared by all seeds; without `run` each seed trains its own.
        kept, pools: guides and synthetic rows by seed, which several models share.
    """

    data: Dataset
    judged: Split
    settings: CompareSettings
    work: Path
    groups: dict[str, Rule] = field(default_factory=dict)
    run: TarDiffPipeline | None = None
    refined: TarDiffPipeline | None = None
    kept: dict[int, list[ClassifierFolder]] = field(default_factory=dict)
    pools: dict[tuple[str, int], Rows] = field(default_factory=dict)

    @cached_property
    def codec(self) -> Codec:
        """Fitted on the training rows; every model reads every row through it."""
        return Codec.fit(self.data.train, self.data.manifest)

    @cached_property
    def rows(self) -> tuple[Rows, Rows, Rows]:
        """Training, validation and judged rows as models read them."""
        return tuple(Rows.of(s, self.codec) for s in (self.data.train, self.data.split("validation"), self.judged))  # type: ignore[return-value]

    @cached_property
    def weights(self) -> NDArray[np.float32]:
        """Resamples of the judged patients, the same in every cell, so that cells pair."""
        return group_weights(self.judged.subject_id, self.settings.bootstrap, stream("compared patients", self.settings.seed))

    def cell(self, method: str, seed: int) -> dict[str, Any]:
        """Train one way with one seed: figures of the judged rows, and what was chosen on validation rows."""
        start = time.process_time()  # others may be busy beside this
        real, validation, judged = self.rows
        chosen: dict[str, Any] = {}
        with one_thread():
            if method in BASELINES:
                learn, balanced = BASELINES[method](real, self.codec, seed)
            else:
                learn, chosen = self.augmented(method, seed)
                balanced = False
            asked = fit_judge(self.settings.model, learn, validation, validation.join(judged), seed, balanced)
        score = positive_score(asked)
        first = len(validation)
        return {
            "validation_auprc": plain(auprc, validation.label, score[:first]),
            "rows": len(learn),
            **chosen,
            "groups": {name: self._figures(rows, score[first:]) for name, rows in self._groups()},
            "seconds": round(time.process_time() - start, 1),
        }

    def augmented(self, method: str, seed: int) -> tuple[Rows, dict[str, Any]]:
        """Real rows with the number of synthetic ones at which the model does best on validation rows."""
        real, validation, _ = self.rows
        counts = np.bincount(real.label, minlength=2)
        pool = self.pool(method, seed, labels_to_add(counts, max(self.settings.ratios), both=True))
        tried = []
        for ratio in self.settings.ratios:
            for both in (False, True):
                learn = real.join(pool.take(first_of(pool.label, labels_to_add(counts, ratio, both))))
                names = CHOOSERS.get(self.settings.model, (self.settings.model,))
                scores = [positive_score(fit_judge(name, learn, validation, validation, seed)) for name in names]
                tried.append((float(np.mean([plain(auprc, validation.label, s) for s in scores])), ratio, both, learn))
        _, ratio, both, learn = max(tried, key=lambda one: one[0])
        return learn, {"ratio": ratio, "both": both}

    def pool(self, method: str, seed: int, label: NDArray[np.int64]) -> Rows:
        """Synthetic rows of the given labels; the same noise for every method."""
        if (method, seed) in self.pools:
            return self.pools[method, seed]
        guided = method == "guided"
        pipeline = self.generator(seed) if method != "refined" else self.refined
        assert pipeline is not None  # the comparison leaves `refined` out where there is none
        made = synthesise(
            pipeline.with_codec(pipeline.codec.always_observed()),
            len(label),
            classifier=self.guides(seed) if guided else (),
            guidance=CLASSIFIER_GUIDANCE if guided else GuidanceSettings(guidance="none"),
            label=label,
            seed=seed,
            progress=False,
        )
        self.pools[method, seed] = Rows.of(made.dataset.train, self.codec)
        return self.pools[method, seed]

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

    def guides(self, seed: int) -> list[ClassifierFolder]:
        """Four classifiers, fitted on training rows and stopped on validation rows; kept for the seed's other cells."""
        if seed not in self.kept:
            self.kept[seed] = fit_guides(None, self.data, self.generator(seed).codec, seed)[0]
        return self.kept[seed]

    def forget(self, seed: int) -> None:
        """Free the memory of a seed that is done."""
        self.kept.pop(seed, None)
        for method, of in list(self.pools):
            if of == seed:
                del self.pools[method, of]

    def _groups(self) -> list[tuple[str, NDArray[np.bool_]]]:
        everyone = np.ones(len(self.judged), dtype=bool)
        return [("all", everyone), *((name, rule(self.judged)) for name, rule in self.groups.items())]

    def _figures(self, rows: NDArray[np.bool_], score: NDArray[np.float64]) -> dict[str, Any]:
        """Size of a group and, by metric, the value in every resample (the first one is the rows as they are)."""
        label, weights = self.judged.label[rows], self.weights[:, rows]
        draws = {name: over_resamples(metric, label, score[rows], weights) for name, metric in METRICS.items()}
        return {
            "n": int(rows.sum()),
            "positives": int(label.sum()),
            "values": {name: round(float(d[0]), 5) if np.isfinite(d[0]) else None for name, d in draws.items()},
            "draws": {name: base64.b64encode(d.astype("<f4").tobytes()).decode() for name, d in draws.items()},
        }


def over_resamples(
    metric: Metric, label: NDArray[np.int64], score: NDArray[np.float64], weights: NDArray[np.float32]
) -> NDArray[np.float64]:
    """A metric in every resample, [1 + B], a part at a time."""
    return np.concatenate([metric(label, score, weights[i : i + CHUNK]) for i in range(0, len(weights), CHUNK)])


def plain(metric: Metric, label: NDArray[np.int64], score: NDArray[np.float64]) -> float:
    """A metric of the rows as they are."""
    return float(metric(label, score, np.ones((1, len(label)), np.float32))[0])


def first_of(label: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.intp]:
    """Rows of a pool, the first ones of each class, so many as are wanted of it."""
    counts = np.bincount(wanted, minlength=int(label.max()) + 1)
    return np.concatenate([np.flatnonzero(label == c)[:n] for c, n in enumerate(counts)])


def draws_of(figures: dict[str, Any], metric: str) -> NDArray[np.float64]:
    """A stored metric in every resample, [1 + B].

    Raises:
        TardiffError: the line was damaged.
    """
    try:
        return np.frombuffer(base64.b64decode(figures["draws"][metric]), "<f4").astype(np.float64)
    except (KeyError, ValueError) as error:
        raise TardiffError(f"results.jsonl: a line lacks the draws of {metric}; remove the line") from error
