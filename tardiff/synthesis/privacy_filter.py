"""Dropping samples that lie closer to a training row than real strangers do, and drawing others in their place."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tardiff.base.noise import row_seeds
from tardiff.data.dataset import Dataset, Split
from tardiff.errors import TardiffError
from tardiff.evaluate.opening import check_made_from
from tardiff.evaluate.privacy.closest import SAME, closest
from tardiff.model.pipeline import RecordGenerator, Samples

HELD_OUT = ("validation", "test")
ROUNDS = 20
Draw = Callable[[NDArray[np.int64], list[int]], Samples]


@dataclass(frozen=True)
class Dropped:
    """What a filter did.

    Attributes:
        count: samples that were dropped, replacements among them.
        drawn: samples that were drawn in all.
        distance: from a training row, in model space; nearer samples were dropped.
        data: content hash of the real data set.
    """

    count: int
    drawn: int
    distance: float
    data: str

    def __str__(self) -> str:
        return (
            f"privacy filter: dropped {self.count:,} of {self.drawn:,} samples drawn: closer to a training row than "
            f"{self.distance:.3g}, the closest held-out row; replaced by others"
        )


@dataclass(frozen=True)
class PrivacyFilter:
    """Keeps synthetic rows as far from the training rows as real held-out rows are.

    The rule: with d the smallest distance of a held-out row (validation and test) to its nearest training row, a sample
    whose nearest training row is nearer than d is dropped. Held-out rows that are a training row (an empty record, say) do
    not lower d; a sample that is one is dropped. Distances are those of `tardiff evaluate`: Euclidean in model space, over
    values and mask.

    Attributes:
        pipeline: the generator.
        train: training rows in its model space, [m, 2 C T].
        distance: d.
        data: content hash of the real data set.
    """

    pipeline: RecordGenerator
    train: Tensor
    distance: float
    data: str

    @classmethod
    def of(cls, data: Dataset, pipeline: RecordGenerator) -> "PrivacyFilter":
        """The filter that real rows define.

        Args:
            data: what the generator learnt, with a held-out split.
            pipeline: the generator.

        Raises:
            TardiffError: the generator was made from other data, or no row is held out.
        """
        check_made_from("--privacy-filter: RUN", pipeline.card.data_hash, data)
        held = [data.splits[name] for name in HELD_OUT if name in data.splits and len(data.splits[name])]
        if not held:
            raise TardiffError("--privacy-filter: the data set has no held-out rows (a validation or test split) to measure by")
        train, strangers = (pipeline.codec.encode(rows).flatten(1) for rows in (data.train, Split.concatenate(held)))
        distance = closest(strangers, train)
        least = float(distance[distance >= SAME].min(initial=np.inf))
        return cls(pipeline, train, least if np.isfinite(least) else SAME, data.completed().manifest.content_hash)

    def too_close(self, samples: Samples) -> NDArray[np.bool_]:
        """Whether each sample breaks the rule, [N]."""
        rows = self.pipeline.codec.encode(self.pipeline.dataset(samples, {}).train)
        return closest(rows.flatten(1), self.train) < self.distance

    def refilled(self, samples: Samples, seeds: list[int], seed: int, draw: Draw) -> tuple[Samples, list[int], Dropped]:
        """The samples that may stay, where they are, and in the place of the others samples of the same labels and further seeds.

        Args:
            samples: [N].
            seeds: of rows 0 .. N - 1 of `seed`.
            seed: the user's.
            draw: samples of given labels and seeds.

        Returns:
            Samples [N], the seed of each, and what was dropped.

        Raises:
            TardiffError: the generator goes on drawing what must be dropped.
        """
        place = np.arange(len(seeds))  # of each sample, among all that were drawn
        bad = np.flatnonzero(self.too_close(samples))
        dropped = len(bad)
        for _ in range(ROUNDS):
            if not len(bad):
                summary = Dropped(dropped, len(seeds), self.distance, self.data)
                return samples.take(place), [seeds[row] for row in place], summary
            rows = np.arange(len(seeds), len(seeds) + len(bad))
            others = draw(samples.label[place[bad]], row_seeds(seed, rows))
            samples, seeds = samples.join(others), seeds + row_seeds(seed, rows)
            place[bad] = rows
            bad = bad[self.too_close(others)]
            dropped += len(bad)
        raise TardiffError(
            f"--privacy-filter: {dropped:,} of {len(seeds):,} samples drawn were closer to a training row than any held-out row is; "
            "the generator repeats its training rows: train it for fewer steps, or on more rows"
        )
