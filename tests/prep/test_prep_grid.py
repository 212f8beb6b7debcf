"""The grid against a plain loop."""

import math

import ibis
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.concepts import Concepts, Place, Variable
from data_prep.grid import hourly, to_arrays

LIMITS = (-50.0, 60.0)
KINDS = ("mean", "last", "sum", "max")
CONCEPTS = Concepts(
    variables={
        kind: Variable("", "", LIMITS, "", kind, 0.0, {"x": ((Place("line"), Place("drain", sign=-1)), (Place("cuff"),))}) for kind in KINDS
    },
    sets={"x": {}},
    orderings=(),
    statics={},
    digest="",
)
HOURS = 3

entries = st.lists(
    st.tuples(
        st.integers(1, 2),
        st.sampled_from(["line", "drain", "cuff", "other"]),
        st.one_of(
            st.sampled_from([-1 / 60, 0.0, 59.0 + 59 / 60, 60.0, 179.5, 180.0, 30.0]), st.floats(-100, 300).map(lambda x: round(x, 3))
        ),
        st.one_of(st.sampled_from([*LIMITS, LIMITS[0] - 0.01, LIMITS[1] + 0.01]), st.floats(-80, 80).map(lambda x: round(x, 2))),
    ),
    max_size=30,
)


def to_events(rows: list[tuple[int, str, float, float]]) -> ibis.Table:
    frame = pd.DataFrame(rows, columns=["stay_id", "item", "minute", "value"])
    frame = frame.astype({"stay_id": "int64", "item": "str", "minute": "float64", "value": "float64"})
    return ibis.memtable(frame.assign(available_minute=frame["minute"]))


def naive(rows: list[tuple[int, str, float, float]], kind: str, step_hours: float) -> dict[tuple[int, int], float]:
    """The rule written as a loop: {(stay, step): value}."""
    bins: dict[tuple[int, int], dict[int, list[tuple[float, float]]]] = {}
    for stay, item, minute, value in rows:
        if item == "other" or not 0 <= minute < 60 * HOURS or not LIMITS[0] <= value <= LIMITS[1]:
            continue
        rank, sign = (1, 1) if item == "cuff" else (0, -1 if item == "drain" else 1)
        bins.setdefault((stay, math.floor(minute / 60 / step_hours)), {}).setdefault(rank, []).append((minute, sign * value))
    result = {}
    for cell, groups in bins.items():
        found = sorted(groups[min(groups)])
        values = [value for _, value in found]
        number = {"mean": math.fsum(values) / len(values), "last": values[-1], "sum": math.fsum(values), "max": max(values)}[kind]
        result[cell] = min(max(number, LIMITS[0]), LIMITS[1])
    return result


@settings(max_examples=40, deadline=None)
@given(rows=entries, step_hours=st.sampled_from([1.0, 0.5, 3.0]))
def test_grid_is_the_loop(rows: list[tuple[int, str, float, float]], step_hours: float) -> None:
    steps = round(HOURS / step_hours)
    cells = hourly(to_events(rows), CONCEPTS, "x", KINDS, steps, step_hours).to_pyarrow()
    values, mask = to_arrays(cells, np.array([1, 2]), len(KINDS), steps)
    for channel, kind in enumerate(KINDS):
        expected = np.full((2, steps), np.nan)
        for (stay, step), value in naive(rows, kind, step_hours).items():
            expected[stay - 1, step] = value
        np.testing.assert_allclose(values[:, channel], expected, rtol=1e-6, atol=1e-5, err_msg=kind)
    np.testing.assert_array_equal(mask == 1, np.isfinite(values))


def test_bits_do_not_depend_on_the_order_of_events() -> None:
    rng = np.random.default_rng(0)
    rows = [(1, "line", 10.0, round(float(value), 4)) for value in rng.normal(0, 10, 5000)]
    results = set()
    for _ in range(4):
        rng.shuffle(rows)
        results.add(tuple(hourly(to_events(rows), CONCEPTS, "x", KINDS, 3, 1.0).order_by("channel").to_pandas()["value"]))
    assert len(results) == 1


def test_a_preferred_place_that_is_implausible_gives_way() -> None:
    cells = hourly(to_events([(1, "line", 5.0, 900.0), (1, "cuff", 6.0, 40.0)]), CONCEPTS, "x", ("mean",), 3, 1.0).to_pandas()
    assert cells[["stay_id", "channel", "step", "value"]].to_numpy().tolist() == [[1, 0, 0, 40.0]]


def test_what_becomes_known_after_the_window_is_left_out() -> None:
    late = to_events([(1, "line", 5.0, 10.0), (2, "line", 5.0, 20.0)])
    late = late.mutate(available_minute=(late.stay_id == 1).ifelse(180.0, 179.0))
    assert hourly(late, CONCEPTS, "x", ("mean",), 3, 1.0).to_pandas()["stay_id"].tolist() == [2]


@pytest.mark.parametrize(
    ("convert", "charted", "expected"),
    [
        ("celsius", 37.2, 37.2),
        ("celsius", 98.6, 37.0),
        ("celsius", 59.9, 59.9),
        ("ph", 7.35, 7.35),
        ("ph", 735.0, 7.35),
        ("ph", 99.0, 99.0),
    ],
)
def test_conversions(convert: str, charted: float, expected: float) -> None:
    variable = Variable("", "", (0, 200), "", "last", 0.0, {"x": ((Place("line", convert=convert),),)})  # type: ignore[arg-type]
    concepts = Concepts({"v": variable}, {"x": {}}, (), {}, "")
    assert hourly(to_events([(1, "line", 5.0, charted)]), concepts, "x", ("v",), 3, 1.0).to_pandas()["value"].item() == pytest.approx(
        expected
    )
