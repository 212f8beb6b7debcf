"""How variables go together: correlation at once and over lags, autocorrelation, and mutual information."""

import numpy as np
from numpy.typing import NDArray

from tardiff.evaluate.fidelity.sample import FEWEST, Array, Sample, correlation

LAGS = (1, 2, 4, 8, 12)
CROSS_LAGS = (1, 4)
BINS = 5


def autocorrelation(sample: Sample, lag: int) -> Array:
    """Pooled correlation of a channel's values `lag` steps apart where both are observed, [1 + B, C]."""
    value, mask = sample.standardised
    if lag >= value.shape[2]:
        return np.full((len(sample.weights), value.shape[1]), np.nan)
    both = mask[..., lag:] * mask[..., :-lag]
    a, b = value[..., :-lag] * both, value[..., lag:] * both
    return correlation(*(sample.sums(product.sum(-1)) for product in (both, a, b, a * a, b * b, a * b)))


def correlations(sample: Sample) -> Array:
    """Correlation of each pair of channels over the steps at which both are observed, [1 + B, pairs]."""
    return _pairs(sample, 0, *np.triu_indices(sample.split.values.shape[1], k=1))


def cross_correlations(sample: Sample, lag: int) -> Array:
    """Correlation of each channel with each other one `lag` steps later, [1 + B, ordered pairs]."""
    channels = sample.split.values.shape[1]
    return _pairs(sample, lag, *np.nonzero(~np.eye(channels, dtype=bool)))


def mutual_information(sample: Sample, cuts: list[NDArray[np.float64]]) -> Array:
    """Normalised mutual information I / sqrt(H H') of each pair of channels at steps where both are observed, [1 + B, pairs].

    Strehl & Ghosh, JMLR 2002. 0 is independence, 1 is one telling the other; values fall into bins between `cuts`. NaN below
    `FEWEST` steps or where one never changes its bin.
    """
    values, mask = sample.split.values, sample.split.mask.astype(bool)
    level = np.stack([np.searchsorted(cut, values[:, c], side="right") for c, cut in enumerate(cuts)], axis=1)
    pairs = zip(*np.triu_indices(values.shape[1], k=1), strict=True)
    found = [_information(sample, level[:, a], level[:, b], mask[:, a] & mask[:, b]) for a, b in pairs]
    return np.stack(found, axis=1) if found else np.empty((len(sample.weights), 0))


def quantile_cuts(sample: Sample) -> list[NDArray[np.float64]]:
    """The cuts between fifths of each channel's observed values."""
    values, mask = sample.split.values, sample.split.mask == 1
    shares = np.linspace(0, 1, BINS + 1)[1:-1]
    return [np.quantile(values[:, c][mask[:, c]], shares) if mask[:, c].any() else np.zeros(BINS - 1) for c in range(values.shape[1])]


def _information(sample: Sample, a: NDArray[np.intp], b: NDArray[np.intp], both: NDArray[np.bool_]) -> Array:
    """Of one pair of channels, [1 + B]."""
    row, step = np.nonzero(both)
    cell = (row * BINS + a[row, step]) * BINS + b[row, step]
    counts = np.bincount(cell, minlength=len(both) * BINS**2).reshape(-1, BINS, BINS)
    joint = sample.sums(counts.astype(np.float32))
    total = joint.sum((1, 2))
    joint = joint / np.maximum(total, 1)[:, None, None]
    first, second, together = _entropy(joint.sum(2)), _entropy(joint.sum(1)), _entropy(joint.reshape(len(joint), -1))
    defined = (total >= FEWEST) & (first * second > 1e-12)
    return np.where(defined, (first + second - together) / np.sqrt(np.where(defined, first * second, 1)), np.nan)


def _entropy(p: Array) -> Array:
    return -(p * np.log(np.where(p > 0, p, 1))).sum(1)


def _pairs(sample: Sample, lag: int, first: NDArray[np.intp], second: NDArray[np.intp]) -> Array:
    value, mask = sample.standardised
    if lag >= value.shape[2]:
        return np.full((len(sample.weights), len(first)), np.nan)
    end = value.shape[2] - lag

    def pairs(left: Array, right: Array) -> Array:
        return sample.sums((left[..., :end] @ right[..., lag:].transpose(0, 2, 1))[:, first, second])

    squares = value * value
    return correlation(
        pairs(mask, mask), pairs(value, mask), pairs(mask, value), pairs(squares, mask), pairs(mask, squares), pairs(value, value)
    )
