"""KDIGO against cases worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from data_prep.kidney import kidney

DAY = 1440.0
Entries = list[tuple[str, float, float]]


def judged(entries: Entries, origin: int = 1440, horizon: float = 2880.0) -> pd.Series:
    """The columns of one stay, beside one that has other entries."""
    rows = [(7, *entry) for entry in entries] + [(8, "creatinine", 10.0, 0.1), (8, "urine", 0.0, 0.0), (8, "weight", 0.0, 300.0)]
    table = pd.DataFrame(rows, columns=["stay_id", "variable", "minute", "value"]).sample(frac=1, random_state=0)
    stays = pd.DataFrame({"stay_id": [8, 7], "origin_minute": origin}, index=[3, 4])
    return kidney(stays, table, horizon).loc[4]


def creatinine(*results: tuple[float, float]) -> Entries:
    return [("creatinine", minute, value) for minute, value in results]


@pytest.mark.parametrize(
    ("results", "minute"),
    [
        ([(0, 1.0), (600, 1.29)], None),
        ([(0, 1.0), (600, 1.3)], 600),
        ([(0, 0.9), (600, 1.2)], 600),  # 1.2 - 0.9 is less than 0.3 in floats
        ([(0, 1.0), (2 * DAY, 1.3)], 2 * DAY),
        ([(0, 1.0), (2 * DAY + 1, 1.3)], None),  # more than 48 h
        ([(0, 1.0), (2 * DAY + 1, 1.49)], None),
        ([(0, 1.0), (2 * DAY + 1, 1.5)], 2 * DAY + 1),  # 1.5 times within 7 days
        ([(-4 * DAY, 0.4), (3 * DAY, 0.6)], 3 * DAY),
        ([(-4 * DAY - 1, 0.4), (3 * DAY, 0.6)], None),  # more than 7 days
        ([(-6 * DAY, 0.6), (-4 * DAY, 2.0), (2 * DAY, 1.0)], -4 * DAY),  # had it before the stay
        ([(0, 2.0), (600, 1.0), (900, 1.2), (1200, 1.4)], 1200),  # against the lowest, not the first or the last
        ([(600, 1.0), (600, 2.0)], None),  # two results of one minute are no rise
        ([(0, 5.0)], None),
        ([(1440 + 2880, 2.0), (0, 1.0)], 1440 + 2880),
        ([(1441 + 2880, 2.0), (0, 1.0)], None),  # after the horizon
    ],
)
def test_creatinine(results: list[tuple[float, float]], minute: float | None) -> None:
    found = judged(creatinine(*results))
    expected = np.nan if minute is None else minute
    np.testing.assert_equal(found["aki_creatinine_minute"], expected)
    np.testing.assert_equal(found["aki_minute"], expected)


def test_first_and_last_creatinine() -> None:
    found = judged(creatinine((-300, 1), (100, 1), (1441 + 2880, 1)))
    assert (found["creatinine_first_minute"], found["creatinine_last_minute"]) == (-300, 100)
    assert judged([("urine", 5, 1)]).isna().all()


def hourly_urine(volume: float, hours: int, first: int = 1) -> Entries:
    return [("urine", 60.0 * hour, volume) for hour in range(first, first + hours)]


@pytest.mark.parametrize(
    ("urine", "minute"),
    [
        (hourly_urine(40, 24), None),  # 0.5 mL/kg/h of 80 kg
        (hourly_urine(39, 24), 360),
        (hourly_urine(100, 10) + hourly_urine(10, 20, 11), 900),  # at 840 it is just 240 mL
        ([("urine", 360.0, 239)], 360),  # one entry for the first six hours
        ([("urine", 360.0, 240)], None),
        ([("urine", 359.0, 0)], None),  # six hours have not passed
        ([("urine", 60.0, 300), ("urine", 400.0, 10)], None),  # 310 mL since the start, for no entry is 6 h back
        ([("urine", 60.0, 300), ("urine", 420.0, 239)], 420),
        ([("urine", 60.0, 300), ("urine", 421.0, 241)], None),  # 361 minutes allow 240.67 mL
        ([("urine", 60.0, 300), ("urine", 421.0, 240)], 421),
        ([("urine", 60.0, 300), ("urine", 420.0, 400), ("urine", 420.0, -200)], 420),  # irrigant is taken off
        ([("urine", 60.0, 300), ("urine", 1200.0, 500)], 1200),  # 19 h need 760 mL
        (hourly_urine(300, 6), None),  # nothing charted afterwards is nothing known
    ],
)
def test_urine(urine: Entries, minute: float | None) -> None:
    weight: Entries = [("weight", 30.0, 80.0), ("weight", 600.0, 200.0)]
    found = judged(urine + weight)
    np.testing.assert_equal(found["aki_minute"], np.nan if minute is None else minute)
    assert np.isnan(found["aki_creatinine_minute"])


def test_urine_needs_a_weight_from_before_the_origin() -> None:
    low = hourly_urine(1, 24)
    assert np.isnan(judged(low)["aki_minute"])
    assert np.isnan(judged([*low, ("weight", 1441.0, 80.0)])["aki_minute"])
    assert judged([*low, ("weight", 1440.0, 80.0)])["aki_minute"] == 360
    assert judged([*low, ("weight", -99.0, 80.0), *creatinine((0, 1), (100, 2))])["aki_minute"] == 100


def test_many_stays_are_judged_as_one_by_one() -> None:
    random = np.random.default_rng(0)
    n = 3000
    table = pd.DataFrame(
        {
            "stay_id": random.integers(0, 40, n),
            "variable": random.choice(["creatinine", "urine", "weight"], n, p=[0.3, 0.69, 0.01]),
            "minute": random.integers(-2000, 5000, n).astype(float),
        }
    )
    scale = table["variable"].map({"creatinine": 1.0, "urine": 400.0, "weight": 80.0})
    table["value"] = (scale * random.uniform(0.8, 1.2, n)).round(1)
    stays = pd.DataFrame({"stay_id": np.arange(40), "origin_minute": 60 * random.integers(10, 40, 40)})
    together = kidney(stays, table, 1440.0)
    alone = [kidney(stays[i : i + 1], table[table["stay_id"] == i], 1440.0) for i in range(40)]
    pd.testing.assert_frame_equal(together, pd.concat(alone))
    assert 3 < together["aki_minute"].notna().sum() < 40
