"""The half hours that a chunk of stays spends in the unit, end to end, and series that run along them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from data_prep.simulate.patients import Floats, Integers, Stays


@dataclass(frozen=True)
class Timeline:
    """One entry for each half hour of each stay (m in all), stay by stay."""

    stay: Integers
    """[m] position of the stay in its chunk."""
    slot: Integers
    """[m] half hours since the start of the stay."""
    start: Integers
    """[n + 1] where each stay begins."""

    @staticmethod
    def of(stays: Stays) -> "Timeline":
        """The half hours of these stays, begun ones included."""
        count = np.ceil(2 * stays.hours).astype(np.int64)
        start = np.append(0, np.cumsum(count))
        stay = np.repeat(np.arange(len(stays)), count)
        return Timeline(stay, np.arange(start[-1]) - start[stay], start)

    def at(self, stay: Integers, hour: Floats) -> Integers:
        """Positions [m] of stays at hours, held inside the stay."""
        return np.clip(self.start[stay] + np.floor(2 * hour).astype(np.int64), self.start[stay], self.start[stay + 1] - 1)

    def mean(self, series: Floats) -> Floats:
        """The mean [n] of each stay."""
        total: Floats = np.add.reduceat(series, self.start[:-1])
        return total / np.diff(self.start)

    def trail(self, pushes: Floats, keep: float) -> Floats:
        """In each stay, x = `keep` x + push, from 0."""
        across: Floats = lfilter([1.0], [1.0, -keep], pushes)
        carried = np.append(0.0, across[self.start[1:-1] - 1])  # from the stay before
        return across - carried[self.stay] * keep ** (self.slot + 1.0)

    def wander(self, rng: np.random.Generator, hours: float) -> Floats:
        """An Ornstein-Uhlenbeck process of mean 0 and variance 1 in each stay, with this memory."""
        keep = float(np.exp(-0.5 / hours))
        pushes = rng.normal(0, 1, len(self.stay))
        pushes[self.slot > 0] *= np.sqrt(1 - keep**2)
        return self.trail(pushes, keep)

    def held(self, begins: NDArray[np.bool_], length: Integers) -> NDArray[np.bool_]:
        """Marks `length` half hours from each beginning on, as far as the stay goes."""
        here = np.arange(len(self.stay))
        until = np.where(begins, np.minimum(here + length, self.start[self.stay + 1]), 0)
        return here < np.maximum.accumulate(until)
