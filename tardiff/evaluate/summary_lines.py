"""An evaluation in a few lines for the terminal: three figures a set, and what guidance or another set changes."""

from collections.abc import Iterator, Mapping
from typing import Any

from tardiff.base.estimates import ONE_DRAW, interval
from tardiff.evaluate.lookup import cell, difference, leak_margin, shown_ratio
from tardiff.evaluate.price import costs

SETS = 4
"""Sets that are shown; the table has all."""
LINES = 14
"""The most there are; the command adds one."""
COLUMNS = ("AUPRC alone", "AUPRC with real rows", "told from real, AUROC", "strongest attack, AUC")


def summary(result: Mapping[str, Any]) -> list[str]:
    """A few lines: utility by one judge, how well trees tell a set from real rows, the strongest attack, paired differences.

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
    changes = [*list(_added(result, judge))[:SETS], *_differences(result, judge)]
    return [*lines, *changes[: LINES - len(lines) - 1], _leaks(result)]


def _figures(result: Mapping[str, Any], judge: str, name: str) -> list[str]:
    ratio = shown_ratio(result["settings"]["ratios"])
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


def _added(result: Mapping[str, Any], judge: str) -> Iterator[str]:
    """What each set adds to real rows."""
    ratio = shown_ratio(result["settings"]["ratios"])
    for name in result["synthetic"] if ratio else ():
        change = difference(result, judge, "TSRTR", name, ratio, None)["metrics"]["auprc"]
        yield f"real + {name} - real: {_said(change)}"


def _said(change: Mapping[str, Any]) -> str:
    """A difference in AUPRC and what it says."""
    word = "no difference found"
    if change["low"] is not None and (change["low"] > 0 or change["high"] < 0):
        word = "better" if change["low"] > 0 else "worse"
    return f"{interval(change, signed=True)} AUPRC: {word}"


def _differences(result: Mapping[str, Any], judge: str) -> Iterator[str]:
    first, *others = result["synthetic"]
    for name in others:
        change = difference(result, judge, "TSTR", name, None, first)["metrics"]["auprc"]
        yield f"{name} - {first}, alone: {_said(change)}{_price(result, name)}"


def _price(result: Mapping[str, Any], name: str) -> str:
    """What is surely worse than in the first set, by name; the table has the figures."""
    worse = [cost.name for cost in costs(result, name) if cost.worse]
    return f"; at a price in {'; '.join(worse)}" if worse else ""


def _leaks(result: Mapping[str, Any]) -> str:
    """Which sets carry a trace of training patients, by what, and what that means for sharing."""
    traces: dict[str, list[str]] = {}
    for name, numbers in result["privacy"]["sets"].items():
        strongest = _strongest(result, name)
        if strongest and _leak(strongest) > 0:
            why = "an attack tells training patients from strangers: a leak"
        elif (numbers["nearer_train"]["low"] or 0.0) > 0.5:
            why = "nearer to training patients than to strangers"
        elif numbers["copies"]["count"]:
            why = "copies of training patients"
        else:
            why = "" if strongest else "no attack could be judged"
        traces.setdefault(why, []).append(name)
    clean = traces.pop("", [])
    said = [f"treat {', '.join(names)} as patients' records ({why})" for why, names in traces.items()]
    said += [f"no leak found in {', '.join(clean)}, which proves no safety"] if clean else []
    copies = sum(numbers["copies"]["count"] for numbers in result["privacy"]["sets"].values())
    return f"privacy: {'; '.join(said)}; {copies:,} copies of training rows"


def _row(name: str, cells: Any) -> str:
    shown = name if len(name) <= 18 else name[:17] + "…"
    return (f"{shown:<18}" + "".join(f" {text:<21}" for text in cells)).rstrip()
