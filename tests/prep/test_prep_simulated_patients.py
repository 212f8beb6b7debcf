"""Who the simulated patients are, what happens to them and how it is charted: the structure that real records have."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data_prep.simulate import simulate
from data_prep.simulate.bodies import BODY_MASS_SPREAD, LEANER, draw_bodies
from data_prep.simulate.devices import draw_devices, preferred, read, thirds
from data_prep.simulate.patients import Floats, Integers, Stays, draw_stays
from data_prep.simulate.physiology import Course, draw_course
from data_prep.simulate.rounds import draw_rounds
from data_prep.simulate.timeline import Timeline
from data_prep.simulate.units import UNITS
from data_prep.simulate.vitals import HEART_BY_AGE, PRESSURE_BY_WEIGHT, SYSTOLIC_BY_AGE, Vitals, draw_vitals

HR, RESP, SPO2 = (220045,), (220210, 224690), (220277,)
SBP, DBP, MAP = (220050, 225309, 220179), (220051, 225310, 220180), (220052, 225312, 220181)
LINE, CUFF_MEAN = (220050, 225309), (220181,)
CELSIUS, FAHRENHEIT = (223762,), (223761,)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("simulated") / "raw"
    simulate(path, 600, 2)
    return path


@pytest.fixture(scope="module")
def stays(raw: Path) -> pd.DataFrame:
    units = pd.read_csv(raw / "icu/icustays.csv.gz")
    return units.merge(pd.read_csv(raw / "hosp/patients.csv.gz"), on="subject_id").set_index("stay_id")


@pytest.fixture(scope="module")
def chart(raw: Path) -> pd.DataFrame:
    columns = ["stay_id", "charttime", "itemid", "valuenum"]
    return pd.read_csv(raw / "icu/chartevents.csv.gz", usecols=columns, parse_dates=["charttime"])


@pytest.fixture(scope="module")
def output(raw: Path) -> pd.DataFrame:
    columns = ["stay_id", "charttime", "itemid", "value"]
    return pd.read_csv(raw / "icu/outputevents.csv.gz", usecols=columns, parse_dates=["charttime"])


def of(chart: pd.DataFrame, items: tuple[int, ...]) -> pd.Series:
    """Values of an item in order of time, by stay and time; artefacts left out."""
    rows = chart[chart["itemid"].isin(items) & chart["valuenum"].between(1, 400)]
    return rows.drop_duplicates(["stay_id", "charttime"]).set_index(["stay_id", "charttime"])["valuenum"].sort_index()


def gaps(series: pd.Series) -> pd.Series:
    """Hours from one entry to the next, by stay."""
    times = series.index.to_frame(index=False).set_index("stay_id")["charttime"]
    return times.groupby(level=0).diff().dropna().dt.total_seconds() / 3600


def hourly(series: pd.Series) -> Floats:
    """Changes between entries that are an hour apart."""
    frame = series.reset_index()
    same = frame["stay_id"].eq(frame["stay_id"].shift()) & frame["charttime"].diff().eq(pd.Timedelta(hours=1))
    return frame["valuenum"].diff()[same].to_numpy()


def runs(values: pd.Series) -> int:
    """Length of the longest run of equal values."""
    return int(values.groupby((values != values.shift()).cumsum()).size().max())


def patients(seed: int, **changed: float) -> tuple[Stays, Course]:
    """Stays of this seed, of which some descriptors are set."""
    rng = np.random.default_rng(seed)
    stays = draw_stays(rng, 0, 256)
    return replace(stays, **{name: np.full(len(stays), value) for name, value in changed.items()}), draw_course(rng, stays)


def steady(stays: Stays, level: float) -> Course:
    """Nothing happens to anybody."""
    time, n = Timeline.of(stays), len(stays)
    held, never, none = np.full(len(time.stay), level), np.zeros(n, bool), np.zeros(n)
    return Course(time.stay, time.slot, time.start, held, held, np.full(n, level), none, none, never, never)


# Descriptors


def test_weight_follows_height_and_height_follows_sex() -> None:
    bodies = draw_bodies(np.random.default_rng(0), np.zeros(40_000, np.int64))
    for sex, height in ((bodies.male, 176), (~bodies.male, 162)):
        assert bodies.height[sex].mean() == pytest.approx(height, abs=0.2)
        assert bodies.height[sex].std() == pytest.approx(7, abs=0.1)
    causes = np.column_stack([np.log(bodies.height / 100), bodies.age - 64, np.ones(len(bodies.age))])
    (by_height, by_age, _), squares, *_ = np.linalg.lstsq(causes, np.log(bodies.weight))
    assert by_height == pytest.approx(2, abs=0.06), "a body mass that does not depend on height"
    assert by_age == pytest.approx(-LEANER, abs=0.0005)
    assert np.sqrt(squares[0] / len(bodies.age)) == pytest.approx(BODY_MASS_SPREAD, abs=0.01)


def test_age_and_sex_depend_on_the_unit() -> None:
    for position, unit in enumerate(UNITS):
        bodies = draw_bodies(np.random.default_rng(1), np.full(20_000, position))
        assert bodies.male.mean() == pytest.approx(unit.men, abs=0.02)
        assert np.median(bodies.age) == pytest.approx(unit.age, abs=1.5)
    age = {unit.name: unit.age for unit in UNITS}
    assert age["Cardiac Vascular Intensive Care Unit (CVICU)"] > age["Trauma SICU (TSICU)"] + 10
    assert sum(unit.share for unit in UNITS) == pytest.approx(1)


def test_what_is_missing_depends_on_the_unit(stays: pd.DataFrame, chart: pd.DataFrame) -> None:
    charted = stays.loc[stays.index.isin(chart["stay_id"])]
    for unit in UNITS:
        ids = charted.index[charted["first_careunit"] == unit.name]
        for items, share in (((226730, 226707), unit.no_height), ((226512, 226531, 224639), unit.no_weight)):
            with_any = set(chart.loc[chart["itemid"].isin(items), "stay_id"])
            assert 1 - np.mean([stay in with_any for stay in ids]) == pytest.approx(share, abs=0.15), (unit.name, items)


def test_deaths_depend_on_age_and_unit() -> None:
    drawn = [draw_stays(np.random.default_rng(seed), 0, 128) for seed in range(80)]
    age, unit, died = (np.concatenate([getattr(stays, name) for stays in drawn]) for name in ("age", "unit", "died"))
    assert died[age > 75].mean() > died[age < 55].mean() + 0.04
    rates = [died[unit == position].mean() for position in range(len(UNITS))]
    assert rates[0] > rates[2] + 0.04, "medical and cardiac surgery"


# Descriptors and series


def changes(before: Vitals, after: Vitals, name: str) -> float:
    return float(np.median(getattr(after, name) - getattr(before, name)))


def test_age_and_weight_move_the_series() -> None:
    def vitals(age: float, weight: float) -> Vitals:
        stays, course = patients(3, age=age, weight=weight)
        return draw_vitals(np.random.default_rng(4), stays, course)

    young, old, heavy = vitals(50, 80), vitals(70, 80), vitals(50, 100)
    assert changes(young, old, "hr") == pytest.approx(20 * HEART_BY_AGE)
    assert changes(young, old, "sbp") == pytest.approx(20 * SYSTOLIC_BY_AGE)
    assert changes(young, old, "dbp") < 0
    for name in ("sbp", "dbp", "map"):
        assert changes(young, heavy, name) == pytest.approx(20 * PRESSURE_BY_WEIGHT)
    assert changes(young, heavy, "hr") == 0


def test_fever_drives_heart_and_breath() -> None:
    stays, _ = patients(5)
    course = steady(stays, 0)
    vitals = draw_vitals(np.random.default_rng(6), stays, course)
    frame = pd.DataFrame({"fever": np.maximum(vitals.temp - 37, 0), "hr": vitals.hr, "resp": vitals.resp})
    within = frame - frame.groupby(course.stay).transform("mean")
    slopes = within.cov().loc["fever"] / within["fever"].var()
    assert slopes["hr"] == pytest.approx(7, abs=1.5)
    assert slopes["resp"] == pytest.approx(2, abs=0.5)


def test_pressures_are_one_wave(chart: pd.DataFrame) -> None:
    wide = pd.concat({name: of(chart, items) for name, items in (("sbp", SBP), ("dbp", DBP), ("map", MAP))}, axis=1, join="inner")
    off = wide["map"] - (wide["sbp"] + 2 * wide["dbp"]) / 3
    assert abs(off.mean()) < 1
    assert 1 < off.std() < 5
    changed = wide.groupby(level=0).diff().dropna()
    assert changed["sbp"].corr(changed["map"]) > 0.6
    assert 0.35 < changed["sbp"].corr(changed["dbp"]) < 0.8


def test_series_move_as_much_as_real_ones(chart: pd.DataFrame) -> None:
    for items, real, tolerance in ((HR, 4.7, 0.5), (SBP, 10.2, 1), (DBP, 6.7, 0.8), (RESP, 3.1, 0.4), (SPO2, 1.3, 0.2)):
        assert np.abs(hourly(of(chart, items))).mean() == pytest.approx(real, abs=tolerance)
    four_hourly = of(chart, FAHRENHEIT).groupby(level=0).diff().abs().mean() / 1.8
    assert 0.2 < four_hourly < 0.45


# Rounds


def test_a_round_charts_everything_at_one_minute(chart: pd.DataFrame) -> None:
    heart = of(chart, HR).index
    on_the_hour = heart.get_level_values("charttime").minute == 0
    assert on_the_hour.mean() > 0.65
    for items in (SBP, RESP, SPO2):
        other = of(chart, items).index
        assert other.isin(heart).mean() > 0.98
        alike = heart[heart.get_level_values("stay_id").isin(other.get_level_values("stay_id"))]
        assert 0.95 < alike.isin(other).mean() < 1


def test_rounds_are_hourly_or_rarer_and_have_gaps(chart: pd.DataFrame) -> None:
    between = gaps(of(chart, HR))
    usual = between.groupby(level=0).median().round()
    assert (usual == 1).mean() > 0.7
    assert {2, 4} <= set(usual)
    hourly_stays = between[between.index.isin(usual.index[usual == 1])]
    assert 0.005 < (hourly_stays > 2.2).mean() < 0.05, "away"
    temperature = gaps(of(chart, (*CELSIUS, *FAHRENHEIT)))
    assert temperature.groupby(level=0).median().round().value_counts(normalize=True)[4] > 0.75


@pytest.mark.parametrize("seed", [0, 1])
def test_the_sicker_are_seen_more_often(seed: int) -> None:
    def share(level: float) -> float:
        stays, _ = patients(seed)
        return float(draw_rounds(np.random.default_rng(7), stays, steady(stays, level)).charted.mean())

    shares = [share(level) for level in (-1, 0, 1, 2)]
    assert shares == sorted(shares)
    assert shares[-1] > shares[0] + 0.1


def test_everybody_has_a_first_round_and_none_outside_the_stay() -> None:
    stays, course = patients(8)
    rounds = draw_rounds(np.random.default_rng(9), stays, course)
    with_chart = ~stays.every(40, 7)
    assert (np.bincount(course.stay[rounds.first], minlength=len(stays)) == with_chart).all()
    assert rounds.charted[rounds.first].all()
    assert (rounds.minute[rounds.charted] < 60 * stays.hours[course.stay[rounds.charted]] - 1).all()
    assert (np.diff(rounds.minute)[np.diff(course.stay) == 0] > 0).all(), "one round after the other"
    daily = rounds.every(24, 4) & ~rounds.first
    assert (rounds.clock[daily] % 24 == 4).all()


def test_a_line_is_there_all_the_time_or_never(chart: pd.DataFrame) -> None:
    share = of(chart, LINE).groupby(level=0).size() / of(chart, HR).groupby(level=0).size()
    assert 0.35 < share.notna().mean() < 0.6
    assert (share.dropna() > 0.8).mean() > 0.97


def test_some_stays_never_have_respiration(chart: pd.DataFrame) -> None:
    share = of(chart, RESP).groupby(level=0).size() / of(chart, HR).groupby(level=0).size()
    assert 0.08 < share.isna().mean() < 0.22
    assert (share.dropna() > 0.8).mean() > 0.97


def test_urine_is_hourly_with_a_catheter_and_else_rare(output: pd.DataFrame) -> None:
    ordered = output.sort_values(["stay_id", "charttime"])
    for item, low, high in ((226559, 1, 2), (226560, 3, 9)):
        rows = ordered[ordered["itemid"] == item]
        hours = rows.groupby("stay_id")["charttime"].diff().dropna().dt.total_seconds() / 3600
        assert low <= round(hours.median()) <= high
    catheter = output[output["itemid"] == 226559]
    assert 0.6 < catheter["stay_id"].nunique() / output["stay_id"].nunique() < 0.85


# Resolution


def test_numbers_are_those_that_devices_show(stays: pd.DataFrame, chart: pd.DataFrame) -> None:
    for items in (HR, SBP, DBP, RESP, SPO2, (220052, 225312)):
        values = of(chart, items)
        assert (values == values.round()).all()
    for items in (CELSIUS, FAHRENHEIT):
        values = of(chart, items)
        assert np.allclose(values, values.round(1))
    cuff = of(chart, CUFF_MEAN)
    computed = thirds(of(chart, (220179,)), of(chart, (220180,))).reindex(cuff.index)
    whole = (cuff == cuff.round()).groupby(level=0).mean()
    with_thirds = whole.index[whole < 1]
    assert 0.25 < len(with_thirds) / len(whole) < 0.5
    of_thirds = cuff.index.get_level_values("stay_id").isin(with_thirds)
    assert np.allclose(cuff[of_thirds], computed[of_thirds])
    of_unit = stays["first_careunit"].reindex(of(chart, CELSIUS).index.get_level_values("stay_id").unique())
    assert of_unit.value_counts().idxmax() == "Cardiac Vascular Intensive Care Unit (CVICU)"


def test_readings_in_closed_form() -> None:
    stays, _ = patients(0)
    course = steady(stays, 0)
    one = np.ones(len(course.stay))
    vitals = Vitals(79.6 * one, 120.4 * one, 60.2 * one, 80.4 * one, 17.5 * one, 96.5 * one, 36.96 * one)
    computes = replace(draw_devices(np.random.default_rng(0), stays), thirds=np.ones(len(stays), bool))
    shown = read(vitals, computes, course)
    expected = {"hr": 80, "sbp": 120, "dbp": 60, "map_by_line": 80, "map_by_cuff": 80, "celsius": 37.0, "fahrenheit": 98.5}
    assert {name: getattr(shown, name)[0] for name in expected} == pytest.approx(expected)
    assert thirds(np.array([121.0, 119.0]), np.array([60.0, 61.0])).tolist() == [80.33, 80.33]


def test_some_hearts_are_paced(chart: pd.DataFrame) -> None:
    heart = of(chart, HR)
    longest = heart.groupby(level=0).agg(runs)
    paced = longest.index[longest >= 10]
    assert 0.01 < len(paced) / len(longest) < 0.08
    most = heart[heart.index.get_level_values("stay_id").isin(paced)].groupby(level=0).agg(lambda values: values.mode()[0])
    assert set(most) <= {60, 70, 80, 90}


def test_urine_is_read_in_steps(output: pd.DataFrame) -> None:
    bag = output.loc[(output["itemid"] == 226559) & (output["value"] > 0), "value"]
    shares = {step: (bag % step == 0).mean() for step in (5, 10, 25, 50)}
    assert shares == pytest.approx({5: 0.97, 10: 0.63, 25: 0.42, 50: 0.28}, abs=0.06)


def test_preferred_steps_in_closed_form() -> None:
    rng, volume = np.random.default_rng(0), np.array([3.0, 12.4, 61.0, 88.0])
    assert preferred(rng, volume, np.array([50]), np.ones(1)).tolist() == [5, 10, 50, 100]
    assert preferred(rng, volume, np.array([1]), np.ones(1)).tolist() == [3, 12, 61, 88]


# The timeline, and chunks


@pytest.fixture
def time() -> Timeline:
    return Timeline.of(draw_stays(np.random.default_rng(0), 0, 64))


def test_trails_do_not_cross_stays(time: Timeline) -> None:
    pushes = np.random.default_rng(1).normal(size=len(time.stay))
    expected, state = np.empty_like(pushes), 0.0
    for position, slot in enumerate(time.slot):
        state = (0.0 if slot == 0 else 0.9 * state) + pushes[position]
        expected[position] = state
    assert np.allclose(time.trail(pushes, 0.9), expected)


def test_a_wander_forgets_in_its_hours(time: Timeline) -> None:
    series = np.stack([time.wander(np.random.default_rng(seed), 4) for seed in range(60)])
    assert series.std() == pytest.approx(1, abs=0.02)
    assert series[:, time.start[:-1]].std() == pytest.approx(1, abs=0.05), "from the first half hour on"
    later = np.flatnonzero(time.slot >= 8)
    assert (series[:, later] * series[:, later - 8]).mean() == pytest.approx(np.exp(-1), abs=0.03)


def test_what_is_held_ends_with_the_stay(time: Timeline) -> None:
    begins: Integers = time.start[1:] - 2
    held = time.held(np.isin(np.arange(len(time.stay)), begins), np.full(len(time.stay), 5))
    assert np.flatnonzero(held).tolist() == sorted([*begins, *begins + 1])


def test_a_chunk_does_not_depend_on_how_many_follow(raw: Path, stays: pd.DataFrame, chart: pd.DataFrame, tmp_path: Path) -> None:
    simulate(tmp_path / "fewer", 256, 2)
    fewer = pd.read_csv(tmp_path / "fewer/icu/chartevents.csv.gz", usecols=list(chart.columns), parse_dates=["charttime"])
    pd.testing.assert_frame_equal(fewer, chart.iloc[: len(fewer)])
    assert set(fewer["stay_id"]) <= set(stays.index[:256])
