"""Resampling of patients; `intervals` makes 95 % intervals of it.

A resample is a row of weights; row 0 is the data as they are, so draw 0 of a statistic is its point estimate. Statistics of the
same resamples are paired: their difference is taken draw by draw.
"""

import base64
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tardiff.evaluate.metrics import Metric

Draws = NDArray[np.float64]
CHUNK = 64  # resamples worked on together: their running sums stay in the cache


def group_weights(group: NDArray[np.integer], count: int, random: np.random.Generator) -> NDArray[np.float32]:
    """How often each row counts in each resample, [1 + count, n], when whole groups (a patient's rows) are drawn."""
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
    """The inverse of `packed`."""
    return np.frombuffer(base64.b64decode(text), "<f4").astype(np.float64)


@dataclass(frozen=True)
class Resamples:
    """Resamples of test patients, [1 + B, n] times each row counts, shared by everything that is compared."""

    rows: NDArray[np.float32]

    @classmethod
    def draw(cls, subject_id: NDArray[np.int64], count: int, random: np.random.Generator) -> "Resamples":
        """Resample the patients `count` times."""
        return cls(group_weights(subject_id, count, random))

    def within(self, member: NDArray[np.bool_]) -> "Resamples":
        """The same resamples of some of the rows, [n]."""
        return Resamples(self.rows[:, member])

    def by_fit(self, metric: Metric, label: NDArray[np.int64], score: NDArray[np.float64]) -> Draws:
        """A metric of each fit in each resample, [1 + B, S], from probabilities of class 1, [S, n]."""
        chunks = range(0, len(self.rows), CHUNK)
        return np.stack([np.concatenate([metric(label, s, self.rows[i : i + CHUNK]) for i in chunks]) for s in score], axis=1)
