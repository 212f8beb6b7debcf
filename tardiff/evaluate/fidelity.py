"""Fidelity: how far synthetic records look like real ones, each number beside what real data score against real data.

Every statistic is computed from sums over rows, so that a bootstrap of rows is a matrix product of weights and row sums.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ks_2samp, wasserstein_distance

from tardiff.dataset import Dataset, Manifest, Split
from tardiff.evaluate.bootstrap import Draws, estimate, recentred, row_weights
from tardiff.noise import stream

RESAMPLES = 200
MAX_ROWS = 4000  # of each set: more would not change a decimal that is shown
LEVELS = 512  # quantiles at which resampled distributions are compared; point estimates are exact
FEWEST = 30  # observations below which a correlation is not worth a number

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """Rows of one set and their resampling weights [1 + B, n]."""

    split: Split
    weights: NDArray[np.float32]

    def sums(self, by_row: NDArray[np.floating]) -> Array:
        """Weighted sums over rows: [n, ...] to [1 + B, ...]."""
        flat = by_row.reshape(len(by_row), -1)
        return (self.weights.astype(flat.dtype) @ flat).reshape(len(self.weights), *by_row.shape[1:]).astype(np.float64)

    def observed(self, channel: int) -> NDArray[np.float32]:
        """All observed values of a channel, physical units."""
        return self.split.values[:, channel][self.split.mask[:, channel] == 1]


def fidelity(real: Dataset, synthetic: Mapping[str, Dataset], seed: int) -> dict[str, Any]:
    """Compare each synthetic set, and the real held-out rows (the floor), with the real training rows.

    The same number of rows is drawn from every set, so that noise weighs the same in all comparisons.

    Args:
        real: with its three splits.
        synthetic: data sets by name.
        seed: of the rows drawn and the bootstrap.

    Returns:
        `rows`, `resamples`, `floor` and `sets` (by name), each as `compare` gives it.
    """
    others = {"held-out": real.split("test")} | {f"synthetic/{name}": dataset.train for name, dataset in synthetic.items()}
    rows = min([MAX_ROWS, len(real.train), *map(len, others.values())])
    train = _sample(real.train, rows, seed, "train")
    compared = {name: compare(_sample(split, rows, seed, name), train, real.manifest) for name, split in others.items()}
    return {
        "rows": rows,
        "resamples": RESAMPLES,
        "floor": compared["held-out"],
        "sets": {name: compared[f"synthetic/{name}"] for name in synthetic},
    }


def compare(sample: Sample, train: Sample, manifest: Manifest) -> dict[str, Any]:
    """All fidelity numbers of one set against the training rows; `mean` is over channels, of magnitudes.

    - `ks`: Kolmogorov-Smirnov distance of the observed values, 0 to 1, 0 is the same distribution.
    - `wasserstein`: earth mover's distance of the observed values, in real standard deviations, >= 0.
    - `observed_rate`: share of steps observed, set minus train, -1 to 1.
    - `autocorrelation`: of observed values one step apart, set minus train, -2 to 2.
    - `correlation`: mean absolute difference of the channels' correlations (steps where both are observed), 0 to 2.
    - `ordering_violations`: share of adjacent pairs in the manifest's chains that are in the wrong order, 0 to 1; with
      `out_of_limits`, the share of observed values outside their limits, a property of the set alone.
    """
    marginal = [_marginals(sample, train, c) for c in range(len(manifest.channels))]
    by_channel = {
        "ks": np.stack([ks for ks, _ in marginal], axis=1),
        "wasserstein": np.stack([distance for _, distance in marginal], axis=1),
        "observed_rate": _observed_rate(sample) - _observed_rate(train),
        "autocorrelation": _autocorrelation(sample) - _autocorrelation(train),
    }
    n, names = len(sample.split), manifest.channel_names
    return {key: _over_channels(draws, names, n, distance=key in ("ks", "wasserstein")) for key, draws in by_channel.items()} | {
        "correlation": estimate(recentred(_mean(np.abs(_correlations(sample) - _correlations(train)))), n),
        "ordering_violations": estimate(_ordering_violations(sample, manifest), n),
        "out_of_limits": estimate(_out_of_limits(sample, manifest), n),
    }


def _sample(split: Split, rows: int, seed: int, name: str) -> Sample:
    random = stream(f"fidelity/{name}", seed)
    chosen = np.sort(random.permutation(len(split))[:rows])
    return Sample(split.take(chosen), row_weights(rows, RESAMPLES, random))


def _over_channels(draws: Array, names: tuple[str, ...], n: int, distance: bool) -> dict[str, Any]:
    """Draws [1 + B, C] as estimates, by channel and their mean magnitude."""
    settle: Callable[[Draws], Draws] = recentred if distance else lambda d: d
    return {
        "mean": estimate(recentred(_mean(np.abs(draws))), n),
        "by_channel": {name: estimate(settle(draws[:, c]), n) for c, name in enumerate(names)},
    }


def _mean(draws: Array) -> Draws:
    """Mean of what is defined, [1 + B, k] to [1 + B]; NaN if nothing is."""
    defined = np.isfinite(draws)
    return _ratio(np.where(defined, draws, 0).sum(1), defined.sum(1))


def _ratio(part: Array, whole: Array) -> Array:
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1), np.nan)


def _marginals(sample: Sample, train: Sample, channel: int) -> tuple[Draws, Draws]:
    """Kolmogorov-Smirnov and Wasserstein distance of a channel, both [1 + B]."""
    ours, theirs = sample.observed(channel), train.observed(channel)
    if min(len(ours), len(theirs)) == 0:
        undefined = np.full(len(sample.weights), np.nan)
        return undefined, undefined
    levels = np.unique(np.quantile(np.concatenate([ours, theirs]), np.linspace(0, 1, LEVELS), method="inverted_cdf"))
    gap = np.abs(_distribution(sample, channel, levels) - _distribution(train, channel, levels))
    sd = float(theirs.std(dtype=np.float64)) or 1.0
    ks, distance = gap.max(1), ((gap[:, 1:] + gap[:, :-1]) / 2 * np.diff(levels)).sum(1) / sd
    ks[0], distance[0] = ks_2samp(ours, theirs, method="asymp").statistic, wasserstein_distance(ours, theirs) / sd
    return ks, distance


def _distribution(sample: Sample, channel: int, levels: NDArray[np.float32]) -> Array:
    """Empirical distribution function at the levels, [1 + B, L]."""
    row, step = np.nonzero(sample.split.mask[:, channel])
    level = np.searchsorted(levels, sample.split.values[row, channel, step])
    counts = np.bincount(row * len(levels) + level, minlength=len(sample.split) * len(levels))
    upto = sample.sums(counts.reshape(-1, len(levels)).astype(np.float32)).cumsum(1)
    return _ratio(upto, upto[:, -1:])


def _observed_rate(sample: Sample) -> Array:
    """[1 + B, C]."""
    valid = sample.sums(sample.split.length.astype(np.float64))
    return sample.sums(sample.split.mask.sum(2, dtype=np.float64)) / valid[:, None]


def _autocorrelation(sample: Sample) -> Array:
    """Pooled lag-1 correlation of observed neighbours, [1 + B, C]."""
    value, mask = _standardised(sample.split)
    both = mask[..., 1:] * mask[..., :-1]
    a, b = value[..., :-1] * both, value[..., 1:] * both
    return _correlation(*(sample.sums(product.sum(-1)) for product in (both, a, b, a * a, b * b, a * b)))


def _correlations(sample: Sample) -> Array:
    """Correlation of each pair of channels over the steps at which both are observed, [1 + B, pairs]."""
    value, mask = _standardised(sample.split)
    first, second = np.triu_indices(value.shape[1], k=1)

    def pairs(left: Array, right: Array) -> Array:
        return sample.sums((left @ right.transpose(0, 2, 1))[:, first, second])

    squares = value * value
    return _correlation(
        pairs(mask, mask), pairs(value, mask), pairs(mask, value), pairs(squares, mask), pairs(mask, squares), pairs(value, value)
    )


def _standardised(split: Split) -> tuple[Array, Array]:
    """Values with mean 0 and standard deviation 1 a channel (0 where unobserved) and mask; keeps sums of squares exact."""
    mask = split.mask.astype(np.float64)
    value = np.where(split.mask == 1, split.values, 0.0).astype(np.float64)
    count = np.maximum(mask.sum((0, 2), keepdims=True), 1)
    centred = (value - value.sum((0, 2), keepdims=True) / count) * mask
    sd = np.sqrt((centred**2).sum((0, 2), keepdims=True) / count)
    return centred / np.where(sd > 0, sd, 1), mask


def _correlation(n: Array, a: Array, b: Array, aa: Array, bb: Array, ab: Array) -> Array:
    """Pearson correlation from counts and sums; NaN below `FEWEST` observations or for constants."""
    covariance, variance = n * ab - a * b, (n * aa - a * a) * (n * bb - b * b)
    defined = (n >= FEWEST) & (variance > 1e-9 * n**4)
    return np.where(defined, covariance / np.sqrt(np.where(defined, variance, 1)), np.nan)


def _ordering_violations(sample: Sample, manifest: Manifest) -> Draws:
    index = {name: c for c, name in enumerate(manifest.channel_names)}
    pairs = [(index[low], index[high]) for chain in manifest.orderings for low, high in pairwise(chain)]
    values = sample.split.values
    wrong = sum((values[:, low] > values[:, high]).sum(1) for low, high in pairs)  # NaN compares false
    judged = sum((np.isfinite(values[:, low]) & np.isfinite(values[:, high])).sum(1) for low, high in pairs)
    zeros = np.zeros(len(values))
    return _ratio(sample.sums(zeros + wrong), sample.sums(zeros + judged))


def _out_of_limits(sample: Sample, manifest: Manifest) -> Draws:
    low, high = (np.array(edge)[:, None] for edge in zip(*(c.limits for c in manifest.channels), strict=True))
    outside = (sample.split.values < low) | (sample.split.values > high)
    return _ratio(sample.sums(outside.sum((1, 2), dtype=np.float64)), sample.sums(sample.split.mask.sum((1, 2), dtype=np.float64)))
