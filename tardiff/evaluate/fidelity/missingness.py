"""What was measured, when, and what together."""

import numpy as np
from numpy.typing import NDArray

from tardiff.data.dataset import Split
from tardiff.evaluate.fidelity.sample import Array, Sample, correlation, ratio


def observed_rate(sample: Sample) -> Array:
    """Share of valid steps at which each channel was observed, [1 + B, C]."""
    steps = sample.sums(sample.split.length.astype(np.float64))
    return sample.sums(sample.split.mask.sum(2, dtype=np.float64)) / steps[:, None]


def observed_rate_by_step(sample: Sample) -> Array:
    """The same at each step, [1 + B, C, T]; NaN at steps that no row reaches."""
    return ratio(sample.sums(sample.split.mask.astype(np.float32)), sample.sums(sample.split.valid.astype(np.float32))[:, None])


def never_charted(sample: Sample) -> Array:
    """Share of the rows in which each channel is never observed, [1 + B, C]."""
    never = np.asarray(~sample.split.mask.any(2), np.float64)
    return sample.sums(never) / sample.weights.sum(1, dtype=np.float64)[:, None]


def run_lengths(sample: Sample) -> Array:
    """Shares of the lengths of uninterrupted observation of each channel, [1 + B, C, T]."""
    return _length_shares(sample, sample.split.mask == 1)


def gap_lengths(sample: Sample) -> Array:
    """Shares of the lengths of the gaps of each channel, those at both ends of the record among them, [1 + B, C, T]."""
    return _length_shares(sample, gaps(sample.split))


def total_variation(ours: Array, theirs: Array) -> Array:
    """Half the absolute difference of two distributions over their last axis, 0 to 1."""
    return np.abs(ours - theirs).sum(-1) / 2


def gaps(split: Split) -> NDArray[np.bool_]:
    """The valid steps at which a channel was not observed, [n, C, T]."""
    return (split.mask == 0) & split.valid[:, None]


def stretches(inside: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Length of each stretch of true steps at its last step, 0 at all others, [..., T]."""
    steps = np.arange(inside.shape[-1])
    outside = np.maximum.accumulate(np.where(inside, -1, steps), axis=-1)
    ends = inside & ~np.concatenate([inside[..., 1:], np.zeros_like(inside[..., :1])], axis=-1)
    return np.where(ends, steps - outside, 0)


def co_observation(sample: Sample) -> Array:
    """Correlation of being observed, of each pair of channels over all valid steps (the phi coefficient), [1 + B, pairs]."""
    mask = sample.split.mask.astype(np.float64)
    first, second = np.triu_indices(mask.shape[1], k=1)
    n = sample.sums(sample.split.valid.sum(1, dtype=np.float64))[:, None]
    each = sample.sums(mask.sum(2))
    together = sample.sums((mask @ mask.transpose(0, 2, 1))[:, first, second])
    a, b = each[:, first], each[:, second]
    return correlation(np.broadcast_to(n, a.shape), a, b, a, b, together)


def _length_shares(sample: Sample, inside: NDArray[np.bool_]) -> Array:
    rows, channels, steps = inside.shape
    length = stretches(inside)
    row, channel, step = np.nonzero(length)
    cell = (row * channels + channel) * steps + length[row, channel, step] - 1
    counts = sample.sums(np.bincount(cell, minlength=rows * channels * steps).reshape(rows, channels, steps).astype(np.float32))
    return ratio(counts, counts.sum(2, keepdims=True))
