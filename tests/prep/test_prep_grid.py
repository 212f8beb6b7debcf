"""The grid against a plain loop."""

import math
from typing import Any

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.concepts import Concepts, Place, Variable
from data_prep.grid import Grid, first_values, hourly, to_arrays

LIMITS = (-50.0, 60.0)
KINDS = ("mean", "last", "sum", "max")
CONCEPTS = Concepts(
    variables={
        kind: Variable("", "", LIMITS, "", kind, 0.0, {"x": ((Place("line"), Place("drain", sign=-1)), (Place("cuff"),))}) for kind in KINDS
    },
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


def on_grid(
    events: ibis.Table, concepts: Concepts, names: tuple[str, ...], steps: int, step_hours: float, start: float = 0.0, **options: Any
) -> np.ndarray:
    """The values of stays 1 and 2, [2, C, T]."""
    grid = Grid(concepts, "x", names, steps, step_hours, **options)
    windows = ibis.memtable(pd.DataFrame({"stay_id": [1, 2], "row": [0, 1], "start": [start, start]}))
    slots = hourly(events, windows, grid).to_pyarrow()
    values, mask = to_arrays(slots.to_batches(), grid, np.arange(2), np.full(2, steps, np.int32))
    np.testing.assert_array_equal(mask == 1, np.isfinite(values))
    return values


def naive(rows: list[tuple[int, str, float, float]], kind: str, step_hours: float) -> dict[tuple[int, int], float]:
    """The rule written as a loop: {(stay, step): value}."""
    bins: dict[tuple[int, int], dict[int, list[tuple[float, float]]]] = {}
    for stay, item, minute, value in rows:
        if item == "other" or not 0 <= minute < 60 * HOURS or not LIMITS[0] <= value <= LIMITS[1]:
            continue
        rank, sign = (1, 1) if item == "cuff" else (0, -1 if item == "drain" else 1)
        bins.setdefault((stay, math.floor(minute / 60 / step_hours)), {}).setdefault(rank, []).append((minute, sign * value))
    result = {}
    for slot, groups in bins.items():
        found = sorted(groups[min(groups)])
        values = [value for _, value in found]
        number = {"mean": math.fsum(values) / len(values), "last": values[-1], "sum": math.fsum(values), "max": max(values)}[kind]
        result[slot] = min(max(number, LIMITS[0]), LIMITS[1])
    return result


@settings(max_examples=20)
@given(rows=entries, step_hours=st.sampled_from([1.0, 0.5, 3.0]))
def test_grid_is_the_loop(rows: list[tuple[int, str, float, float]], step_hours: float) -> None:
    steps = round(HOURS / step_hours)
    values = on_grid(to_events(rows), CONCEPTS, KINDS, steps, step_hours)
    for channel, kind in enumerate(KINDS):
        expected = np.full((2, steps), np.nan)
        for (stay, step), value in naive(rows, kind, step_hours).items():
            expected[stay - 1, step] = value
        np.testing.assert_allclose(values[:, channel], expected, rtol=1e-6, atol=1e-5, err_msg=kind)


def test_bits_do_not_depend_on_the_order_of_events() -> None:
    rng = np.random.default_rng(0)
    rows = [(1, "line", 10.0, round(float(value), 4)) for value in rng.normal(0, 10, 5000)]
    results = set()
    for _ in range(4):
        rng.shuffle(rows)
        results.add(on_grid(to_events(rows), CONCEPTS, KINDS, 3, 1.0).tobytes())
    assert len(results) == 1


def test_a_preferred_place_that_is_implausible_gives_way() -> None:
    values = on_grid(to_events([(1, "line", 5.0, 900.0), (1, "cuff", 6.0, 40.0)]), CONCEPTS, ("mean",), 3, 1.0)
    assert np.argwhere(np.isfinite(values)).tolist() == [[0, 0, 0]]
    assert values[0, 0, 0] == 40


def test_what_becomes_known_after_the_window_is_left_out() -> None:
    late = to_events([(1, "line", 5.0, 10.0), (2, "line", 5.0, 20.0)])
    late = late.mutate(available_minute=(late.stay_id == 1).ifelse(180.0, 179.0))
    assert on_grid(late, CONCEPTS, ("mean",), 3, 1.0)[:, 0, 0].tolist() == pytest.approx([np.nan, 20.0], nan_ok=True)
    assert on_grid(late, CONCEPTS, ("mean",), 3, 1.0, as_charted=True)[:, 0, 0].tolist() == [10.0, 20.0]


def test_a_window_starts_where_it_says() -> None:
    events = to_events([(1, "line", -30.0, 10.0), (1, "line", 45.0, 20.0), (2, "line", 100.0, 30.0), (2, "line", 150.0, 40.0)])
    early = on_grid(events, CONCEPTS, ("mean",), 3, 1.0, start=-60.0)[:, 0]
    np.testing.assert_array_equal(early, [[10, 20, np.nan], [np.nan, np.nan, 30]])
    late = on_grid(events, CONCEPTS, ("mean",), 2, 1.0, start=45.0)[:, 0]
    np.testing.assert_array_equal(late, [[20, np.nan], [30, 40]])


def test_ties_go_by_when_it_was_known_then_order_then_value() -> None:
    frame = pd.DataFrame({"stay_id": 1, "item": "cuff", "minute": 5.0, "available_minute": 6.0, "order": 1, "value": [1.0, 2.0, 3.0]})
    for column, least in (("minute", 4.0), ("available_minute", 5.0), ("order", 0)):
        tied = frame.assign(**{column: [least, least + 1, least]})
        tied[column] = tied[column].astype(frame[column].dtype)
        assert on_grid(ibis.memtable(tied), CONCEPTS, ("last",), 3, 1.0)[0, 0, 0] == 2
    assert on_grid(ibis.memtable(frame), CONCEPTS, ("last",), 3, 1.0)[0, 0, 0] == 3


def test_nothing_stands_beyond_a_rows_length_or_in_a_row_left_out() -> None:
    grid = Grid(CONCEPTS, "x", ("mean",), 3)
    slots = pa.record_batch({"slot": [0, 1, 2, 3, 6], "rank": [0] * 5, "total": [1_000_000] * 5, "rest": [0] * 5, "entries": [1] * 5})
    values, mask = to_arrays([slots], grid, np.array([1, -1, 0]), np.array([3, 2], np.int32))
    np.testing.assert_array_equal(mask[:, 0], [[1, 0, 0], [1, 1, 0]])
    np.testing.assert_array_equal(values[1, 0], [1, 1, np.nan])


def test_only_the_specimen_asked_for_counts() -> None:
    variable = Variable("", "", (0, 200), "", "mean", 0.0, {"x": ((Place("gas", specimen="ART."),),)})
    concepts = Concepts({"v": variable})
    events = to_events([(1, "gas", 5.0, 90.0), (1, "gas", 6.0, 40.0), (2, "gas", 5.0, 50.0)])
    kinds = events.mutate(specimen=ibis.cases((events.value == 90, "ART."), (events.value == 40, "VEN.")))
    assert on_grid(kinds, concepts, ("v",), 3, 1.0)[:, 0, 0].tolist() == pytest.approx([90.0, np.nan], nan_ok=True)


def test_a_sum_stands_where_all_its_parts_do_and_is_plausible() -> None:
    part = {"x": ((Place("a"),),)}, {"x": ((Place("b"),),)}
    first, second = (Variable("", "", (0, 9), "", "last", 0.0, found) for found in part)
    total = Variable("", "", (3, 15), "", "last", 3.0, {"x": ()}, sum_of={"x": ("first", "second")})
    concepts = Concepts({"first": first, "total": total, "second": second})
    rows = [(1, "a", 5.0, 1.0), (1, "a", 6.0, 4.0), (1, "b", 50.0, 3.0), (1, "a", 70.0, 5.0), (1, "b", 130.0, 5.0)]
    rows += [(2, "a", 5.0, 8.0), (2, "b", 5.0, 8.0), (2, "a", 70.0, 1.0), (2, "b", 70.0, 1.0), (2, "a", 130.0, 9.5), (2, "b", 130.0, 5.0)]
    chosen = on_grid(to_events(rows), concepts, ("first", "total", "second"), 3, 1.0)
    np.testing.assert_array_equal(chosen[:, 1], [[7, np.nan, np.nan], [np.nan, np.nan, np.nan]])
    alone = on_grid(to_events(rows), concepts, ("total",), 3, 1.0, parts=concepts.parts("x", ("total",)))
    np.testing.assert_array_equal(alone, chosen[:, 1:2])


def test_words_stand_for_numbers() -> None:
    scored = Place("verbal", texts={"Confused": 4.0, "Tube": 1.0, "Refused": None})
    flag = Place("verbal", texts={"Tube": 1.0, "Confused": 0.0}, only_texts=True)
    concepts = Concepts(
        {
            "score": Variable("", "", (1, 5), "", "last", 5.0, {"x": ((scored,),)}),
            "tube": Variable("", "", (0, 1), "", "max", 0.0, {"x": ((flag,),)}),
        }
    )
    events = to_events([(1, "verbal", 5.0, 3.0), (1, "verbal", 65.0, 3.0), (1, "verbal", 125.0, np.nan), (2, "verbal", 5.0, 1.0)])
    texts = ibis.cases((events.minute == 65, "Confused"), (events.minute == 125, "Tube"), (events.stay_id == 2, "Refused"))
    values = on_grid(events.mutate(text=texts), concepts, ("score", "tube"), 3, 1.0)
    np.testing.assert_array_equal(values[0], [[3, 4, 1], [np.nan, 0, 1]])
    assert np.isnan(values[1]).all()


def test_a_place_has_its_own_scale_and_limits() -> None:
    places = ((Place("pounds", scale=0.5), Place("bag", limits=(0, 500), sign=-1)),)
    concepts = Concepts({"v": Variable("", "", (0, 100), "", "sum", 0.0, {"x": places})})
    rows = [(1, "pounds", 5.0, 180.0), (1, "pounds", 6.0, 400.0), (1, "bag", 7.0, 60.0), (2, "pounds", 5.0, 100.0), (2, "bag", 5.0, 400.0)]
    assert on_grid(to_events(rows), concepts, ("v",), 3, 1.0)[:, 0, 0].tolist() == [30.0, 0.0]


def test_a_first_value_is_one_of_the_best_places_from_a_day_before_to_the_cutoff() -> None:
    concepts = Concepts({"v": Variable("", "", (0, 100), "", "last", 0.0, {"x": ((Place("best"),), (Place("other"),))})})
    grid = Grid(concepts, "x", ("v",), 3, first=("v",))
    rows = [(1, "best", 180.0, 1.0), (1, "other", 20.0, 2.0), (1, "other", 10.0, 3.0), (1, "other", -1441.0, 4.0)]
    rows += [(2, "best", 90.0, 5.0), (2, "other", -1440.0, 6.0), (2, "best", -30.0, 700.0)]
    windows = ibis.memtable(pd.DataFrame({"stay_id": [1, 2], "row": [0, 1], "start": 0.0}))
    batches = hourly(to_events(rows), windows, grid).to_pyarrow().to_batches()
    assert first_values(batches, grid, 3)["v"].tolist() == pytest.approx([3.0, 5.0, np.nan], nan_ok=True)
    values, _ = to_arrays(batches, grid, np.arange(2), np.full(2, 3, np.int32))
    np.testing.assert_array_equal(values[:, 0], [[2, np.nan, np.nan], [np.nan, 5, np.nan]])


@pytest.mark.parametrize(
    ("convert", "charted", "expected"),
    [
        ("celsius", 37.2, 37.2),
        ("celsius", 98.6, 37.0),
        ("celsius", 59.9, 59.9),
        ("fio2", 0.4, 40.0),
        ("fio2", 40.0, 40.0),
        ("fio2", 1.0, 100.0),
        ("fio2", 6.0, 6.0),
        ("ph", 7.35, 7.35),
        ("ph", 735.0, 7.35),
        ("ph", 99.0, 99.0),
    ],
)
def test_conversions(convert: str, charted: float, expected: float) -> None:
    variable = Variable("", "", (0, 200), "", "last", 0.0, {"x": ((Place("line", convert=convert),),)})  # type: ignore[arg-type]
    concepts = Concepts({"v": variable})
    assert on_grid(to_events([(1, "line", 5.0, charted)]), concepts, ("v",), 3, 1.0)[0, 0, 0] == pytest.approx(expected)
