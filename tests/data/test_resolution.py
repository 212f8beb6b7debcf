import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from tardiff.data.codec import ValueMap
from tardiff.data.resolution import (
    ABSENT,
    FIRST_GRID,
    FREE,
    NEAR,
    PERIOD,
    REPEAT,
    Grid,
    before,
    channel_grids,
    chart_of,
    fit_grids,
    grid_of,
    settle,
)

WIDE = (-1e6, 1e6)


def steps(values):
    return [(grid.step, grid.decimals) for grid in fit_grids(np.asarray(values, dtype=np.float32))]


def test_grids_of_familiar_channels():
    random = np.random.default_rng(0)
    pulse = np.rint(random.normal(80, 15, 4000))
    assert steps(pulse) == [(1.0, None)]
    mixed = np.where(random.random(4000) < 0.2, pulse + 0.5, pulse)
    assert steps(mixed) == [(1.0, None), (0.5, None)]
    assert steps(np.round(random.normal(37, 0.6, 4000), 1)) == [(0.1, None)]
    thirds = np.where(random.random(4000) < 0.3, np.round(pulse + 1 / 3, 2), pulse)
    assert steps(thirds) == [(1.0, None), (pytest.approx(1 / 3), 2)]
    fahrenheit = (np.round(random.normal(98.6, 1, 4000), 1) - 32) / 1.8
    celsius = np.round(random.normal(37, 0.6, 4000), 1)
    assert steps(np.where(random.random(4000) < 0.2, celsius, np.round(fahrenheit, 6))) == [(pytest.approx(1 / 18), None), (0.1, None)]
    assert steps(random.normal(size=4000)) == [(0.0, None)]
    assert steps(1e-7 * random.normal(size=4000)) == [(0.0, None)]
    assert steps(np.rint(random.normal(50, 10, 4000)) * 1e-7) == [(1e-7, None)]
    assert steps([]) == [(0.0, None)]
    assert steps(np.zeros(50)) == [(0.0, None)]


@given(st.lists(st.floats(-1e5, 1e5, width=32), min_size=1, max_size=200))
@settings(max_examples=100)
def test_every_value_has_a_grid_that_holds_it(values):
    value = np.array(values, dtype=np.float32).astype(np.float64)
    grids = fit_grids(value)
    number = grid_of(value, grids)
    assert all(grids[k].holds(np.array([v]))[0] for v, k in zip(value, number, strict=True))
    assert all(not grids[j].holds(np.array([v]))[0] for v, k in zip(value, number, strict=True) for j in range(k))


def naive_chart(value, mask, grids):
    chart = np.zeros(value.shape, dtype=int)
    for row in range(len(value)):
        last = None
        for t in range(value.shape[1]):
            if mask[row, t]:
                chart[row, t] = REPEAT if value[row, t] == last else FIRST_GRID + grid_of(value[row, t : t + 1], grids)[0]
                last = value[row, t]
    return chart


def random_records(seed, rows=30, length=12):
    random = np.random.default_rng(seed)
    value = np.rint(random.normal(80, 3, (rows, length))) + random.choice([0, 0, 0, 0.5, 0.25], (rows, length))
    return value, random.random((rows, length)) < 0.6


@pytest.mark.parametrize("seed", range(5))
def test_charts_name_what_is_absent_repeated_and_new(seed):
    value, mask = random_records(seed)
    grids = fit_grids(value[mask])
    np.testing.assert_array_equal(chart_of(value, mask, grids), naive_chart(value, mask, grids))


def test_before_is_the_charted_value_before():
    value, mask = np.array([[1.0, 2.0, 3.0, 4.0]]), np.array([[True, False, True, True]])
    np.testing.assert_array_equal(before(value, mask), [[np.nan, 1, 1, 3]])


@pytest.mark.parametrize("seed", range(5))
def test_settling_what_is_charted_changes_nothing(seed):
    value, mask = random_records(seed)
    grids = fit_grids(value[mask])
    settled = settle(value, chart_of(value, mask, grids), grids, WIDE)
    np.testing.assert_array_equal(settled, np.where(mask, value, np.nan))


@pytest.mark.parametrize("seed", range(5))
def test_settled_values_say_what_their_chart_says(seed):
    random = np.random.default_rng(seed)
    grids = (Grid(1.0), Grid(0.5), Grid(1 / 3, 2), FREE)
    chart = random.integers(0, FIRST_GRID + len(grids), (40, 15))
    chart[:, 0] = FIRST_GRID  # nothing is there to be repeated
    settled = settle(random.normal(80, 2, chart.shape), chart, grids, (0.0, 300.0))
    again = chart_of(settled, chart != ABSENT, grids)
    known = chart < FIRST_GRID + 3  # free numbers may stand on a grid by chance, not the other way
    np.testing.assert_array_equal(again[known], chart[known])


def test_settled_values_keep_to_their_limits():
    chart = np.full((1, 3), FIRST_GRID)
    np.testing.assert_array_equal(settle(np.array([[-5.0, 0.2, 400.0]]), chart, (Grid(1.0),), (0.0, 300.0)), [[0, 1, 300]])
    np.testing.assert_array_equal(settle(np.array([[7.0, 7.0, 7.0]]), chart, (Grid(1.0),), (7.0, 7.0)), [[7, 7, 7]])


