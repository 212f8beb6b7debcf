"""The ladder of another site: what a hospital with few labelled stays can do with what another one sends.

Rows of every way are read through the codec that comes with the generator. What is chosen (settings, how many synthetic rows, of which
class) is chosen by cross-validation over the local rows; the rows that judge choose nothing. Every way that adds rows trains the model
with the settings that local rows alone choose, so that what they gain by tuning, the others gain too. Samples are drawn once, so the rows
that guided them or that the generator was adapted to are among those that choose between numbers of them.
"""

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from tardiff.base.noise import stream
from tardiff.classifier.folder import ClassifierFolder
from tardiff.compare.cells import Candidate, Comparison, Round, first_of
from tardiff.compare.received import RATES, Tuning, received_fit
from tardiff.data.codec import Codec
from tardiff.data.dataset import Dataset, Split
from tardiff.data.holdout import folds, with_held_out
from tardiff.errors import InputError
from tardiff.evaluate.judges import Rows, Variant
from tardiff.evaluate.pool import Fit
from tardiff.evaluate.row_sets import Part, Parts, RowSets
from tardiff.guidance.influence import cosine
from tardiff.model.adaptation import NotBetterError, adapt
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.settings import AdaptSettings, GuidanceSettings, SiteSettings
from tardiff.synthesis.run import aimed
from tardiff.synthesis.selection import best_of_each_class, influence_scores

FOLDS = 5
RICH = 0.2
"""Share of positives in synthetic rows, or twice the local share if that is more, beside the local share itself."""
ALONE = "-alone"
CURVE = "local@"
"""Begins the name of a point of the learning curve; its rows follow."""
FEWEST = 3
"""Positive rows with which the curve begins."""


