"""How an estimate is shown."""

from collections.abc import Mapping
from typing import Any


def interval(estimate: Mapping[str, Any], signed: bool = False, digits: int = 3) -> str:
    """`0.321 [0.290, 0.355]`; without the bracket where there is no interval, `-` where there is no number.

    Args:
        estimate: `value`, `low`, `high`; each may be None.
        signed: show the sign of positive numbers, too.
        digits: after the point.
    """
    return "-" if estimate["value"] is None else shown(estimate["value"], estimate["low"], estimate["high"], signed=signed, digits=digits)


def shown(value: float, low: float | None, high: float | None, *, signed: bool = False, digits: int = 3) -> str:
    """A number with its interval, as `interval` shows them."""
    shape = f"{'+' if signed else ''}.{digits}f"
    return f"{value:{shape}}" + ("" if low is None else f" [{low:{shape}}, {high:{shape}}]")
