"""A comparison as plain text, at most 160 columns wide."""

from collections.abc import Mapping
from typing import Any

from tardiff.base.estimates import ONE_DRAW, interval
from tardiff.compare.metrics import CALIBRATED, NAMES

WIDTH = 22
SHORT = NAMES | {"sensitivity": "sens. at 90 % spec.", "slope": "calibration slope"}


def table(result: Mapping[str, Any]) -> str:
    """The figures of every method and group, the differences in AUPRC to doing nothing, and the verdict."""
    judged, train, settings = result["judged"], result["train"], result["settings"]
    begun = ONE_DRAW if len(result["seeds"]) == 1 else ""
    parts = [
        f"{begun}{settings['model']}, trained in several ways to predict {result['task']}: {train['rows']:,} real training rows "
        f"({train['positives']:,} positive),\njudged on {judged['rows']:,} real {judged['split']} rows ({judged['positives']:,} positive); "
        f"{len(result['seeds'])} seeds.\nIn brackets: 95 % intervals over judged patients and seeds ({settings['bootstrap']:,} resamples)."
    ]
    for group in result["methods"]["none"]["groups"]:
        parts.append(_group(result, group))
    parts += [_recalibrated(result), _choices(result)]
    return "\n\n".join([*(part for part in parts if part), *result["remarks"], result["verdict"]]) + "\n"


def _group(result: Mapping[str, Any], group: str) -> str:
    n = result["methods"]["none"]["groups"][group]["auprc"]["value"]["n"]
    lines = [f"{group} ({n:,} rows)", _row(["method", "AUPRC - none", *SHORT.values()])]
    for method, figures in result["methods"].items():
        numbers = figures["groups"][group]
        difference = "" if method == "none" else interval(numbers["auprc"]["against_none"], signed=True)
        lines.append(_row([method, difference, *(interval(numbers[metric]["value"]) for metric in NAMES)]))
    return "\n".join(lines)


def _choices(result: Mapping[str, Any]) -> str:
    lines = ["Chosen on validation rows, seed by seed"]
    for method, figures in result["methods"].items():
        if figures["candidates"] > 1:
            chosen = "; ".join(" ".join(f"{key} {value:g}" for key, value in one.items()) for one in figures["chosen"])
            lines.append(f"{method} (of {figures['candidates']}): {chosen}")
    return "\n".join(lines) if len(lines) > 1 else ""


def _recalibrated(result: Mapping[str, Any]) -> str:
    """Brier score and calibration slope as they are and after recalibration on validation rows."""
    keys = [f"{metric}{ending}" for metric in CALIBRATED for ending in ("", "_platt", "_isotonic")]
    lines = ["Recalibrated on validation rows", _row(["method", *(SHORT.get(key, key.replace("_", ", ")) for key in keys)])]
    for method, figures in result["methods"].items():
        lines.append(_row([method, *(interval(figures["groups"]["all"][key]["value"]) for key in keys)]))
    return "\n".join(lines)


def _row(cells: list[str]) -> str:
    name, *rest = cells
    return (f"{name:<16}" + "".join(f" {text:<{WIDTH}}" for text in rest)).rstrip()
