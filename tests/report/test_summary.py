import json

from tardiff.base.estimates import interval
from tardiff.evaluate.lookup import cell, difference
from tardiff.evaluate.summary_lines import summary
from tardiff.report.in_short import in_short

from .extended import report_input


def curves_of(evaluated):
    return json.loads((evaluated / "figures.json").read_text())


def test_the_figures_are_those_of_the_evaluation(evaluated):
    result = json.loads((evaluated / "metrics.json").read_text())
    lines = summary(result)
    assert len(lines) <= 14
    assert interval(cell(result, "logistic", "TRTR")["metrics"]["auprc"]) in lines[2]
    for name in ("unguided", "guided"):
        (line,) = [line for line in lines if line.startswith(f"{name} ") and " - " not in line]
        attacks = [attack["auc"] for attack in result["privacy"]["sets"][name]["attacks"]]
        strongest = max((auc for auc in attacks if auc["low"] is not None), key=lambda auc: auc["low"])
        for estimate in (
            cell(result, "logistic", "TSTR", name)["metrics"]["auprc"],
            cell(result, "logistic", "TSRTR", name, 1.0)["metrics"]["auprc"],
            result["fidelity"]["sets"][name]["told_apart_trees"],
            strongest,
        ):
            assert interval(estimate) in line
    change = difference(result, "logistic", "TSTR", "guided", None, "unguided")["metrics"]["auprc"]
    assert any(line.startswith(f"guided - unguided, alone: {interval(change, signed=True)} AUPRC: ") for line in lines)
    for name in ("unguided", "guided"):
        change = difference(result, "logistic", "TSRTR", name, 1.0, None)["metrics"]["auprc"]
        assert any(line.startswith(f"real + {name} - real: {interval(change, signed=True)} AUPRC: ") for line in lines)


def test_what_it_says_follows_from_the_intervals(evaluated):
    result = json.loads((evaluated / "metrics.json").read_text())
    change = difference(result, "logistic", "TSTR", "guided", None, "unguided")["metrics"]["auprc"]
    for low, high, word in ((0.01, 0.03, "better"), (-0.03, -0.01, "worse"), (-0.01, 0.03, "no difference found")):
        change |= {"low": low, "high": high}
        assert any(f"alone: {interval(change, signed=True)} AUPRC: {word}" in line for line in summary(result))


def test_the_privacy_line_says_what_was_found_and_what_it_means(evaluated):
    result = json.loads((evaluated / "metrics.json").read_text())
    sets = result["privacy"]["sets"]
    for numbers in sets.values():
        numbers["copies"]["count"] = 0
        numbers["nearer_train"] |= {"low": 0.45, "high": 0.55}
        for attack in numbers["attacks"]:
            attack["auc"] |= {"low": 0.49, "high": 0.52}
    found, near = sets["guided"]["attacks"][0], sets["guided"]["nearer_train"]
    none = "privacy: no leak found in unguided, guided, which proves no safety; 0 copies of training rows"
    assert summary(result)[-1] == none
    near["low"] = 0.51
    rest = "; no leak found in unguided, which proves no safety; 0 copies of training rows"
    assert summary(result)[-1] == f"privacy: treat guided as patients' records (nearer to training patients than to strangers){rest}"
    assert "treat them as patients' records" in in_short(report_input(result, curves_of(evaluated)))["guided"][-1]
    found["auc"]["low"] = 0.51
    assert f"guided as patients' records (an attack tells training patients from strangers: a leak){rest}" in summary(result)[-1]
    near["low"], found["control"] = 0.45, {"value": 0.52, "low": 0.5, "high": 0.54}
    assert summary(result)[-1] == none
    sets["guided"]["copies"]["count"] = 2
    assert "treat guided as patients' records (copies of training patients)" in summary(result)[-1]
    for attack in (attack for numbers in sets.values() for attack in numbers["attacks"]):
        attack["auc"] |= {"low": None, "high": None}
    assert "unguided as patients' records (no attack could be judged)" in summary(result)[-1]
    assert "attacks could not be judged" in in_short(report_input(result, curves_of(evaluated)))["unguided"][-1]


def test_at_most_fourteen_lines(evaluated):
    result = json.loads((evaluated / "metrics.json").read_text())
    utility, names = result["utility"], ["unguided", *(f"guided{k}" for k in range(5))]
    for part in (result["synthetic"], result["fidelity"]["sets"], result["privacy"]["sets"]):
        part |= dict.fromkeys(names[1:], part["guided"])
        del part["guided"]
    for part in (utility["cells"], utility["differences"]):
        part += [item | {"synthetic": name} for item in part for name in names[1:] if item["synthetic"] == "guided"]
    lines = summary(result)
    assert len(lines) <= 14
    assert lines[-1].startswith("privacy: ")
    assert any(line.startswith("guided0 - unguided, alone: ") for line in lines)


def test_a_price_is_named_beside_a_gain(evaluated):
    result = json.loads((evaluated / "metrics.json").read_text())
    result["privacy"]["sets"]["guided"]["near_copies"] |= {"value": 0.5, "low": 0.4, "high": 0.6}
    result["privacy"]["sets"]["unguided"]["near_copies"] |= {"value": 0.1, "low": 0.05, "high": 0.2}
    (line,) = [line for line in summary(result) if line.startswith("guided - unguided")]
    assert "; at a price in " in line
    assert all("," not in cost for cost in line.split("at a price in ")[1].split("; "))
    assert "near copies" in line
