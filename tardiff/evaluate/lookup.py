"""Finding cells in a result, for those that show it."""

from collections.abc import Iterable, Mapping
from typing import Any


def cell(result: Mapping[str, Any], model: str, protocol: str, synthetic: str | None = None, ratio: float | None = None) -> dict[str, Any]:
    """The one cell of `result["utility"]` with this identity."""
    wanted = {"model": model, "protocol": protocol, "synthetic": synthetic, "ratio": ratio}
    return next(c for c in result["utility"]["cells"] if wanted.items() <= c.items())


def difference(
    result: Mapping[str, Any], model: str, protocol: str, synthetic: str, ratio: float | None, against: str | None
) -> dict[str, Any]:
    """The one paired difference of a cell to the set `against` (None: to real data, TRTR)."""
    wanted = {"model": model, "protocol": protocol, "synthetic": synthetic, "ratio": ratio}
    return next(d for d in result["utility"]["differences"] if wanted.items() <= d.items() and d["against"]["synthetic"] == against)


def shown_ratio(ratios: Iterable[float | None]) -> float | None:
    """The ratio of added rows that is shown: 1.0 if it was run, else the largest one; None if none was run."""
    known = {ratio for ratio in ratios if ratio is not None}
    return 1.0 if 1.0 in known else max(known, default=None)


def leak_margin(low: float, control: float | None) -> float:
    """By how much the lower end of an attack's AUC lies above guessing (0.5) and above its control, if it has one: above 0 it is a leak."""
    return low - max(0.5, control or 0.5)
