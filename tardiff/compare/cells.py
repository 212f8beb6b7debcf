"""One cell of a comparison: one way of training with one seed, from the generator to the figures of the judged rows."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tardiff.base.noise import stream
from tardiff.base.threads import one_thread
from tardiff.classifier.folder import fit_guide, guide_seeds
from tardiff.compare.baselines import BASELINES
from tardiff.compare.metrics import CALIBRATED, METRICS
from tardiff.compare.received import Tuning
from tardiff.data.codec import Codec
from tardiff.data.dataset import Dataset, Split
from tardiff.data.labels import labels_to_add
from tardiff.data.subgroups import Rule
from tardiff.evaluate.bootstrap import Draws, Resamples, packed
from tardiff.evaluate.cache import Arrays, Cache
from tardiff.evaluate.calibration import RECALIBRATIONS
from tardiff.evaluate.judges import PLAIN, Rows, Variant
from tardiff.evaluate.metrics import auprc
from tardiff.evaluate.pool import Fit, run_fits
from tardiff.evaluate.row_sets import Part, Parts, RowSets
from tardiff.evaluate.train_and_judge import judge_fit, judged
from tardiff.model.budget import training_settings
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.model.training import train
from tardiff.settings import CompareSettings, GuidanceSettings
from tardiff.synthesis.run import synthesise

CHOOSERS = {"gru": ("trees", "logistic")}
"""Judges that stand for a slow one where a number of synthetic rows is chosen; every other one chooses for itself."""


@dataclass(frozen=True)
class Candidate:
    """Rows and settings that a method may train with; `told` says which they are."""

    learn: Parts
    variant: Variant | Tuning = PLAIN
    told: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Round:
    """One look at a candidate: it learns from its rows, of the real ones only from some, and predicts others.

    Attributes:
        ask: rows to choose by, which it does not learn from.
        learn: row numbers of `train` that it may learn from; None for all, whose model also predicts the rows that judge.
    """

    ask: Parts
    learn: NDArray[np.intp] | None = None


@dataclass
class Comparison:
    """What every cell of a comparison reads.

    Attributes:
        data: `train` to learn from and `validation` to choose by.
        judged: the rows that judge; nothing is fitted on them or chosen by them.
        work: folder that keeps generators and fits while the comparison is in progress.
        groups: subgroups of the judged rows by name, all of them first.
        run, refined: generators trained already, shared by all seeds; without `run` each seed trains its own.
        drawn: the synthetic rows that were drawn last, by method and seed; several models share them.
        tuned_first: rows are added to the model that real rows alone tune (`alone`), not to the model with its own settings.
        alone: the method that tunes the model on real rows alone.
        tuned: number of the settings that `alone` chose, by judge and seed.
    """

    data: Dataset
    judged: Split
    settings: CompareSettings
    work: Path
    groups: dict[str, Rule]
    run: TarDiffPipeline | None = None
    refined: TarDiffPipeline | None = None
    drawn: dict[tuple[str, int], Rows] = field(default_factory=dict)
    tuned_first: bool = False
    alone: ClassVar[str] = "tuned"
    tuned: dict[tuple[str, int], int] = field(default_factory=dict)

    @cached_property
    def codec(self) -> Codec:
        """Fitted on the training rows; every model reads every row through it."""
        return Codec.fit(self.data.train, self.data.manifest)

    @cached_property
    def sets(self) -> RowSets:
        """Rows to learn from, to choose by and to judge, as models read them."""
        splits = {"train": self.data.train, "validation": self.data.split("validation"), "judged": self.judged}
        return RowSets({role: Rows.of(split, self.codec) for role, split in splits.items()})

    @cached_property
    def resamples(self) -> Resamples:
        """Of the judged patients, the same in every cell, so that cells pair."""
        return Resamples.draw(self.judged.subject_id, self.settings.bootstrap, stream("compared patients", self.settings.seed))

    @property
    def train_counts(self) -> dict[str, int]:
        """Real rows to learn from, and how many of them are positive."""
        return {"rows": len(self.data.train), "positives": int(self.data.train.label.sum())}

    def cell(self, method: str, seed: int) -> dict[str, Any]:
        """Train one way with one seed, as validation rows choose: figures of the judged rows, and what was chosen."""
        start = time.perf_counter()
        with one_thread():
            sets, candidates = self.candidates(method, seed)
            chosen = candidates[self._best(candidates, seed, sets, self._choosers(candidates))]
            variant = self.variant(self.settings.model, chosen, seed)
            told = {"settings": variant.tuned} if self.tuned_first and isinstance(variant, Variant) else {}
            label, validation, judged_on = self._predicted(chosen, seed, sets)
        scores = {"": judged_on} | {f"_{name}": recalibrate(label, validation, judged_on) for name, recalibrate in RECALIBRATIONS.items()}
        return {
            "validation_auprc": _auprc(label, validation),
            "rows": sets.count(chosen.learn),
            "candidates": len(candidates),
            "chosen": chosen.told | told,
            "groups": {name: self._figures(rule(self.judged), scores) for name, rule in self.groups.items()},
            "seconds": round(time.perf_counter() - start, 1),
        }

    def candidates(self, method: str, seed: int) -> tuple[RowSets, list[Candidate]]:
        """The rows and settings that validation rows choose from; every method but `none` has as many."""
        choices = list(product(self.settings.ratios, (False, True)))
        train: Parts = (Part("train"),)
        if method == "none":
            return self.sets, [Candidate(train)]
        if method == "tuned":
            return self.sets, [Candidate(train, Variant(tuned=k), {"settings": k}) for k in range(len(choices))]
        strengths = [(k + 1) / len(choices) for k in range(len(choices))]
        if method == "class_weight":
            return self.sets, [Candidate(train, Variant(balance=strength), {"strength": strength}) for strength in strengths]
        if method in BASELINES:
            real = self.sets.rows["train"]
            made = {f"learnt-{k}": BASELINES[method](real, strength, seed) for k, strength in enumerate(strengths)}
            found = zip(made, strengths, strict=True)
            return self.sets.adding(**made), [Candidate((Part(role),), told={"strength": strength}) for role, strength in found]
        counts = np.bincount(self.data.train.label, minlength=2)
        pool = self.pool(method, seed, labels_to_add(counts, max(self.settings.ratios), both=True))
        added = [(Part("train"), Part.of("pool", first_of(pool.label, labels_to_add(counts, *choice)))) for choice in choices]
        told = [dict(zip(("ratio", "both"), choice, strict=True)) for choice in choices]
        return self.sets.adding(pool=pool), [Candidate(learn, told=of_it) for learn, of_it in zip(added, told, strict=True)]

    def rounds(self, candidate: Candidate, seed: int, sets: RowSets) -> list[Round]:
        """How a candidate is looked at: once, on validation rows."""
        return [Round((Part("validation"),))]

    def variant(self, judge: str, candidate: Candidate, seed: int) -> Variant | Tuning:
        """How a judge learns from the rows of a candidate."""
        if not self.tuned_first or all(part == Part("train") for part in candidate.learn):
            return candidate.variant
        if (judge, seed) not in self.tuned:
            sets, settings = self.candidates(self.alone, seed)
            self.tuned[judge, seed] = self._best(settings, seed, sets, (judge,))
        return Variant(tuned=self.tuned[judge, seed])

    def _choosers(self, candidates: list[Candidate]) -> tuple[str, ...]:
        """Judges that choose between candidates; a slow one's own settings are tried with itself alone."""
        own = (self.settings.model,)
        return CHOOSERS.get(self.settings.model, own) if len({candidate.variant for candidate in candidates}) == 1 else own

    def _best(self, candidates: list[Candidate], seed: int, sets: RowSets, judges: tuple[str, ...]) -> int:
        """Number of the candidate with which judges do best on rows to choose by."""
        if len(candidates) == 1:
            return 0
        rounds = [self.rounds(candidate, seed, sets) for candidate in candidates]
        fits = [
            [[self._fit(judge, candidate, part, seed, sets) for part in parts] for judge in judges]
            for candidate, parts in zip(candidates, rounds, strict=True)
        ]
        done = self._run([fit for of_one in fits for of_judge in of_one for fit in of_judge], sets)

        def score(parts: list[Round], of_one: list[list[Fit]]) -> float:
            label = _labels(parts, sets)
            return float(np.mean([_auprc(label, np.concatenate([done[fit]["chosen by"] for fit in of_judge])) for of_judge in of_one]))

        return int(np.argmax([score(parts, of_one) for parts, of_one in zip(rounds, fits, strict=True)]))

    def _predicted(self, chosen: Candidate, seed: int, sets: RowSets) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        """Labels and probabilities of the rows to choose by, [m], by models that did not learn from them; of the judged ones, [n]."""
        rounds = self.rounds(chosen, seed, sets)
        fits = [self._fit(self.settings.model, chosen, part, seed, sets) for part in rounds]
        whole = fits[0] if rounds[0].learn is None else self._fit(self.settings.model, chosen, Round(()), seed, sets)
        done = self._run([*fits, whole], sets)
        return _labels(rounds, sets), np.concatenate([done[fit]["chosen by"] for fit in fits]), done[whole]["judged"]

    def pool(self, method: str, seed: int, label: NDArray[np.int64]) -> Rows:
        """Synthetic rows of the given labels; the same noise for every method."""
        if (method, seed) not in self.drawn:
            made = synthesise(n=len(label), label=label, seed=seed, progress=False, **self.steered(method, seed))
            self.drawn = {(method, seed): Rows.of(made.dataset.train, self.codec)}
        return self.drawn[method, seed]

    def steered(self, method: str, seed: int) -> dict[str, Any]:
        """What draws a method's rows, and what steers it, as `synthesise` takes them."""
        if method == "guided":
            pipeline = self.generator(seed)
            return {"pipeline": pipeline, "classifier": fit_guide(self.data, pipeline.codec, guide_seeds(seed, 1)[0])}
        return {"pipeline": self.refined if method == "refined" else self.generator(seed), "guidance": GuidanceSettings(guidance="none")}

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

    def _fit(self, judge: str, candidate: Candidate, part: Round, seed: int, sets: RowSets) -> Fit:
        variant = self.variant(judge, candidate, seed)
        assert isinstance(variant, Variant)  # a received classifier is the ladder's
        learn, ask = self._told(candidate, part)
        return judge_fit(judge, learn, ask, seed, sets, variant)

    def _told(self, candidate: Candidate, part: Round) -> tuple[Parts, dict[str, Parts]]:
        """The rows that a candidate learns from in a round, and those that it is asked about, by name."""
        ask = {"chosen by": part.ask} if part.ask else {}
        if part.learn is None:
            return candidate.learn, ask | {"judged": (Part("judged"),)}
        some = Part.of("train", part.learn)
        return tuple(some if of == Part("train") else of for of in candidate.learn), ask

    def _run(self, fits: list[Fit], sets: RowSets) -> dict[Fit, Arrays]:
        return run_fits(fits, sets, self.settings.workers, Cache(self.work / "fits"))

    def _figures(self, rows: NDArray[np.bool_], scores: Mapping[str, NDArray[np.float64]]) -> dict[str, Any]:
        """Size of a group and, by metric with the ending of its scores ("" as the model gives them), the value in every resample."""
        label, resamples = self.judged.label[rows], self.resamples.within(rows)
        draws: dict[str, Draws] = {}
        for ending, score in scores.items():
            found = judged(label, score[None, rows], resamples, {name: METRICS[name] for name in (CALIBRATED if ending else METRICS)})
            draws |= {f"{name}{ending}": of_one_fit[:, 0] for name, of_one_fit in found.items()}
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


def _labels(rounds: list[Round], sets: RowSets) -> NDArray[np.int64]:
    return np.concatenate([sets.take(part.ask).label for part in rounds])


def _auprc(label: NDArray[np.int64], score: NDArray[np.float64]) -> float:
    return float(auprc(label, score, np.ones((1, len(label)), np.float32))[0])
