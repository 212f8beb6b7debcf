"""A result as plain text for the terminal, at most 120 columns wide."""

from collections.abc import Iterator, Mapping
from typing import Any

from tardiff.evaluate.lookup import cell, difference, shown_ratio

NAME = 24
NUMBER = 23
Result = Mapping[str, Any]
Estimate = Mapping[str, Any]


def table(result: Result) -> str:
    """The whole result: utility by evaluator, differences, fidelity, privacy; numbers are `value [95 % interval]`."""
    parts = [_head(result), *(_utility(result, model) for model in result["settings"]["models"])]
    parts += [_differences(result), _fidelity(result), _privacy(result)]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def number(estimate: Estimate, signed: bool = False) -> str:
    """`0.321 [0.290, 0.355]`; `-` where undefined."""
    if estimate["value"] is None:
        return "-"
    shape = "+.3f" if signed else ".3f"
    interval = "" if estimate["low"] is None else f" [{estimate['low']:{shape}}, {estimate['high']:{shape}}]"
    return f"{estimate['value']:{shape}}{interval}"


def _head(result: Result) -> list[str]:
    test, settings, mask = result["test"], result["settings"], cell(result, "mask-only", "mask-only")["metrics"]
    return [
        f"Predicting {test['task']} of {test['rows']:,} real {test['split']} rows ({test['positives']:,} {test['classes'][1]}), "
        f"{settings['seeds']} fits a cell.",
        f"In brackets: 95 % intervals over test patients and fits ({settings['bootstrap']:,} resamples, the same for every cell);",
        "they do not cover another training or sampling seed of the generator.",
        f"Chance: AUPRC {test['positives'] / test['rows']:.3f}, AUROC 0.500. "
        f"From the mask alone: AUPRC {number(mask['auprc'])}, AUROC {number(mask['auroc'])}.",
    ]


def _utility(result: Result, model: str) -> list[str]:
    ratio = shown_ratio(result)
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
    """The other sets minus the first one, by evaluator."""
    first, *others = result["synthetic"]
    ratio = shown_ratio(result)
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


def _score_columns(ratio: float | None) -> list[str]:
    return ["alone: AUPRC", "AUROC"] + ([] if ratio is None else [f"with real (x {ratio:g}): AUPRC", "AUROC"])


def _fidelity(result: Result) -> list[str]:
    sets = {"real held-out (floor)": result["fidelity"]["floor"]} | result["fidelity"]["sets"]
    lines = [f"Fidelity to the real training rows ({result['fidelity']['rows']:,} rows of each set; 0 is identical; mean over channels)"]
    lines.append(_row(["", "KS distance", "Wasserstein (sd)", "observed rate, diff.", "correlation, diff."]))
    lines += [_row([name, *_distances(numbers)]) for name, numbers in sets.items()]
    return lines + list(_rule_lines(sets))


def _distances(numbers: Mapping[str, Any]) -> list[str]:
    means = [numbers[key]["mean"] for key in ("ks", "wasserstein", "observed_rate")]
    return [number(estimate) for estimate in (*means, numbers["correlation"])]


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
        lines.append(_row([name, number(numbers["nearer_train"]), number(numbers["closer_than_stranger"]), *counts]))
    lines += ["", "Membership inference (AUC; 0.5 is chance): training or guidance rows against as many rows that nothing learnt"]
    lines.append(_row(["", "attack", "AUC", "found at 1 % alarms", "rows"]))
    owners = {name: numbers["attacks"] for name, numbers in found["sets"].items()}
    for name, attacks in (owners | {"the generator": found["generator"]} | found["classifiers"]).items():
        lines += [_attack(name, attack) for attack in attacks]
    return lines + _attributes(found["sets"])


def _attack(name: str, found: Mapping[str, Any]) -> str:
    hits = found["tpr"]["0.01"]
    rows = f"{found['n_members']:,} {found['members']}"
    return _row([name, found["attack"], number(found["auc"]), "too few rows" if hits is None else number(hits), rows])


def _attributes(sets: Mapping[str, Any]) -> list[str]:
    lines = ["", "Guessing one attribute from the rest by what synthetic rows teach (share right; the largest leak of each set)"]
    lines.append(_row(["", "attribute", "of training rows", "of strangers", "difference"]))
    for name, numbers in sets.items():
        for worst in sorted(numbers["attribute_inference"], key=lambda item: -item["difference"]["value"])[:1]:
            guessed = [number(worst["members"]), number(worst["others"]), number(worst["difference"], signed=True)]
            lines.append(_row([name, worst["attribute"], *guessed]))
    for name, numbers in sets.items():
        group, match = numbers["k_anonymity"], numbers["k_anonymity"]["unique_matches"]
        lines.append(
            f"{name}: k-anonymity of the descriptors {group['k']:,}; {match['value']:.1%} of the rows have those of exactly one "
            f"training row (strangers: {group['stranger_matches']['value']:.1%})"
        )
    return lines


def _scores(item: Mapping[str, Any], signed: bool = False) -> list[str]:
    return [number(item["metrics"][metric], signed) for metric in ("auprc", "auroc")]


def _row(cells: list[str]) -> str:
    name, *numbers = cells
    short = name if len(name) <= NAME else name[: NAME - 1] + "…"
    return (f"{short:<{NAME}}" + "".join(f" {text:<{NUMBER}}" for text in numbers)).rstrip()
