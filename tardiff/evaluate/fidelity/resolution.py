"""On which levels values are charted, and how they move from one charted value to the next."""

import numpy as np
from numpy.typing import NDArray

from tardiff.data.dataset import Split
from tardiff.data.resolution import before
from tardiff.evaluate.fidelity.sample import Array, Sample, ratio

GRIDS = {"whole": 1.0, "halves": 0.5, "tenths": 0.1, "fives": 5.0, "tens": 10.0}
"""Levels by name: multiples of a number."""
CLOSE = 1e-4  # to a level, in the channel's unit; float32 adds its own


def on_grid(values: NDArray[np.floating], step: float) -> NDArray[np.bool_]:
    """Whether a value is a multiple of `step`; NaN is none."""
    values = values.astype(np.float64)
    off = np.abs(values - np.rint(values / step) * step)
    return off <= CLOSE + 4 * np.finfo(np.float32).eps * np.abs(values)


def changes(split: Split) -> Array:
    """Absolute change of each charted value from the charted one before it, [N, C, T]; NaN where there are not both."""
    values = split.values.astype(np.float64)
    return np.abs(values - before(values, split.mask == 1))


def grid_shares(sample: Sample) -> Array:
    """Share of the values of each channel that lie on each grid, [1 + B, C, G]."""
    counts = np.stack([on_grid(sample.split.values, step).sum(2) for step in GRIDS.values()], axis=2)
    known = sample.sums(sample.split.mask.sum(2, dtype=np.float64))
    return ratio(sample.sums(counts.astype(np.float64)), known[..., None])


def repeats(sample: Sample) -> Array:
    """Share of exact repeats among the successive charted values of each channel, [1 + B, C]."""
    change = changes(sample.split)
    return ratio(sample.sums((change <= CLOSE).sum(2, dtype=np.float64)), sample.sums(np.isfinite(change).sum(2, dtype=np.float64)))


def mean_change(sample: Sample) -> Array:
    """Mean absolute change between successive charted values of each channel, [1 + B, C], in the channel's unit."""
    change = changes(sample.split)
    return ratio(sample.sums(np.nansum(change, axis=2)), sample.sums(np.isfinite(change).sum(2, dtype=np.float64)))
