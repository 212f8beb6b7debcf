import pytest

from tardiff.base.estimates import interval, shown


@pytest.mark.parametrize(
    ("estimate", "signed", "text"),
    [
        ((0.3214, 0.29, 0.355), False, "0.321 [0.290, 0.355]"),
        ((0.01, -0.02, 0.04), True, "+0.010 [-0.020, +0.040]"),
        ((0.0002, 0.0001, 0.0003), True, "+0.0002 [+0.0001, +0.0003]"),  # a difference that is one is not shown as 0
        ((-0.02, -0.04, -0.00004), True, "-0.020 [-0.040, <0]"),
        ((1e-9, 1e-10, 1e-8), True, "+0.000000 [>0, >0]"),
        ((0.012, 0.0004, 0.024), True, "+0.012 [>0, +0.024]"),
        ((0.0002, 0.0, 0.0004), True, "+0.000 [+0.000, +0.000]"),
        ((0.0002, 0.0001, 0.0003), False, "0.000 [0.000, 0.000]"),
        ((0.3, None, None), False, "0.300 [too few]"),
        ((0.3, float("nan"), float("nan")), True, "+0.300 [too few]"),
    ],
)
def test_an_estimate_with_its_interval(estimate, signed, text):
    assert shown(*estimate, signed=signed) == text


def test_no_number_is_a_dash():
    assert interval({"value": None, "low": None, "high": None}) == "-"
