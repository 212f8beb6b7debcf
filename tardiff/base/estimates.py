"""How an estimate is shown."""

import math
from collections.abc import Mapping
from typing import Any

ONE_DRAW = "One draw: another seed gives other numbers. "
"""How a table begins that rests on one seed."""


def interval(estimate: Mapping[str, Any], signed: bool = False, digits: int = 3) -> str:
    """`0.321 [0.290, 0.355]`; `0.321 [too few]` where too few fits or resamples tell an interval, `-` where there is no number."""
    return "-" if estimate["value"] is None else shown(estimate["value"], estimate["low"], estimate["high"], signed=signed, digits=digits)


def shown(value: float, low: float | None, high: float | None, *, signed: bool = False, digits: int = 3) -> str:
    """A number with its interval, as `interval` shows them; ends that are None or NaN are missing."""
    shape = f"{'+' if signed else ''}.{digits}f"
    missing = low is None or high is None or math.isnan(low) or math.isnan(high)
    return f"{value:{shape}} " + ("[too few]" if missing else f"[{low:{shape}}, {high:{shape}}]")
