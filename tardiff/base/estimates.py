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

    A difference whose interval leaves out 0 never reads as 0: an end that would is `>0` or `<0`, and a value that would has as many digits
    more as it takes, up to `MOST_DIGITS`.
    """
    sign = "+" if signed else ""
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return f"{value:{sign}.{digits}f} [too few]"
    apart = signed and low * high > 0
    if apart:
        digits = next((more for more in range(digits, MOST_DIGITS) if round(value, more)), MOST_DIGITS)

    def end(number: float) -> str:
        return f"{number:{sign}.{digits}f}" if round(number, digits) or not apart else ">0" if number > 0 else "<0"

    return f"{value:{sign}.{digits}f} [{end(low)}, {end(high)}]"
