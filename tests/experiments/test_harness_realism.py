"""What the harness says of how real records are."""

import pytest

from experiments.harness import realism
from experiments.harness.protocol import load
from experiments.harness.tables import read, report
from tardiff.base.ledger import Ledger
from tests.experiments.test_harness_tables import TOY, cell


def pair(first, second, measure, value):
    return {"first": first, "second": second, "measure": measure, "value": value}


def slope(channel, value, error, descriptor="Age"):
    return {"channel": channel, "descriptor": descriptor, "slope": value, "standard_error": error}


def looked_at(**changes):
    """Of a cell, with numbers that are easily reckoned with."""
    return {
        "told_apart": {"told_apart_trees": 0.7, "told_apart_charting": 0.52},
        "floor_told_apart": {"told_apart_trees": 0.5, "told_apart_charting": 0.51},
        "distances": {
            "ks": {"mean": 0.03, "worst": "hr", "number": 0.08},
            "co_observation": {"mean": 0.03},
            "observed_rate_by_step": {"mean": 0.02},
        },
        "floor_distances": {"ks": {"mean": 0.02}, "co_observation": {"mean": 0.01}, "observed_rate_by_step": {"mean": 0.0}},
        "attacks": {"calibrated distance": 0.52},
        "height_by_sex": {"real": [160.0, 175.0], "set": [161.0, 172.5]},
        "profile": {
            "real": {
                "pairs": [
                    pair("Gender=female", "Height", "auroc", 0.1),
                    pair("Age", "Height", "spearman", -0.2),
                    pair("a", "b", "phi", None),
                ],
                "slopes": [slope("hr", -0.2, 0.02), slope("map", 1.0, 0.01), slope("temp", 0.1, 0.05), slope("rr", 5.0, 0.1, "Height")],
            },
            "set": {
                "pairs": [
                    pair("Gender=female", "Height", "auroc", 0.2),
                    pair("Age", "Height", "spearman", -0.1),
                    pair("a", "b", "phi", 0.9),
                ],
                "slopes": [slope("hr", -0.1, 0.06), slope("map", 0.5, 0.01), slope("temp", 9.0, 0.05), slope("rr", 9.0, 0.1, "Height")],
            },
        },
    } | changes


def test_measures():
    of = {"records": looked_at()}
    assert realism.measured(of, "ks_by_floor") == pytest.approx(1.5)
    assert realism.measured(of, "co_observation_by_floor") == pytest.approx(3)
    assert realism.measured(of, "observed_rate_by_step_by_floor") is None  # a floor of 0 has no multiples
    assert realism.worst_ks(of) == ("hr", 0.08)
    assert realism.measured(of, "height_by_sex") == pytest.approx(2.5)
    assert realism.measured(of, "sex_from_height") == pytest.approx(0.1)
    assert realism.worst_pair(of) == ("Gender=female, Height", pytest.approx(0.2))  # from -1 to 1
    # hr: off by .1, two standard errors of the difference allow .126; map: off by .5 of which .2 are allowed; temp: not clear
    assert realism.worst_slope(of) == ("map", pytest.approx(2.5))
    assert realism.measured({"records": {"told_apart": {}}}, "ks_by_floor") is None  # looked at lightly
    assert realism.measured({}, "worst_pair") is None


def test_a_table_says_what_is_kept_and_what_is_worst(tmp_path):
    ledger = Ledger(tmp_path / "results.jsonl")
    for seed in range(3):
        ledger.add(cell("main", "unguided", seed, 0.3) | {"records": looked_at()})
    text = report(load(TOY), ledger)
    assert "| measure | at most | unguided | held-out real |" in text
    assert "| told apart by trees (AUROC) | 0.65 | 0.700 [0.700, 0.700], **not kept** | 0.500 [0.500, 0.500] |" in text
    assert "| told apart by the mask alone | 0.55 | 0.520 [0.520, 0.520], kept | 0.510 [0.510, 0.510] |" in text
    assert "| worst slope on age, times what is allowed | 1 | 2.500 [2.500, 2.500], **not kept** (map) |  |" in text
    assert "| KS distance of the worst channel |  | 0.080 [0.080, 0.080] (hr) |  |" in text
    assert read(ledger, load(TOY))["main"].estimate("unguided", "alone", 0, "calibrated distance")[0] == pytest.approx(0.52)
