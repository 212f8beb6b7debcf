"""Rows of one set with their resampling weights.

Statistics are computed from sums over rows, so that a bootstrap of rows is a matrix product of weights and row sums.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tardiff.base.noise import stream
from tardiff.data.dataset import Split
from tardiff.evaluate.bootstrap import Draws, group_weights
from tardiff.model.pipeline import Samples

RESAMPLES = 200
FEWEST = 30  # observations below which a correlation is not worth a number

Array = NDArray[np.float64]
Entries = tuple[NDArray[np.intp], NDArray[np.float32]]
"""Row and value of what was observed of a channel, physical units."""


@dataclass(frozen=True)
class Sample:
    """Rows of one set and their resampling weights [1 + B, n]."""

    split: Split
    weights: NDArray[np.float32]

    @classmethod
    def draw(cls, split: Split, rows: int, seed: int, name: str) -> "Sample":
        """`rows` of the split, drawn without replacement, and their weights by patient; other sets' names are other draws."""
        random = stream(f"fidelity/{name}", seed)
        chosen = np.sort(random.permutation(len(split))[:rows])
        taken = split.take(chosen)
        return cls(taken, group_weights(taken.subject_id, RESAMPLES, random))

    def sums(self, by_row: NDArray[np.floating]) -> Array:
        """Weighted sums over rows: [n, ...] to [1 + B, ...]."""
        flat = by_row.reshape(len(by_row), -1)
        return (self.weights.astype(flat.dtype) @ flat).reshape(len(self.weights), *by_row.shape[1:]).astype(np.float64)

    @cached_property
    def standardised(self) -> tuple[Array, Array]:
        """Values with mean 0 and standard deviation 1 a channel (0 where unobserved) and mask, [n, C, T]; keeps sums of squares exact."""
        mask = self.split.mask.astype(np.float64)
        value = np.where(self.split.mask == 1, self.split.values, 0.0).astype(np.float64)
        count = np.maximum(mask.sum((0, 2), keepdims=True), 1)
        centred = (value - value.sum((0, 2), keepdims=True) / count) * mask
        sd = np.sqrt((centred**2).sum((0, 2), keepdims=True) / count)
        return centred / np.where(sd > 0, sd, 1), mask


def observed(rows: Split | Samples, channel: int, steps: slice = slice(None)) -> Entries:
    """What was observed of a channel in some steps."""
    row, step = np.nonzero(rows.mask[:, channel, steps])
    return row, rows.values[:, channel, steps][row, step]


def ratio(part: Array, whole: Array) -> Array:
    """Part over whole; NaN where there is no whole."""
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1), np.nan)


def mean(draws: Array) -> Draws:
    """Mean of what is defined, [1 + B, k] to [1 + B]; NaN if nothing is."""
    defined = np.isfinite(draws)
    return ratio(np.where(defined, draws, 0).sum(1), defined.sum(1))


def correlation(n: Array, a: Array, b: Array, aa: Array, bb: Array, ab: Array) -> Array:
    """Pearson correlation from counts and sums; NaN below `FEWEST` observations or for constants."""
    covariance, variance = n * ab - a * b, (n * aa - a * a) * (n * bb - b * b)
    defined = (n >= FEWEST) & (variance > 1e-9 * n**4)
    return np.where(defined, covariance / np.sqrt(np.where(defined, variance, 1)), np.nan)
