"""A comparison as plain text, at most 160 columns wide."""

from collections.abc import Mapping
from typing import Any

from tardiff.base.estimates import ONE_DRAW, interval
from tardiff.compare.metrics import CALIBRATED, NAMES
from tardiff.compare.verdict import SYNTHETIC
from tardiff.settings import LADDER

NAME, WIDTH = 21, 22
RECALIBRATED = {"": "", "_platt": ", Platt scaling", "_isotonic": ", isotonic"}
SHORT = NAMES | {"sensitivity": "sens. at 90 % spec.", "slope": "calibration slope"}


def table(result: Mapping[str, Any]) -> str:
    """The figures of every method and group, the differences in AUPRC to doing nothing, and the verdict."""
    judged, train, settings = result["judged"], result["train"], result["settings"]
    begun, seeds = _seeds(result)
    parts = [
        f"{begun}{settings['model']}, trained in several ways to predict {result['task']}: {train['rows']:,} real training rows "
        f"({train['positives']:,} positive),\njudged on {judged['rows']:,} real {judged['split']} rows ({judged['positives']:,} positive); "
        f"{seeds}.\nIn brackets: 95 % intervals over judged patients and seeds ({settings['bootstrap']:,} resamples)."
    ]
    for group in result["methods"][result["first"]]["groups"]:
        parts.append(_group(result, group))
    parts += [_recalibrated(result), _choices(result), _worth(result)]
    return "\n\n".join([*(part for part in parts if part), *result["remarks"], result["verdict"]]) + "\n"


def _seeds(result: Mapping[str, Any]) -> tuple[str, str]:
    """What stands first if there is one draw, and how many seeds there are."""
    count = len(result["seeds"])
    return (ONE_DRAW, "1 seed") if count == 1 else ("", f"{count} seeds")


def summary(result: Mapping[str, Any]) -> list[str]:
    """AUPRC of doing nothing, of today's best way and of synthetic rows, remarks, the verdict, and what the ladder is worth."""
    judged, first = result["judged"], result["first"]
    begun, seeds = _seeds(result)
    lines = [
        f"{begun}{result['task']} of {judged['rows']:,} real {judged['split']} rows ({judged['positives']:,} positive), by "
        f"{result['settings']['model']}; {seeds}, in brackets 95 % intervals",
        _row(["method", "AUPRC", f"AUPRC - {first}"]),
    ]
    for method in dict.fromkeys([first, result["reference"], *(name for name in SYNTHETIC if name in result["methods"])]):
        numbers = result["methods"][method]["groups"]["all"]["auprc"]
        difference = "" if method == first else interval(numbers["against_first"], signed=True)
        lines.append(_row([method, interval(numbers["value"]), difference]))
    return [*lines, *result["remarks"], *result["verdict"].splitlines(), *_worth(result).splitlines()]


def _group(result: Mapping[str, Any], group: str) -> str:
    first = result["first"]
    n = result["methods"][first]["groups"][group]["auprc"]["value"]["n"]
    lines = [f"{group} ({n:,} rows)", _row(["method", f"AUPRC - {first}", *SHORT.values()])]
    for method, figures in result["methods"].items():
        numbers = figures["groups"][group]
        difference = "" if method == first else interval(numbers["auprc"]["against_first"], signed=True)
        lines.append(_row([method, difference, *(interval(numbers[metric]["value"]) for metric in NAMES)]))
    return "\n".join(lines)


def _choices(result: Mapping[str, Any]) -> str:
    lines = [f"Chosen on {_held_out(result)}, seed by seed"]
    for method, figures in result["methods"].items():
        if figures["candidates"] > 1:
            chosen = "; ".join(" ".join(f"{key} {value:g}" for key, value in one.items()) for one in figures["chosen"])
            lines.append(f"{method} (of {figures['candidates']}): {chosen}")
    return "\n".join(lines) if len(lines) > 1 else ""


def _worth(result: Mapping[str, Any]) -> str:
    """The learning curve of local rows alone, and what each way is worth by it."""
    if "worth" not in result:
        return ""
    lines = ["Labelled local stays alone: AUPRC"]
    lines += [_row([f"{point['stays']:,}", interval(point)]) for point in result["curve"]]
    lines.append("Labelled local stays that do the same")
    return "\n".join([*lines, *(_row([method, found["text"]]) for method, found in result["worth"].items())])


def _recalibrated(result: Mapping[str, Any]) -> str:
    """Brier score and calibration slope as they are and after recalibration on rows that were not learnt from."""
    keys = {f"{metric}{ending}": f"{said}{by}" for metric, said in CALIBRATED.items() for ending, by in RECALIBRATED.items()}
    lines = [f"Recalibrated on {_held_out(result)}", _row(["method", *keys.values()])]
    for method, figures in result["methods"].items():
        lines.append(_row([method, *(interval(figures["groups"]["all"][key]["value"]) for key in keys)]))
    return "\n".join(lines)


def _held_out(result: Mapping[str, Any]) -> str:
    return "local rows in turn" if result["first"] == LADDER[0] else "validation rows"


def _row(cells: list[str]) -> str:
    name, *rest = cells
    return (f"{name:<{NAME}}" + "".join(f" {text:<{WIDTH}}" for text in rest)).rstrip()
