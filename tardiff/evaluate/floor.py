"""What a result says in a line: where synthetic rows differ more from real training rows than other real rows do."""

from collections.abc import Mapping
from typing import Any

HIGHER_IS_BETTER = ("alpha_precision", "beta_recall", "authenticity", "density", "coverage")


def overall(number: Mapping[str, Any]) -> Mapping[str, Any]:
    """The estimate of a fidelity number, over channels if it has one for each."""
    return number["mean"] if "by_channel" in number else number


def worse_than_floor(floor: Mapping[str, Any], numbers: Mapping[str, Any]) -> list[str]:
    """Names of the fidelity numbers whose interval lies wholly on the wrong side of the floor's."""
    return [key for key in floor if _worse(key, overall(floor[key]), overall(numbers[key]))]


def _worse(key: str, floor: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    if floor["low"] is None or found["low"] is None:
        return False
    return bool(found["high"] < floor["low"]) if key in HIGHER_IS_BETTER else bool(found["low"] > floor["high"])
