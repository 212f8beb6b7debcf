"""An evaluation in a few lines for the terminal: three figures a set, and what guidance or another set changes."""

from collections.abc import Iterator, Mapping
from typing import Any

from tardiff.base.estimates import ONE_DRAW, interval
from tardiff.evaluate.lookup import cell, difference, leak_margin, shown_ratio
from tardiff.evaluate.price import costs

SETS = 5
"""Sets that are shown; the table has all."""
COLUMNS = ("AUPRC alone", "AUPRC with real rows", "told from real, AUROC", "strongest attack, AUC")


def summary(result: Mapping[str, Any]) -> list[str]:
    """At most a dozen lines: utility by one judge, how well trees tell a set from real rows, the strongest attack, paired differences.

    The judge is the trees, of which no guide is made, or the first one.
    """
    judge = "trees" if "trees" in result["settings"]["models"] else result["settings"]["models"][0]
    test, sets = result["test"], list(result["synthetic"])
    one = ONE_DRAW if result["settings"]["seeds"] == 1 else ""
    lines = [
        f"{one}{test['task']} of {test['rows']:,} real {test['split']} rows ({test['positives']:,} {test['classes'][1]}), by {judge}; "
        "in brackets 95 % intervals; AUROC and AUC: 0.5 is guessing",
        _row("", COLUMNS),
        _row("real", [interval(cell(result, judge, "TRTR")["metrics"]["auprc"])]),
        *(_row(name, _figures(result, judge, name)) for name in sets[:SETS]),
    ]
    if len(sets) > SETS:
        lines.append(f"({len(sets) - SETS} more sets in table.txt)")
    return [*lines, *list(_differences(result, judge))[:2], *list(_leaks(result))[:2]]


def _figures(result: Mapping[str, Any], judge: str, name: str) -> list[str]:
    ratio = shown_ratio(result)
    added = "-" if ratio is None else interval(cell(result, judge, "TSRTR", name, ratio)["metrics"]["auprc"])
    told, strongest = result["fidelity"]["sets"][name].get("told_apart_trees"), _strongest(result, name)
    return [
        interval(cell(result, judge, "TSTR", name)["metrics"]["auprc"]),
        added,
        interval(told) if told else "-",
        interval(strongest["auc"]) if strongest else "-",
    ]


def _strongest(result: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    """The attack on a set whose interval lies furthest above guessing and its control."""
    found = [attack for attack in result["privacy"]["sets"][name]["attacks"] if attack["auc"]["low"] is not None]
    return max(found, key=_leak, default=None)


def _leak(attack: Mapping[str, Any]) -> float:
    return leak_margin(attack["auc"]["low"], attack["control"]["value"] if attack.get("control") else None)


def _differences(result: Mapping[str, Any], judge: str) -> Iterator[str]:
    first, *others = result["synthetic"]
    for name in others:
        change = difference(result, judge, "TSTR", name, None, first)["metrics"]["auprc"]
        word = "no difference found"
        if change["low"] is not None and (change["low"] > 0 or change["high"] < 0):
            word = "better" if change["low"] > 0 else "worse"
        yield f"{name} - {first}, alone: {interval(change, signed=True)} AUPRC: {word}{_price(result, name)}"


def _price(result: Mapping[str, Any], name: str) -> str:
    """What is surely worse than in the first set, by name; the table has the figures."""
    worse = [cost.name for cost in costs(result, name) if cost.worse]
    return f", at a price in {', '.join(worse)}" if worse else ""


def _leaks(result: Mapping[str, Any]) -> Iterator[str]:
    """The sets that an attack reads, in one line; or that there are none, or no attack."""
    strongest = {name: attack for name in result["synthetic"] if (attack := _strongest(result, name))}
    leaking = [name for name, attack in strongest.items() if _leak(attack) > 0]
    copies = sum(numbers["copies"]["count"] for numbers in result["privacy"]["sets"].values())
    said = "no leak found by any attack" if strongest else "no attack could be judged"
    said = f"an attack tells training patients from strangers (a leak): {', '.join(leaking)}" if leaking else said
    near = [name for name, numbers in result["privacy"]["sets"].items() if (numbers["nearer_train"]["low"] or 0.0) > 0.5]
    nearer = f"; nearer to training rows than to held-out ones: {', '.join(near)}" if near else ""
    yield f"privacy: {said}; {copies:,} copies of training rows{nearer}"


def _row(name: str, cells: Any) -> str:
    shown = name if len(name) <= 18 else name[:17] + "…"
    return (f"{shown:<18}" + "".join(f" {text:<21}" for text in cells)).rstrip()
