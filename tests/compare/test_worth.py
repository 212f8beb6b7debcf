"""Worth in labelled local stays, on curves that are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tardiff.compare.worth import crossing, worth

SIZES = (100, 200, 400, 800)


def curve(slope=0.1, offset=0.0, spread=0.0, seeds=5, seed=0):
    """AUPRC = offset + slope log2(n / 100), moved alike in all fits of a size by noise of its own."""
    random = np.random.default_rng(seed)
    shape = (1 + 200, seeds)
    return {n: offset + slope * np.log2(n / 100) + spread * random.normal(size=shape) for n in SIZES}


@pytest.mark.parametrize("stays", [100, 141.42, 300, 800])
def test_a_way_on_the_curve_is_worth_the_stays_that_it_has(stays):
    found = worth(np.full((201, 5), 0.1 * np.log2(stays / 100)), curve())
    assert found.value == pytest.approx(stays, rel=1e-3)
    assert found.low == pytest.approx(stays, rel=1e-3)
    assert found.high == pytest.approx(stays, rel=1e-3)


def test_beyond_the_curve():
    assert str(worth(np.full((201, 5), 0.5), curve())) == "more than 800 [more than 800, more than 800]"
    assert str(worth(np.full((201, 5), -0.1), curve())) == "fewer than 100 [fewer than 100, fewer than 100]"
    assert worth(np.full((201, 5), 0.5), curve()).record() == {
        "value": None,
        "low": None,
        "high": None,
        "text": "more than 800 [more than 800, more than 800]",
    }
    assert "too few" in str(worth(np.full((201, 2), 0.15), curve(seeds=2)))


def test_ends_are_where_the_interval_of_the_difference_is_zero():
    """With normal noise of standard error e in the way alone the ends are 1.96 e / slope doublings away."""
    random = np.random.default_rng(0)
    error, fits = 0.03, 400
    way = 0.15 + np.vstack([np.zeros((1, fits)), np.repeat(error * random.normal(size=(4000, 1)), fits, axis=1)])
    found = worth(way, {n: np.full((4001, fits), 0.1 * np.log2(n / 100)) for n in SIZES})
    assert found.value == pytest.approx(100 * 2**1.5, rel=1e-3)
    assert np.log2(found.high / found.value) == pytest.approx(1.96 * error / 0.1, rel=0.05)
    assert np.log2(found.value / found.low) == pytest.approx(1.96 * error / 0.1, rel=0.05)


def test_the_interval_covers_what_is_true():
    """Seeds whose curves and ways wander: the true worth is inside in about 95 % of repetitions."""
    inside = 0
    for repeat in range(100):
        random = np.random.default_rng(repeat)
        of_seed = random.normal(size=(len(SIZES) + 1, 5)) * 0.01
        found = worth(
            (0.1 + of_seed[0])[None].repeat(3, 0),
            {n: (0.1 * np.log2(n / 100) + of_seed[1 + k])[None].repeat(3, 0) for k, n in enumerate(SIZES)},
        )
        inside += found.low <= 200 <= found.high
    assert 88 <= inside <= 100


@given(st.lists(st.floats(-1, 1), min_size=4, max_size=4), st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_a_better_way_is_worth_no_fewer(difference, more):
    worse, better = np.array(difference), np.array(difference) + np.array(more)
    assert crossing(SIZES, better) >= crossing(SIZES, worse) * (1 - 1e-9)
