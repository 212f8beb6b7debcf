"""A result as plain text for the terminal, at most 120 columns wide."""

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from tardiff.base.estimates import ONE_DRAW, interval
from tardiff.evaluate.lookup import cell, difference, shown_ratio
from tardiff.evaluate.price import costs

WIDTH = 118
NAME = 21
NUMBER = 23
Result = Mapping[str, Any]


def table(result: Result) -> str:
    """What a result says in short: utility by judge, differences and their price, groups, forecasts, fidelity, realism, privacy.

    Numbers are `value [95 % interval]`; the result itself holds more.
    """
    parts = [_head(result), *(_utility(result, model) for model in result["settings"]["models"])]
    parts += [part(result) for part in (_differences, _costs, _subgroups, _forecast, _fidelity, _realism, _privacy)]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _head(result: Result) -> list[str]:
    test, settings, mask = result["test"], result["settings"], cell(result, "mask-only", "mask-only")["metrics"]
    begun = ONE_DRAW if settings["seeds"] == 1 else ""
    return [
        f"{begun}Predicting {test['task']} of {test['rows']:,} real {test['split']} rows ({test['positives']:,} {test['classes'][1]}), "
        f"{settings['seeds']} fits a cell.",
        f"In brackets: 95 % intervals over test patients and fits ({settings['bootstrap']:,} resamples, the same for every cell);",
        "each synthetic set is one draw of its generator: they do not cover another training or sampling seed.",
        f"Chance: AUPRC {test['positives'] / test['rows']:.3f}, AUROC 0.500. "
        f"From the mask alone: AUPRC {interval(mask['auprc'])}, AUROC {interval(mask['auroc'])}.",
    ]


def _utility(result: Result, model: str) -> list[str]:
    ratio = shown_ratio(result["settings"]["ratios"])
    lines = [f"Utility, {model}", _row(["trained on", *_score_columns(ratio)]), _row(["real", *_scores(cell(result, model, "TRTR"))])]
    for name in result["synthetic"]:
        scores = _scores(cell(result, model, "TSTR", name))
        if ratio is not None:
            added = cell(result, model, "TSRTR", name, ratio)
            scores += _scores(added)
            scores[-1] += " *" if added["short_of_rows"] else ""
        lines.append(_row([name, *scores]))
    if any(line.endswith("*") for line in lines):
        lines.append("* the synthetic set has fewer rows than the ratio asks for; all of them were used")
    return lines


def _differences(result: Result) -> list[str]:
    """The other sets minus the first one, by judge."""
    first, *others = result["synthetic"]
    ratio = shown_ratio(result["settings"]["ratios"])
    lines = []
    for name in others:
        lines += [f"Difference {name} - {first} (paired)", _row(["evaluator", *_score_columns(ratio)])]
        for model in result["settings"]["models"]:
            paired = [
                difference(result, model, "TSTR", name, None, first),
                *([] if ratio is None else [difference(result, model, "TSRTR", name, ratio, first)]),
            ]
            lines.append(_row([model, *(text for item in paired for text in _scores(item, signed=True))]))
    return lines


def _costs(result: Result) -> list[str]:
    """What the other sets cost compared with the first one."""
    first, *others = result["synthetic"]
    lines = []
    for name in others:
        lines += [f"What {name} costs compared with {first}", _row(["", name, first, "difference (paired)"])]
        for cost in costs(result, name):
            change = "" if cost.change is None else interval(cost.change, signed=True)
            lines.append(_row([cost.name, interval(cost.ours), interval(cost.first), change]) + (" worse" if cost.worse else ""))
    return lines


def _score_columns(ratio: float | None) -> list[str]:
    return ["alone: AUPRC", "AUROC"] + ([] if ratio is None else [f"with real (x {ratio:g}): AUPRC", "AUROC"])


def _subgroups(result: Result) -> list[str]:
    """The worst and the best served group, by what the first judge was trained on."""
    model = result["settings"]["models"][0]
    judged = [group for group in result["subgroups"] if group["reason"] is None]
    if not judged:
        return []
    lines = [f"Groups of test rows by AUROC, {model} ({len(judged)} groups; {len(result['subgroups']) - len(judged)} too small to judge)"]
    lines.append(_row(["trained on", "worst served", "", "best served", ""]))
    for name in (None, *result["synthetic"]):
        identity = {"model": model, "protocol": "TSTR" if name else "TRTR", "synthetic": name}
        scores = [(next(c for c in group["cells"] if identity.items() <= c.items())["metrics"]["auroc"], group) for group in judged]
        ranked = sorted((pair for pair in scores if pair[0]["value"] is not None), key=lambda pair: pair[0]["value"])
        ends = (ranked[0], ranked[-1]) if ranked else ()
        texts = [(_short(f"{group['static']}: {group['group']}", NUMBER), interval(score)) for score, group in ends]
        lines.append(_row([name or "real", *(text for pair in texts for text in pair)]))
    return lines


def _forecast(result: Result) -> list[str]:
    numbers = {"real": result["forecast"]["real"]} | result["forecast"]["sets"]
    numbers["(nothing changes)"] = result["forecast"]["carried_forward"]
    lines = ["Forecasting the next step of real test rows (mean absolute error in normal scores)", _row(["trained on", "error"])]
    return lines + [_row([name, interval(estimate)]) for name, estimate in numbers.items()]


