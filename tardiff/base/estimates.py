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
    shape = f"{'+' if signed else ''}.{digits}f"
    if estimate["value"] is None:
        return "-"
    ends = "" if estimate["low"] is None else f" [{estimate['low']:{shape}}, {estimate['high']:{shape}}]"
    return f"{estimate['value']:{shape}}{ends}"