def test_a_repeat_of_nothing_is_a_new_value():
    np.testing.assert_array_equal(settle(np.array([[71.3, 75.0]]), np.array([[REPEAT, REPEAT]]), (Grid(1.0),), WIDE), [[71, 71]])


def test_a_step_below_zero_is_refused():
    with pytest.raises(ValueError, match="step"):
        Grid(-1.0)


DIGITS = tuple(tuple(np.resize(row, 20).tolist()) for row in ([1.6, 0.4, 0.0, 1.2, 1.8], [1.0, 0.5, 2.5, 0.5, 0.5], [0.8, 1.2]))


@given(st.integers(-400, 400), st.floats(0.01, 0.99), st.sampled_from([(), DIGITS]))
def test_cells_tile_the_line_and_lead_back(number, part, digits):
    grid = Grid(0.5, digits=digits)
    value = np.array([number, number + 1]) * 0.5
    middle, width = grid.cells(value)
    assert middle[0] + width[0] / 2 == pytest.approx(middle[1] - width[1] / 2, abs=1e-9)
    if width[0] > 1e-9:
        assert grid.nearest(middle[:1] + (part - 0.5) * width[:1])[0] == value[0]
    block, digit = divmod(number + NEAR // 2, PERIOD)
    row = min(len(digits) - 1, (-block - 1 if block < 0 else block).bit_length())
    assert width[0] == pytest.approx(0.5 * (digits[row][digit] if digits else 1))


@given(st.lists(st.integers(-90, 400), min_size=60, max_size=60), st.sampled_from([1.0, 0.1, 10.0]))
def test_preferences_bend_the_line_by_less_than_their_neighbourhood(number, step):
    grid = Grid(step).fitted(np.array(number) * step)
    every = np.arange(-100, 500) * step
    assert np.all(np.abs(grid.cells(every)[0] - every) < NEAR / 2 * step)


def test_large_values_are_rounded_more():
    """Volumes: tens below 200, hundreds and fifties above."""
    random = np.random.default_rng(0)
    volume = np.exp(random.normal(4.5, 1.0, 40_000))
    rounded = np.where((volume > 200) & (random.random(40_000) < 0.5), 100, 10)
    value = rounded * np.rint(volume / rounded)
    grid = Grid(10.0).fitted(value)
    drawn = grid.nearest(ValueMap.fit(*grid.cells(value)).to_value(random.standard_normal(40_000)))
    for low, high in ((0, 150), (250, 550), (600, 1200)):
        share, wanted = (np.mean(of[(low <= of) & (of < high)] % 100 == 0) for of in (drawn, value))
        assert share == pytest.approx(wanted, abs=0.04), (low, high)


def test_a_smooth_density_is_written_with_the_digits_that_were_charted():
    random = np.random.default_rng(0)
    rate = np.rint(random.normal(84, 16, 40_000))
    rate = np.where(random.random(len(rate)) < 0.3, 10 * np.rint(rate / 10), rate)  # a third is rounded to tens
    fahrenheit = np.round(np.rint(10 * random.normal(98.4, 1.3, 40_000)) / 10, 1)
    celsius = np.round((fahrenheit - 32) / 1.8, 1)
    for values, step, often in ((rate, 1.0, 10), (celsius, 0.1, 5)):
        grid = Grid(step).fitted(values)
        middle, width = grid.cells(values)
        value_map = ValueMap.fit(middle, width)
        drawn = grid.nearest(value_map.to_value(random.standard_normal(40_000)))
        share, wanted = (np.mean(np.rint(of / step) % often == 0) for of in (drawn, values))
        assert abs(wanted - 1 / often) > 0.05
        assert share == pytest.approx(wanted, abs=0.02)
        assert ks_2samp(drawn.round(3), values.round(3)).statistic < 0.02


def test_few_places_have_no_preferred_digits():
    assert Grid(1.0).fitted(np.repeat(np.arange(3.0, 16.0), 100)).digits == ()
    assert Grid(1.0).fitted(np.array([])).digits == ()


def test_nought_is_a_grid_of_its_own_where_nothing_lies_below():
    random = np.random.default_rng(0)
    volume = 10 * np.rint(random.gamma(2, 4, 5000) + 0.6)
    none = np.where(random.random(5000) < 0.03, 0.0, volume)
    grids = channel_grids(none)
    assert grids[1:] == fit_grids(none[none > 0])
    assert np.array_equal(grid_of(none, grids) == 0, none == 0)
    middle, width = grids[0].cells(np.zeros(1))
    assert (middle[0], width[0]) == (pytest.approx(0, abs=1e-9), pytest.approx(10))
    chart = np.array([[FIRST_GRID, REPEAT, FIRST_GRID + 1, FIRST_GRID]])
    assert settle(np.array([[31.0, 2.0, 4.0, 500.0]]), chart, grids, (0, 5000)).tolist() == [[0.0, 0.0, 10.0, 0.0]]
    assert channel_grids(none - 100)[0].step == 10  # a level among others
    assert len(channel_grids(np.zeros(10))) == 1
