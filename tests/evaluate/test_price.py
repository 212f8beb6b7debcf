"""What stands beside a gain."""

import pytest

from tardiff.evaluate.price import costs


def number(value, width=0.01):
    return {"value": value, "low": None if value is None else value - width, "high": None if value is None else value + width}


def result(trts=(0.7, 0.7), slope=(0.9, 0.9), brier=0.0, correlation=(0.02, 0.02), copies=(0.01, 0.01), width=0.05):
    """An evaluation of two sets, `plain` and `guided`, of which the second may cost something."""
    names = ("plain", "guided")
    cells = [
        {"model": "trees", "protocol": "TRTS", "synthetic": n, "metrics": {"auroc": number(v)}} for n, v in zip(names, trts, strict=True)
    ]
    for name, value in zip(names, slope, strict=True):
        metrics = {"calibration_slope": number(value), "brier": number(0.1)}
        cells.append({"model": "trees", "protocol": "TSTR", "synthetic": name, "metrics": metrics})
    change = {"calibration_slope": number(slope[1] - slope[0], width), "brier": number(brier, 0.001)}
    differences = [
        {"model": model, "protocol": "TSTR", "synthetic": "guided", "against": {"synthetic": against}, "metrics": change}
        for model, against in (("gru", "plain"), ("trees", None), ("trees", "plain"))
    ]
    pairs = zip(names, correlation, copies, strict=True)
    found = [(name, {"correlation": {"mean": number(c)}}, {"near_copies": number(n, 0.002)}) for name, c, n in pairs]
    return {
        "synthetic": dict.fromkeys(names),
        "utility": {"cells": cells, "differences": differences},
        "fidelity": {"sets": {name: fidelity for name, fidelity, _ in found}},
        "privacy": {"sets": {name: privacy for name, _, privacy in found}},
    }


@pytest.mark.parametrize(
    ("changes", "worse"),
    [
        ({}, None),
        ({"trts": (0.7, 0.8)}, "clearer cases (AUROC)"),
        ({"trts": (0.7, 0.71)}, None),  # the intervals meet
        ({"slope": (0.9, 0.6)}, "calibration slope (of 1)"),
        ({"slope": (0.6, 0.9)}, None),  # surely another slope, and nearer to 1
        ({"slope": (0.9, 0.6), "width": 0.4}, None),
        ({"brier": 0.002}, "Brier score"),
        ({"brier": -0.002}, None),
        ({"correlation": (0.02, 0.05)}, "correlations off"),
        ({"copies": (0.01, 0.02)}, "near copies"),
    ],
)
def test_what_is_surely_worse_is_called_so(changes, worse):
    found = costs(result(**changes), "guided")
    assert [cost.name for cost in found if cost.worse] == ([worse] if worse else [])
    assert [cost.name for cost in found] == [
        "clearer cases (AUROC)",
        "calibration slope (of 1)",
        "Brier score",
        "correlations off",
        "near copies",
    ]
    assert found[2].change == number(changes.get("brier", 0.0), 0.001)


def test_what_is_undefined_is_left_out():
    found = costs(result(correlation=(0.02, None)), "guided")
    assert "correlations off" not in [cost.name for cost in found]


def test_a_result_that_lacks_a_metric_or_a_judge_says_the_rest():
    found = result()
    del found["utility"]["cells"][2]["metrics"]["brier"]
    assert [cost.name for cost in costs(found, "guided")] == [
        "clearer cases (AUROC)",
        "calibration slope (of 1)",
        "correlations off",
        "near copies",
    ]
    found["utility"]["cells"].clear()
    assert [cost.name for cost in costs(found, "guided")] == ["correlations off", "near copies"]
