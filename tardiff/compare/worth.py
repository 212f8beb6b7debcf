"""What a way of training is worth in labelled local stays: how many of them, alone, would do the same.

Local rows in growing subsets give a learning curve. At each of its sizes the paired difference of the way to local rows has a
95 % interval; the worth is the size at which that difference is 0, and the sizes at which the interval's ends are 0 are the ends of its own
(a test inverted, after Fieller, JRSS B 16:175, 1954). More rows are no worse in truth, so value and ends are made non-increasing first.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

from tardiff.evaluate.bootstrap import Draws
from tardiff.evaluate.intervals import interval


@dataclass(frozen=True)
class Worth:
    """Labelled local stays that do the same.

    Attributes:
        value, low, high: stays; 0 is fewer than the curve begins with, infinity more than it ends with, NaN too few seeds to tell.
        first, last: the sizes at which the curve begins and ends.
    """

    value: float
    low: float
    high: float
    first: int
    last: int

    def __str__(self) -> str:
        if np.isnan(self.low) or np.isnan(self.high):
            return f"{self._shown(self.value)} [too few]"
        return f"{self._shown(self.value)} [{self._shown(self.low)}, {self._shown(self.high)}]"

    def _shown(self, stays: float) -> str:
        if stays == 0:
            return f"fewer than {self.first:,}"
        return f"more than {self.last:,}" if np.isinf(stays) else f"{stays:,.0f}"

    def record(self) -> dict[str, object]:
        """As it is written down: the ends of the scale and unknown ones are None, and the text says which."""
        numbers = {name: getattr(self, name) for name in ("value", "low", "high")}
        return {name: n if 0 < n < np.inf else None for name, n in numbers.items()} | {"text": str(self)}


def worth(way: Draws, curve: dict[int, Draws], units: int | None = None) -> Worth:
    """The worth of a way.

    Args:
        way: a figure that is better when higher, [1 + B, S] in resamples and fits.
        curve: the same of local rows alone by their number, from the same resamples and seeds; at least one size.
        units: patients that the figure rests on (`interval`).
    """
    sizes = sorted(curve)
    ends = np.array([interval(way - curve[size], units) for size in sizes])
    value, low, high = (crossing(sizes, of) for of in ends.T)
    return Worth(value, low, high, sizes[0], sizes[-1])


def crossing(sizes: Sequence[int], difference: NDArray[np.float64]) -> float:
    """The size at which a difference, made non-increasing in the logarithm of the size, falls to 0.

    Returns:
        0 where it is below 0 from the start, infinity where it is above 0 to the end, NaN where it is unknown.
    """
    if not np.isfinite(difference).all():
        return np.nan
    place = np.log(np.asarray(sizes, float))
    falling = IsotonicRegression(increasing=False).fit(place, difference).predict(place)
    if falling[0] < 0:
        return 0.0
    if falling[-1] > 0:
        return np.inf
    k = int(np.argmax(falling <= 0))
    if falling[k] == 0 or k == 0:
        zeros = place[falling == 0]
        return float(np.exp(zeros.mean()))
    share = falling[k - 1] / (falling[k - 1] - falling[k])
    return float(np.exp(place[k - 1] + share * (place[k] - place[k - 1])))
