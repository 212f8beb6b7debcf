"""Distributions of single variables: over all steps together, and step by step."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ks_2samp, wasserstein_distance

from tardiff.base.scale import scale_of
from tardiff.evaluate.bootstrap import Draws
from tardiff.evaluate.fidelity.sample import Array, Entries, Sample, mean, observed, ratio

LEVELS = 512  # quantiles at which resampled distributions are compared; point estimates are exact
LEVELS_A_STEP = 64
MOST_STEPS = 12  # at which distributions are compared, spread evenly over the window


def distances(sample: Sample, train: Sample, channel: int) -> tuple[Draws, Draws]:
    """Kolmogorov-Smirnov and Wasserstein distance (real standard deviations) of a channel's observed values, both [1 + B]."""
    ours, theirs = observed(sample.split, channel), observed(train.split, channel)
    return of_entries(sample, train, ours, theirs, LEVELS, deviation(train, channel))


def by_step(sample: Sample, train: Sample, channel: int) -> Draws:
    """Wasserstein distance of the values observed in one step, mean over steps, [1 + B], in real standard deviations.

    The dimension-wise distance of Yan et al. (Nature Communications 2022, "AWD"), as RLSyn evaluates by (arXiv 2512.21395);
    a dimension is one variable at one step.
    """
    steps = sample.split.values.shape[2]
    draws = []
    for step in np.unique(np.linspace(0, steps - 1, min(MOST_STEPS, steps)).round().astype(int)):
        ours, theirs = (observed(s.split, channel, slice(step, step + 1)) for s in (sample, train))
        draws.append(of_entries(sample, train, ours, theirs, LEVELS_A_STEP, deviation(train, channel))[1])
    return mean(np.stack(draws, axis=1))


def deviation(train: Sample, channel: int) -> float:
    """Standard deviation of a channel's observed values; 1 if it has none, or all are equal."""
    return float(scale_of(observed(train.split, channel)[1].astype(np.float64)))


def of_entries(sample: Sample, train: Sample, ours: Entries, theirs: Entries, levels: int = LEVELS, sd: float = 1.0) -> tuple[Draws, Draws]:
    """Kolmogorov-Smirnov and Wasserstein distance (in units of `sd`) of some values of both sets, both [1 + B]; NaN if one has none."""
    if min(len(ours[1]), len(theirs[1])) == 0:
        undefined = np.full(len(sample.weights), np.nan)
        return undefined, undefined
    pooled = np.concatenate([ours[1], theirs[1]])
    grid = np.unique(np.quantile(pooled, np.linspace(0, 1, levels), method="inverted_cdf"))
    gap = np.abs(_distribution(sample, ours, grid) - _distribution(train, theirs, grid))
    ks, distance = gap.max(1), ((gap[:, 1:] + gap[:, :-1]) / 2 * np.diff(grid)).sum(1) / sd
    with np.errstate(divide="ignore"):  # by the p-value of one value each, which nobody reads
        ks[0] = ks_2samp(ours[1], theirs[1], method="asymp").statistic
    distance[0] = wasserstein_distance(ours[1], theirs[1]) / sd
    return ks, distance


def _distribution(sample: Sample, entries: Entries, grid: NDArray[np.float32]) -> Array:
    """Empirical distribution function at the grid, [1 + B, L]."""
    row, value = entries
    level = np.searchsorted(grid, value)
    counts = np.bincount(row * len(grid) + level, minlength=len(sample.split) * len(grid))
    upto = sample.sums(counts.reshape(-1, len(grid)).astype(np.float32)).cumsum(1)
    return ratio(upto, upto[:, -1:])
