"""Dropping samples that lie closer to a training row than real strangers do, and drawing others in their place."""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tardiff.base.noise import row_seeds
from tardiff.data.dataset import Dataset, Split
from tardiff.errors import TardiffError
from tardiff.evaluate.opening import check_made_from
from tardiff.evaluate.privacy.closest import SAME, closest, closest_apart
from tardiff.model.pipeline import RecordGenerator, Samples

HELD_OUT = ("validation", "test")
ROUNDS = 20
Draw = Callable[[NDArray[np.int64], list[int]], Samples]
Distances = NDArray[np.float64]


@dataclass(frozen=True)
class Apart:
    """Something of a record's values, and the same of its charting.

    Distances in values are root mean squares over all entries of the filled records, in normal scores; distances in charting are the
    number of entries that are charted in one of two records alone.
    """

    values: Any
    charting: Any


@dataclass(frozen=True)
class Dropped:
    """What a filter did.

    Attributes:
        count: samples that were dropped, replacements among them.
        drawn: samples that were drawn in all.
        near: how many of the dropped ones were too near in values, and in charting.
        quantile: share of strangers that are nearer than the distances.
        distance: in values and in charting; nearer samples were dropped.
        data: content hash of the real data set.
    """

    count: int
    drawn: int
    near: Apart
    quantile: float
    distance: Apart
    data: str

    def __str__(self) -> str:
        near, distance = self.near, self.distance
        return (
            f"privacy filter: dropped {self.count:,} of {self.drawn:,} samples drawn, replaced by others: {near.values:,} nearer to a "
            f"training row in values than {distance.values:.3g} sd an entry, {near.charting:,} nearer in charting than "
            f"{distance.charting:.3g} entries; of held-out rows, a share of {self.quantile:.3g} is nearer than each"
        )


@dataclass(frozen=True)
class PrivacyFilter:
    """Keeps synthetic rows as far from the training rows as real held-out rows are.

    The rule, of values and of charting apart: with d the distance below which a share `quantile` of strangers lie from their nearest
    training row, a sample that is nearer than d to a training row is dropped. Strangers are the held-out rows (validation and test) but
    those that are a training row (an empty record, say).

    Attributes:
        train: training rows in its model space, [m, 2 C, T].
        quantile: share of strangers that are nearer.
        distance: d.
        data: content hash of the real data set.
    """

    pipeline: RecordGenerator
    train: Tensor
    quantile: float
    distance: Apart
    data: str

    @classmethod
    def of(cls, data: Dataset, pipeline: RecordGenerator, quantile: float) -> "PrivacyFilter":
        """The filter that real rows define."""
        if not 0 < quantile <= 0.5:
            raise TardiffError(f"--privacy-quantile {quantile:g}: must be above 0, and at most 0.5")
        check_made_from("--privacy-filter: RUN", pipeline.card.data_hash, data)
        held = [data.splits[name] for name in HELD_OUT if name in data.splits and len(data.splits[name])]
        if not held:
            raise TardiffError("--privacy-filter: the data set has no held-out rows (a validation or test split) to measure by")
        train, strangers = (pipeline.codec.encode(rows) for rows in (data.train, Split.concatenate(held)))
        strangers = strangers[torch.from_numpy(closest(strangers.flatten(1), train.flatten(1)) >= SAME)]
        if quantile * (len(strangers) + 1) < 1:
            raise TardiffError(
                f"--privacy-quantile {quantile:g} needs {ceil(1 / quantile - 1e-9) - 1:,} held-out rows that are no training row, "
                f"there are {len(strangers):,}; give at least {ceil(1000 / (len(strangers) + 1)) / 1000:g}"
            )
        near = distances(strangers, train)
        distance = Apart(max(threshold(near.values, quantile), SAME), threshold(near.charting, quantile))
        return cls(pipeline, train, quantile, distance, data.completed().manifest.content_hash)

    def too_close(self, samples: Samples) -> Apart:
        """Whether each sample breaks the rule in values, and in charting, [N] each."""
        near = distances(self.pipeline.codec.encode(self.pipeline.dataset(samples, {}).train), self.train)
        return Apart(near.values < self.distance.values, near.charting < self.distance.charting)

    def refilled(self, samples: Samples, seeds: list[int], seed: int, draw: Draw) -> tuple[Samples, list[int], Dropped]:
        """The samples that may stay, where they are, and in the place of the others samples of the same labels and further seeds.

        Args:
            samples: [N].
            seeds: of rows 0 .. N - 1 of `seed`.
            draw: samples of given labels and seeds.

        Returns:
            Samples [N], the seed of each, and what was dropped.
        """
        place = np.arange(len(seeds))  # of each sample, among all that were drawn
        near = [self.too_close(samples)]
        bad = np.flatnonzero(_either(near[0]))
        for _ in range(ROUNDS):
            if not len(bad):
                return samples.take(place), [seeds[row] for row in place], self._summary(near, len(seeds))
            rows = np.arange(len(seeds), len(seeds) + len(bad))
            others = draw(samples.label[place[bad]], row_seeds(seed, rows))
            samples, seeds = samples.join(others), seeds + row_seeds(seed, rows)
            place[bad] = rows
            near.append(self.too_close(others))
            bad = bad[_either(near[-1])]
        raise TardiffError(
            f"--privacy-filter: {self._summary(near, len(seeds)).count:,} of {len(seeds):,} samples drawn were closer to a training row "
            f"than all but {self.quantile:.3g} of held-out rows are; the generator repeats its training rows: train it for fewer steps, or "
            "on more rows"
        )

    def _summary(self, near: list[Apart], drawn: int) -> Dropped:
        """What was dropped, from what was too near in each round."""
        by = Apart(*(int(sum(getattr(of, space).sum() for of in near)) for space in ("values", "charting")))
        count = int(sum(_either(of).sum() for of in near))
        return Dropped(count, drawn, by, self.quantile, self.distance, self.data)


def distances(rows: Tensor, train: Tensor) -> Apart:
    """Distance of each row [n, 2 C, T] to its nearest training row [m, 2 C, T], in values and in charting, [n] each."""
    values, charting = closest_apart(rows, train)
    return Apart(values / (rows[0].numel() / 2) ** 0.5, np.rint(charting**2))


def threshold(strangers: Distances, quantile: float) -> float:
    """The distance below which another stranger lies with probability `quantile`, from those of some strangers [n].

    The (n + 1) quantile-th smallest of n exchangeable numbers: whatever n is, a further one is below it with this probability, so the
    rule is neither stricter nor looser where more rows are held out (Vovk et al., Algorithmic Learning in a Random World, 2005, ch. 2).
    """
    return float(np.quantile(strangers, quantile, method="weibull"))


def _either(near: Apart) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = near.values | near.charting
    return found
