import json
import shutil

import pytest

from tardiff.report.in_short import in_short
from tardiff.report.page import render
from tardiff.report.report_input import ReportInput


def changed(evaluated, folder, change):
    """The sentences about the guided set of an evaluation whose metrics.json was changed."""
    shutil.copytree(evaluated, folder)
    result = json.loads((folder / "metrics.json").read_text())
    change(result)
    (folder / "metrics.json").write_text(json.dumps(result))
    return in_short(ReportInput.load(folder))["guided"]


@pytest.mark.parametrize(
    ("protocol", "low", "high", "said"),
    [
        ("TSTR", -0.03, -0.01, "They do not replace real patients: trained on them alone, the one kind of model"),
        ("TSTR", -0.03, 0.01, "no kind of model (1 tried) is found to predict real patients worse"),
        ("TSRTR", -0.03, -0.01, "Do not add them to real patients unseen"),
        ("TSRTR", -0.03, 0.01, "you gain nothing that can be shown"),
        ("TSRTR", 0.01, 0.03, "they make the one kind of model better and none worse"),
    ],
)
def test_what_it_says_follows_from_the_intervals(evaluated, tmp_path, protocol, low, high, said):
    def change(result):
        for d in result["utility"]["differences"]:
            if (d["protocol"], d["synthetic"], d["against"]["synthetic"]) == (protocol, "guided", None):
                d["metrics"]["auprc"] |= {"low": low, "high": high, "value": (low + high) / 2}

    sentences = changed(evaluated, tmp_path / "changed", change)
    assert len(sentences) == 5
    assert any(said in sentence for sentence in sentences)


@pytest.mark.parametrize(
    ("low", "control", "said"),
    [
        (0.45, None, "no attack that was tried tells"),
        (0.51, None, "attackers can tell who was learnt from"),
        (0.51, 0.55, "no attack that was tried tells"),  # strangers are told from strangers as well
    ],
)
def test_a_leak_is_said(evaluated, tmp_path, low, control, said):
    def change(result):
        for attack in result["privacy"]["sets"]["guided"]["attacks"]:
            attack["auc"] |= {"low": low, "value": 0.6, "high": 0.7}
            attack["control"] = control and attack["auc"] | {"value": control}

    assert said in changed(evaluated, tmp_path / "changed", change)[-1]


def test_rows_nearer_to_who_was_learnt_from_are_told_where_no_attack_finds_a_leak(evaluated, tmp_path):
    def change(result):
        numbers = result["privacy"]["sets"]["guided"]
        numbers["nearer_train"] |= {"value": 0.6, "low": 0.55, "high": 0.65}
        numbers["copies"] |= {"count": 0}
        for attack in numbers["attacks"]:
            attack["auc"] |= {"low": 0.45}

    said = changed(evaluated, tmp_path / "changed", change)[-1]
    assert "a share of 0.600 [0.550, 0.650] lies nearer" in said
    assert said.endswith("treat them as patients' records.")


@pytest.mark.parametrize(("positives", "rows", "few"), [(16, 127, True), (111, 127, True), (60, 200, False)])
def test_no_difference_found_says_little_where_a_class_is_rare(evaluated, tmp_path, positives, rows, few):
    def change(result):
        result["test"] |= {"positives": positives, "rows": rows}
        for d in result["utility"]["differences"]:
            d["metrics"]["auprc"] |= {"low": -0.03, "high": 0.01, "value": -0.01}

    sentences = changed(evaluated, tmp_path / "changed", change)
    assert [f"so few test stays ({positives} of {rows} died) can hardly tell." in sentence for sentence in sentences[1:3]] == [few, few]


def test_worse_risks_are_told_next_to_a_ranking_that_is_not_worse(evaluated, tmp_path):
    def change(result, low=0.01):
        for d in result["utility"]["differences"]:
            d["metrics"]["auprc"] |= {"low": -0.03, "high": 0.01, "value": -0.01}
            d["metrics"] |= {key: {"low": low, "high": 0.03, "value": 0.02} for key in ("brier", "calibration_error")}

    worse = "But the risks that are predicted become worse beyond chance: Brier score with the one kind of model, calibration error with"
    assert [worse in sentence for sentence in changed(evaluated, tmp_path / "a", change)[1:3]] == [True, True]
    unchanged = changed(evaluated, tmp_path / "b", lambda result: change(result, -0.01))
    assert not any("risks" in sentence for sentence in unchanged)


def test_no_set_is_passed_over(evaluated):
    evaluation = ReportInput.load(evaluated)
    page = render(evaluation)
    assert page.count('class="short"') == len(evaluation.sets)
    for name, sentences in in_short(evaluation).items():
        assert f"“{name}” in short" in page
        assert sentences[0].startswith(f"“{name}” is ")
        assert len(sentences) == 5


def test_it_stands_before_the_verdict(evaluated):
    evaluation = ReportInput.load(evaluated)
    page = render(evaluation)
    assert 0 < page.index('class="short"') < page.index('id="verdict"')
    assert "tardiff quiz" in page
