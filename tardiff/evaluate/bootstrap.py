"""Resampling: where every 95 % interval comes from.

A resample is a row of weights; row 0 is the data as they are, so draw 0 of a statistic is its point estimate. Statistics of the
same resamples are paired: their difference is taken draw by draw.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tardiff.evaluate.metrics import Metric

Draws = NDArray[np.float64]
TAILS = (0.025, 0.975)
CHUNK = 64  # resamples worked on together: their running sums stay in the cache


def group_weights(group: NDArray[np.integer], count: int, random: np.random.Generator) -> NDArray[np.float32]:
    """How often each row counts in each resample, [1 + count, n], when whole groups (a patient's rows) are drawn.

    Args:
        group: identity of each row's group, [n].
        count: resamples.
        random: where they are drawn from.
    """
    names, member = np.unique(group, return_inverse=True)
    weights = np.ones((1 + count, len(group)), dtype=np.float32)
    for b in range(1, 1 + count):
        drawn = np.bincount(random.integers(len(names), size=len(names)), minlength=len(names))
        weights[b] = drawn[member]
    return weights


def row_weights(rows: int, count: int, random: np.random.Generator) -> NDArray[np.float32]:
    """`group_weights` where every row is its own group."""
    return group_weights(np.arange(rows), count, random)


def packed(draws: Draws) -> str:
    """Draws as text, of 32 bits each."""
    return base64.b64encode(draws.astype("<f4").tobytes()).decode()


def unpacked(text: str) -> Draws:
    """The inverse of `packed`.

    Raises:
        ValueError: it is no such text.
    """
    return np.frombuffer(base64.b64decode(text), "<f4").astype(np.float64)


@dataclass(frozen=True)
class Resamples:
    """Resamples of test patients and of fits, shared by everything that is compared.

    Attributes:
        rows: [1 + B, n], times each test row counts.
        fits: [1 + B, S], share of each fit in the mean over fits.
    """

    rows: NDArray[np.float32]
    fits: NDArray[np.float32]

    @classmethod
    def draw(cls, subject_id: NDArray[np.int64], fits: int, count: int, random: np.random.Generator) -> "Resamples":
        """Resample `count` times the patients, and the fits of a cell."""
        return cls(group_weights(subject_id, count, random), row_weights(fits, count, random) / np.float32(fits))

    def within(self, member: NDArray[np.bool_]) -> "Resamples":
        """The same resamples of some of the rows, [n]."""
        return Resamples(self.rows[:, member], self.fits)

    def mean_over_fits(self, metric: Metric, label: NDArray[np.int64], score: NDArray[np.float64]) -> Draws:
        """A metric's mean over fits in each resample, [1 + B].

        Args:
            metric: as in `metrics`.
            label: [n].
            score: probabilities of class 1, [S, n].
        """
        chunks = range(0, len(self.rows), CHUNK)
        by_fit = [np.concatenate([metric(label, s, self.rows[i : i + CHUNK]) for i in chunks]) for s in score]
        return (np.stack(by_fit, axis=1) * self.fits).sum(1, dtype=np.float64)


def estimate(draws: Draws, n: int, seeds: int | None = None) -> dict[str, Any]:
    """A number as it is written down: `value`, 95 % interval `low` to `high` (percentiles), `n` rows, `seeds` fits.

    Undefined numbers are None, never NaN.
    """
    value = draws[0]
    low, high = np.nanquantile(draws[1:], TAILS) if np.isfinite(draws[1:]).any() else (np.nan, np.nan)
    numbers = {"value": value, "low": low, "high": high}
    return {k: float(v) if np.isfinite(v) else None for k, v in numbers.items()} | {"n": n, "seeds": seeds}


def estimates(draws: Mapping[str, Draws], n: int, seeds: int | None = None) -> dict[str, Any]:
    """Several numbers, by name."""
    return {name: estimate(d, n, seeds) for name, d in draws.items()}


def recentred(draws: Draws) -> Draws:
    """Draws of a distance (>= 0), shifted so that their mean is the point estimate.

    A resampled distance contains the sampling noise twice, so its percentiles lie above the estimate itself; the spread is
    what the resamples tell.
    """
    if not np.isfinite(draws[1:]).any():
        return draws
    shifted = np.maximum(draws - np.nanmean(draws[1:]) + draws[0], 0.0)
    shifted[0] = draws[0]
    return shifted
