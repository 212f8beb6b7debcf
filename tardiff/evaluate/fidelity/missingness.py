"""What was measured, when, and what together."""

import numpy as np
from numpy.typing import NDArray

from tardiff.evaluate.fidelity.sample import Array, Sample, correlation, ratio


def observed_rate(sample: Sample) -> Array:
    """Share of valid steps at which each channel was observed, [1 + B, C]."""
    valid = sample.sums(sample.split.length.astype(np.float64))
    return sample.sums(sample.split.mask.sum(2, dtype=np.float64)) / valid[:, None]


def observed_rate_by_step(sample: Sample) -> Array:
    """The same at each step, [1 + B, C, T]; NaN at steps that no row reaches."""
    return ratio(sample.sums(sample.split.mask.astype(np.float32)), sample.sums(_valid(sample).astype(np.float32))[:, None])


def co_observation(sample: Sample) -> Array:
    """Correlation of being observed, of each pair of channels over all valid steps (the phi coefficient), [1 + B, pairs]."""
    mask = sample.split.mask.astype(np.float64)
    first, second = np.triu_indices(mask.shape[1], k=1)
    n = sample.sums(_valid(sample).sum(1, dtype=np.float64))[:, None]
    each = sample.sums(mask.sum(2))
    together = sample.sums((mask @ mask.transpose(0, 2, 1))[:, first, second])
    a, b = each[:, first], each[:, second]
    return correlation(np.broadcast_to(n, a.shape), a, b, a, b, together)


def _valid(sample: Sample) -> NDArray[np.bool_]:
    """Whether a step is one of the row's, [n, T]."""
    return np.arange(sample.split.mask.shape[2]) < sample.split.length[:, None]