@dataclass(kw_only=True)
class Ladder(Comparison):
    """What every cell of a ladder reads.

    Attributes:
        data: local rows, all of them in `train`.
        classifier: the other site's, in the generator's space.
        real: the other site's own rows, which a receiver does not have; None leaves them out.
        sites: how many local rows may be read, and how samples are drawn.
    """

    run: TarDiffPipeline
    classifier: ClassifierFolder
    real: Split | None = None
    sites: SiteSettings
    tuned_first: bool = True
    alone: ClassVar[str] = "local"

    @cached_property
    def codec(self) -> Codec:
        """The generator's."""
        return self.run.codec

    @cached_property
    def sets(self) -> RowSets:
        """All local rows and those that judge."""
        return RowSets({"train": Rows.of(self.data.train, self.codec), "judged": Rows.of(self.judged, self.codec)})

    @cached_property
    def real_rows(self) -> Rows:
        """The other site's own rows."""
        assert self.real is not None  # the comparison leaves such ways out where there are none
        return Rows.of(self.real, self.codec)

    @cached_property
    def received(self) -> Path:
        """Where the classifier stands for the processes that fit."""
        path = self.work / "classifier"
        if not path.exists():
            self.classifier.save(path)
        return path

    @property
    def budget(self) -> int:
        """Local rows that a way may read."""
        return self.sites.local or len(self.data.train)

    @property
    def train_counts(self) -> dict[str, int]:
        """Local rows to learn from, and how many of them are positive, to one."""
        return {"rows": self.budget, "positives": round(float(self.data.train.label.mean()) * self.budget)}

    def curve(self, seeds: Sequence[int]) -> dict[int, str]:
        """Sizes of the learning curve of local rows alone, ascending, and the way that has each; all are large enough with every seed."""
        everything = len(self.data.train)
        sizes = {self.budget // 4, self.budget // 2, everything}
        sizes |= {self.budget * 2**k for k in range(32) if self.budget * 2**k <= everything}
        share = float(self.data.train.label.mean())
        ways = {n: "local" if n == self.budget else f"{CURVE}{n}" for n in sorted(sizes) if n * min(share, 1 - share) >= FEWEST}
        return {n: way for n, way in ways.items() if all(self.most_folds(way, seed) >= 2 for seed in seeds)}

    def local(self, method: str, seed: int) -> NDArray[np.intp]:
        """Numbers of the local rows that a way reads with a seed; those of fewer rows are among those of more."""
        count = int(method.removeprefix(CURVE)) if method.startswith(CURVE) else self.budget
        return np.sort(evenly(self.data.train.label, seed)[:count])

    def most_folds(self, method: str, seed: int) -> int:
        """Patients of the rarer class among the local rows of a way."""
        rows = self.local(method, seed)
        return rarest(self.data.train.label[rows], self.data.train.subject_id[rows])

    def candidates(self, method: str, seed: int) -> tuple[RowSets, list[Candidate]]:
        """The settings, or the rows beside the settings that `local` chose, to choose from: as many for every way that has a choice."""
        rows = self.local(method, seed)
        subject = {"train": self.data.train.subject_id[rows]}
        sets = RowSets({"train": self.sets.rows["train"].take(rows), "judged": self.sets.rows["judged"]}, subject)
        kind, local = method.removesuffix(ALONE), () if method.endswith(ALONE) else (Part("train"),)
        count = 2 * len(self.settings.ratios)
        if kind.startswith("local"):
            return sets, [Candidate((Part("train"),), Variant(tuned=k), {"settings": k}) for k in range(count)]
        if kind == "as-is":
            return sets, [Candidate((), Tuning("as-is"))]
        if kind == "recalibrated":
            return sets, [Candidate((Part("train"),), Tuning("recalibrated"))]
        if kind == "fine-tuned":
            tunings = list(product((True, False), np.geomspace(*RATES, count // 2).tolist()))
            told = [{"learning_rate": rate, "last_layer_only": head} for head, rate in tunings]
            made = [Candidate((Part("train"),), Tuning("fine-tuned", rate, head)) for head, rate in tunings]
            return sets, [replace(one, told=of_it) for one, of_it in zip(made, told, strict=True)]
        if kind in ("real", "selected"):
            return sets.adding(real=self.real_rows), list(self._of_real(kind, local, seed, count))
        wanted = self.wanted(float(sets.rows["train"].label.mean()))
        pool = self.pool(kind, seed, most(wanted))
        told = [{"rows": len(label), "positives": int(label.sum())} for label in wanted]
        added = [(*local, Part.of("pool", first_of(pool.label, label))) for label in wanted]
        return sets.adding(pool=pool), [Candidate(learn, told=of_it) for learn, of_it in zip(added, told, strict=True)]

    def wanted(self, share: float) -> list[NDArray[np.int64]]:
        """Labels of the synthetic rows to choose from, beside local rows of which a share is positive."""
        return [labels(ratio * self.sites.rows, of) for ratio, of in product(self.settings.ratios, (share, max(RICH, 2 * share)))]

    def rounds(self, candidate: Candidate, seed: int, sets: RowSets) -> list[Round]:
        """Cross-validation over the local rows, or one look at them all by what does not learn from them."""
        if Part("train") not in candidate.learn:
            return [Round((Part("train"),))]
        label, subject = sets.rows["train"].label, sets.subject["train"]
        parted = list(folds(label, subject, min(FOLDS, rarest(label, subject)), int(stream("ladder folds", seed).integers(2**31))))
        if not parted:
            raise InputError(f"seed {seed}: no part of the {len(label)} local rows leaves both classes on both sides; give more (--local)")
        return [Round((Part.of("train", outside),), np.flatnonzero(inside)) for inside, outside in parted]

    def steered(self, method: str, seed: int) -> dict[str, Any]:
        """What draws a way's rows, and what steers it, as `synthesise` takes them."""
        pipeline, guidance = self.adapted(seed) if method.startswith("adapted") else self.run, self.sites.guidance
        if method == "unguided" or not method.endswith("guided"):
            return {"pipeline": pipeline, "guidance": GuidanceSettings(guidance="none" if method == "unguided" else "classifier-free")}
        served = self.local_data(seed) if guidance.reads_guidance_rows else None
        return {"pipeline": pipeline, "classifier": self.classifier, "guidance": guidance, "guidance_data": served}

    def local_data(self, seed: int) -> Dataset:
        """The local rows that a seed may read, as a data set."""
        rows = self.data.train.take(self.local("local", seed))
        return Dataset(self.data.manifest, {"train": rows}).completed()

    def adapted(self, seed: int) -> TarDiffPipeline:
        """The generator, adapted to the local rows of a seed; as it was, if they do not find that better."""
        path = self.work / f"adapted-{self.budget}-{seed}"
        if not path.exists():
            self.adapt(seed, path)
        return TarDiffPipeline.from_pretrained(path)

    def adapt(self, seed: int, path: Path) -> None:
        """Write it as a folder."""
        try:
            adapt(self.run, with_held_out(self.local_data(seed), seed), path, AdaptSettings(seed=seed), progress=False)
        except NotBetterError:
            print(f"warning: adapted, seed {seed}: --from as it is fits the local rows no worse and is taken", file=sys.stderr)
            self.run.save_pretrained(path)

    def _of_real(self, kind: str, local: Parts, seed: int, count: int) -> Iterator[Candidate]:
        """Shares of each class of the other site's rows: any of them, up to all, or those of highest influence on the local rows."""
        label, parts = self.real_rows.label, count
        if kind == "real":
            score = stream("other site", seed).random(len(label))
        else:
            served, parts = aimed(self.classifier, self.run, self.local_data(seed)), count + 1
            score = influence_scores(cosine(served), torch.tensor(self.real_rows.seen), torch.from_numpy(label))
        for k in range(count):
            share = (k + 1) / parts
            kept = np.ceil(share * np.bincount(label, minlength=2)).astype(np.int64)
            yield Candidate((*local, Part.of("real", best_of_each_class(score, label, kept))), told={"share": round(share, 3)})

    def _fit(self, judge: str, candidate: Candidate, part: Round, seed: int, sets: RowSets) -> Fit:
        if not isinstance(candidate.variant, Tuning):
            return super()._fit(judge, candidate, part, seed, sets)
        return received_fit(self.received, *self._told(candidate, part), seed, sets, candidate.variant)


def rarest(label: NDArray[np.int64], subject: NDArray[np.int64]) -> int:
    """Patients of the class that has fewest, of two; labels and patients of rows, [n]."""
    return min(len(np.unique(subject[label == c])) for c in range(2))


def evenly(label: NDArray[np.int64], seed: int) -> NDArray[np.intp]:
    """Row numbers [n] in a random order in which every beginning has each class in about its share."""
    random, place = stream("local rows", seed), np.empty(len(label))
    for c in np.unique(label):
        rows = random.permutation(np.flatnonzero(label == c))
        place[rows] = (np.arange(len(rows)) + random.uniform()) / len(rows)
    return np.argsort(place, kind="stable")


def most(wanted: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Labels of a pool of which each of the wanted sets is a part; the positive ones first."""
    counts = np.max([np.bincount(label, minlength=2) for label in wanted], axis=0)
    return np.repeat([1, 0], counts[::-1])


def labels(rows: float, share: float) -> NDArray[np.int64]:
    """Labels of about so many rows, of which a share is positive, at least one of each class; the positive ones first."""
    count = max(2, round(rows))
    positives = min(max(1, math.floor(share * count + 0.5)), count - 1)
    return np.repeat([1, 0], [positives, count - positives])
