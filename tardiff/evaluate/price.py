"""What a set costs beside the first one: the numbers that stand next to any gain (guidance can sharpen labels at the price of realism)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Estimate = Mapping[str, Any]

FIDELITY = {"correlation": "correlations off", "descriptor_slopes": "descriptor slopes off"}


@dataclass(frozen=True)
class Cost:
    """One number of a set and of the first set.

    Attributes:
        ours, first: estimates; the first set's is what it is compared with.
        change: their paired difference, an estimate; None if they were not paired.
        worse: the set is surely worse: by the difference, or by intervals that do not meet.
    """

    name: str
    ours: Estimate
    first: Estimate
    change: Estimate | None
    worse: bool


def costs(result: Mapping[str, Any], name: str) -> list[Cost]:
    """What a synthetic set costs beside the first one, by trees where they judge, else by the first judge.

    AUROC on the set of a judge that learnt from real rows (TRTS; far above that of real rows, the set holds clearer cases than there are),
    calibration slope (1 is right) and Brier score of a judge that learnt from the set alone, how far correlations and slopes on descriptors
    are off, and the share of near copies. What is undefined in either set is left out.
    """
    return [cost for cost in _every(result, name) if None not in (cost.ours.get("value"), cost.first.get("value"))]


def _every(result: Mapping[str, Any], name: str) -> Iterator[Cost]:
    """What there is of them: a result of elsewhere may lack a judge or a metric."""
    first, cells = next(iter(result["synthetic"])), result["utility"]["cells"]
    models = [c["model"] for c in cells if c["protocol"] == "TSTR"]
    judge = "trees" if "trees" in models else next(iter(models), None)
    known = {(c["protocol"], c["synthetic"]): c["metrics"] for c in cells if c["model"] == judge}
    pairs = (d for d in result["utility"]["differences"] if (d["model"], d["protocol"], d["synthetic"]) == (judge, "TSTR", name))
    paired: Mapping[str, Any] = next((d["metrics"] for d in pairs if d["against"]["synthetic"] == first), {})

    def both(protocol: str, metric: str) -> list[Estimate]:
        found = [known.get((protocol, of), {}).get(metric) for of in (name, first)]
        return [] if None in found else found

    if found := both("TRTS", "auroc"):
        yield Cost("clearer cases (AUROC)", found[0], found[1], None, _above(*found))
    if (found := both("TSTR", "calibration_slope")) and (change := paired.get("calibration_slope")):
        yield Cost("calibration slope (of 1)", found[0], found[1], change, _further_from_1(found[0], found[1], change))
    if (found := both("TSTR", "brier")) and (change := paired.get("brier")):
        yield Cost("Brier score", found[0], found[1], change, (change["low"] or 0.0) > 0)
    sets = result["fidelity"]["sets"]
    for key, words in FIDELITY.items():
        if key in sets[name] and key in sets[first]:
            ours, theirs = (sets[of][key].get("mean") or sets[of][key] for of in (name, first))
            yield Cost(words, ours, theirs, None, _above(ours, theirs))
    ours, theirs = (result["privacy"]["sets"][of]["near_copies"] for of in (name, first))
    yield Cost("near copies", ours, theirs, None, _above(ours, theirs))


def _above(ours: Estimate, first: Estimate) -> bool:
    """Whether an interval lies above another one."""
    return ours["low"] is not None and first["high"] is not None and ours["low"] > first["high"]


def _further_from_1(ours: Estimate, first: Estimate, change: Estimate) -> bool:
    """Whether a slope is surely another one, and further from 1."""
    if None in (ours["value"], first["value"], change["low"], change["high"]):
        return False
    return (change["low"] > 0 or change["high"] < 0) and abs(ours["value"] - 1) > abs(first["value"] - 1)
