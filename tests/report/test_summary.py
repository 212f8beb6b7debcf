import json

from tardiff.base.estimates import interval
from tardiff.evaluate.lookup import cell, difference
from tardiff.evaluate.summary import summary


def test_the_figures_are_those_of_the_evaluation(evaluated):
    result = json.loads((evaluated / "metrics.json").read_text())
    lines = summary(result)
    assert len(lines) <= 12
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


def test_what_it_says_follows_from_the_intervals(evaluated):
    result = json.loads((evaluated / "metrics.json").read_text())
    change = difference(result, "logistic", "TSTR", "guided", None, "unguided")["metrics"]["auprc"]
    for low, high, word in ((0.01, 0.03, "better"), (-0.03, -0.01, "worse"), (-0.01, 0.03, "no difference found")):
        change |= {"low": low, "high": high}
        assert any(f"AUPRC: {word}" in line for line in summary(result))
    for attack in (attack for numbers in result["privacy"]["sets"].values() for attack in numbers["attacks"]):
        attack["auc"] |= {"low": 0.49, "high": 0.52}
    assert "no leak found" in summary(result)[-1]
    result["privacy"]["sets"]["guided"]["attacks"][0]["auc"] |= {"low": 0.51}
    assert "(a leak): guided;" in summary(result)[-1]
    result["privacy"]["sets"]["guided"]["attacks"][0]["control"] = {"value": 0.52, "low": 0.5, "high": 0.54}
    assert "no leak found" in summary(result)[-1]
    for attack in (attack for numbers in result["privacy"]["sets"].values() for attack in numbers["attacks"]):
        attack["auc"] |= {"low": None, "high": None}
    assert "no attack could be judged" in summary(result)[-1]


def test_who_lies_nearer_to_training_rows_is_named(evaluated):
    result = json.loads((evaluated / "metrics.json").read_text())
    for numbers in result["privacy"]["sets"].values():
        numbers["nearer_train"] |= {"low": 0.45, "high": 0.55}
    assert summary(result)[-1].endswith("copies of training rows")
    result["privacy"]["sets"]["guided"]["nearer_train"] |= {"low": 0.51}
    assert summary(result)[-1].endswith("; nearer to training rows than to held-out ones: guided")


def test_a_price_is_named_beside_a_gain(evaluated):
    result = json.loads((evaluated / "metrics.json").read_text())
    result["privacy"]["sets"]["guided"]["near_copies"] |= {"value": 0.5, "low": 0.4, "high": 0.6}
    result["privacy"]["sets"]["unguided"]["near_copies"] |= {"value": 0.1, "low": 0.05, "high": 0.2}
    (line,) = [line for line in summary(result) if line.startswith("guided - unguided")]
    assert "at a price in " in line
    assert "near copies" in line
