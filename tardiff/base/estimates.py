"""How an estimate is shown."""

import math
from collections.abc import Mapping
from typing import Any

ONE_DRAW = "One draw: another seed gives other numbers. "
"""How a table begins that rests on one seed."""

MOST_DIGITS = 6


def interval(estimate: Mapping[str, Any], signed: bool = False, digits: int = 3) -> str:
    """`0.321 [0.290, 0.355]`; `0.321 [too few]` where too few fits or resamples tell an interval, `-` where there is no number."""
    return "-" if estimate["value"] is None else shown(estimate["value"], estimate["low"], estimate["high"], signed=signed, digits=digits)


def shown(value: float, low: float | None, high: float | None, *, signed: bool = False, digits: int = 3) -> str:
    """A number with its interval, as `interval` shows them; ends that are None or NaN are missing.

    A difference whose interval leaves out 0 has as many digits more as it takes to see that, up to `MOST_DIGITS`.
    """
    sign = "+" if signed else ""
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return f"{value:{sign}.{digits}f} [too few]"
    if signed and low * high > 0:
        nearest = min(abs(low), abs(high))
        digits = next((more for more in range(digits, MOST_DIGITS) if round(nearest, more)), MOST_DIGITS)
    shape = f"{sign}.{digits}f"
    return f"{value:{shape}} [{low:{shape}}, {high:{shape}}]"