def _fidelity(result: Result) -> list[str]:
    floor, others = result["fidelity"]["floor"], result["fidelity"]["sets"]
    sets = {"real held-out (floor)": floor} | others
    shown = {
        "ks": "KS distance",
        "correlation": "correlation, diff.",
        "autocorrelation_function": "autocorrelation, diff.",
        "co_observation": "co-observation, diff.",
    }
    rows = f"{result['fidelity']['rows']:,} rows of each set"
    lines = [f"Fidelity to the real training rows ({rows}; 0 is identical)", _row(["", *shown.values()])]
    lines += [_row([name, *(interval(numbers[key].get("mean", numbers[key])) for key in shown)]) for name, numbers in sets.items()]
    for name, metrics in result["fidelity"]["against_floor"].items():
        worse = [_with_worst(key, found) for key, found in metrics.items() if found["worse"]]
        said = f"{name}: {len(worse)} of {len(metrics)} numbers worse than the floor"
        lines += textwrap.wrap(": ".join([said, ", ".join(worse)]) if worse else said, WIDTH)
    return lines + list(_rule_lines(sets))


def _with_worst(key: str, found: Mapping[str, Any]) -> str:
    """A metric, and the channel in which it is surely worse."""
    worst = found["worst"]
    return f"{key} ({worst['name']})" if worst and worst["low"] > 0 else key


def _realism(result: Result) -> list[str]:
    sets = {"real held-out (floor)": result["fidelity"]["floor"]} | result["fidelity"]["sets"]
    keys = [key for key in result["fidelity"]["floor"] if key.startswith("told_apart_")]
    lines = ["Told from real training rows, decoded (AUROC on unseen patients; 0.5 cannot be told)"]
    lines.append(_row(["", *(f"by {key.removeprefix('told_apart_')}" for key in keys)]))
    lines += [_row([name, *(interval(numbers[key]) for key in keys)]) for name, numbers in sets.items()]
    for name, reasons in result["realism"]["reasons"].items():
        lines.append(f"What gives {name} away:" if reasons else f"{name}: nothing gives it away")
        for reason in reasons:
            lines += textwrap.wrap(reason["words"], WIDTH, initial_indent="  ", subsequent_indent="    ")
    return lines


def _rule_lines(sets: Mapping[str, Any]) -> Iterator[str]:
    """Broken rules in words, for the sets that break any."""
    rules = {"ordering_violations": "pairs of values in an impossible order", "out_of_limits": "values outside their limits"}
    for name, numbers in sets.items():
        for key, text in rules.items():
            if numbers[key]["value"]:
                yield f"{name}: {numbers[key]['value']:.2%} of {text}"


def _privacy(result: Result) -> list[str]:
    found = result["privacy"]
    lines = ["Privacy (distance to the closest record; 0.5 is no leak found, 1 is copying)"]
    lines.append(_row(["", "nearer to train", "closer than strangers", "copies of train rows", "near copies"]))
    for name, numbers in found["sets"].items():
        counts = [f"{numbers[key]['count']:,} of {numbers[key]['n']:,} rows" for key in ("copies", "near_copies")]
        lines.append(_row([name, interval(numbers["nearer_train"]), interval(numbers["closer_than_stranger"]), *counts]))
    lines += [
        "",
        f"Membership inference (AUC; 0.5 is chance): {found['rows']:,} training rows, or guidance rows (*), against held-out rows",
    ]
    lines.append(_row(["", "attack", "AUC", "control: held-out only", "found at 1 % alarms"]))
    owners = {name: numbers["attacks"] for name, numbers in found["sets"].items()}
    for name, attacks in (owners | {"the generator": found["generator"]} | found["classifiers"]).items():
        lines += [_attack(name, attack) for attack in attacks]
    return [*lines, _calibration(found["references"]), *_attributes(found["sets"])]


def _attack(name: str, found: Mapping[str, Any]) -> str:
    hits, attack = found["tpr"]["0.01"], found["attack"] + ("" if found["members"] == "train" else " *")
    control = "" if found["control"] is None else interval(found["control"])
    return _row([name, attack, interval(found["auc"]), control, "too few rows" if hits is None else interval(hits)])


def _calibration(references: Mapping[str, Any] | None) -> str:
    """What stands behind the calibrated attacks."""
    if references is None:
        return "Membership inference by reference models: not measured; give --run"
    if references["reason"]:
        return f"Membership inference by reference models: not measured; {references['reason']}"
    return (
        f"calibrated: by {references['models']} reference model(s), {references['steps']:,} steps each, of {references['rows']:,} held-out "
        f"rows; {references['others']:,} others are the outsiders"
    )


def _attributes(sets: Mapping[str, Any]) -> list[str]:
    lines = ["", "Guessing one attribute from the rest by what synthetic rows teach (share right; the largest leak of each set)"]
    lines.append(_row(["", "attribute", "of training rows", "of strangers", "difference"]))
    for name, numbers in sets.items():
        for worst in sorted(numbers["attribute_inference"], key=lambda item: -item["difference"]["value"])[:1]:
            guessed = [interval(worst["members"]), interval(worst["others"]), interval(worst["difference"], signed=True)]
            lines.append(_row([name, worst["attribute"], *guessed]))
    for name, numbers in sets.items():
        group, match = numbers["k_anonymity"], numbers["k_anonymity"]["unique_matches"]
        lines.append(
            f"{name}: k-anonymity of the descriptors {group['k']:,}; {match['value']:.1%} of the rows have those of exactly one "
            f"training row (strangers: {group['stranger_matches']['value']:.1%})"
        )
    return lines


def _scores(item: Mapping[str, Any], signed: bool = False) -> list[str]:
    return [interval(item["metrics"][metric], signed) for metric in ("auprc", "auroc")]


def _row(cells: list[str]) -> str:
    name, *numbers = cells
    return (f"{_short(name, NAME):<{NAME}}" + "".join(f" {text:<{NUMBER}}" for text in numbers)).rstrip()


def _short(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
