"""Decoded records as discriminators read them; no codec and no model space has a part in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tardiff.base.scale import scale_of
from tardiff.data.dataset import Split
from tardiff.evaluate.cache import content_hash
from tardiff.evaluate.fidelity.resolution import GRIDS, on_grid
from tardiff.evaluate.fidelity.sample import Sample
from tardiff.evaluate.realism.summaries import summaries

SHOWN_GRIDS = ("whole", "tenths")
"""Grids that the GRU is told of at each step."""


@dataclass(frozen=True)
class Records:
    """Rows of one set.

    Attributes:
        summaries: float32 [N, C, K], as `summaries` gives them.
        series: float32 [N, 5 C, T]: standardised values (0 where unobserved), mask, time since the last observation (of the window),
            and whether the value lies on each of `SHOWN_GRIDS`.
        descriptors: float32 [N, S + 1]: descriptors and label.
        subject: int64 [N].
    """

    summaries: NDArray[np.float32]
    series: NDArray[np.float32]
    descriptors: NDArray[np.float32]
    subject: NDArray[np.int64]

    @classmethod
    def of(cls, split: Split, train: Split) -> "Records":
        """Rows of a split; values are standardised by the real training rows."""
        grids = (on_grid(split.values, GRIDS[name]).astype(np.float64) for name in SHOWN_GRIDS)
        series = [_standardised(split, train), split.mask.astype(np.float64), _since(split), *grids]
        descriptors = np.column_stack([split.static, split.label]).astype(np.float32)
        return cls(summaries(split), np.concatenate(series, axis=1).astype(np.float32), descriptors, split.subject_id)

    @cached_property
    def digest(self) -> str:
        """Hash of all that is in them."""
        return content_hash(self.summaries, self.series, self.descriptors, self.subject)


@dataclass(frozen=True)
class RecordSets:
    """Records by role: `train`, `held-out`, `synthetic/NAME`; equally many of each."""

    rows: Mapping[str, Records]

    @classmethod
    def of(cls, samples: Mapping[str, Sample]) -> "RecordSets":
        """The records of samples by role, of which one is `train`."""
        return cls({role: Records.of(sample.split, samples["train"].split) for role, sample in samples.items()})


def _standardised(split: Split, train: Split) -> NDArray[np.float64]:
    observed = [train.values[:, c][train.mask[:, c] == 1].astype(np.float64) for c in range(train.values.shape[1])]
    mean = np.array([values.mean() if len(values) else 0.0 for values in observed])[:, None]
    sd = np.array([scale_of(values) for values in observed])[:, None]
    return np.where(split.mask == 1, (split.values - mean) / sd, 0)


def _since(split: Split) -> NDArray[np.float64]:
    """Steps since the last observation, as a share of the window; 1 before the first."""
    total = split.mask.shape[2]
    steps = np.arange(total)
    last = np.maximum.accumulate(np.where(split.mask == 1, steps, steps[0] - total), axis=2)
    return np.minimum((steps - last) / total, 1)
