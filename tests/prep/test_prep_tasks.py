"""Tasks on hand-made stays: every label and every rule by closed form; task files that are wrong."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from data_prep import PrepareSettings
from data_prep.cohort import check_columns, eligible
from data_prep.origins import HALF_LIFE_HOURS, origins, uniform
from data_prep.tasks import TASKS, Condition, NamedTask, find_task, load_tasks, truth
from tardiff.errors import TardiffError
from tardiff.evaluate.metrics import auroc

DAY = 1440.0
NEVER = np.nan


def stays(**columns: Any) -> pd.DataFrame:
    """Stays of adults that are long, known and observed, but for what is given; the default origin is a day."""
    n = max(len(column) for column in columns.values())
    usual = {"stay_id": range(n), "subject_id": range(n), "minutes": 10 * DAY, "age": 60.0, "died": 0.0, "coverage": 1.0, "order": 0.0}
    frame = pd.DataFrame({"origin_minute": 1440, **usual, **columns}, index=range(n))
    return frame.assign(unit_minutes=frame["minutes"])


def labels(task: str | NamedTask, frame: pd.DataFrame, **choices: Any) -> dict[int, int]:
    """{stay: label} of the stays that are eligible."""
    named = find_task(task) if isinstance(task, str) else task
    settings = PrepareSettings("mimic-iv", "out", **choices)
    check_columns(frame, named, settings, "mimic_iv")
    cohort, _ = eligible(frame, named, settings)
    return dict(zip(cohort["stay_id"].tolist(), cohort["label"].tolist(), strict=True))


def test_in_hospital_death() -> None:
    frame = stays(died=[1, 0, np.nan, 1, 0], minutes=[1440, 1440, 1440, 1439.9, 2000], age=[18, np.nan, 50, 50, 17.9])
    assert labels("in_hospital_death", frame) == {0: 1, 1: 0}
    assert labels("in_hospital_death", frame.assign(origin_minute=2880, minutes=2880), hours=48) == {0: 1, 1: 0, 3: 1}


@pytest.mark.parametrize("task", ["in_hospital_death", "los_3d", "aki_creatinine"])
def test_the_dead_have_no_row_even_if_their_stay_goes_on(task: str) -> None:
    """Times of death and of the end of the stay as in the demo of MIMIC-IV: the bed is freed two hours after the death."""
    frame = stays(
        minutes=[1560, 1560, 1560, 1560],
        died=[1, 1, 1, 0],
        death_minute=[1440, 1441, NEVER, NEVER],
        aki_creatinine_minute=[NEVER] * 4,
        creatinine_first_minute=[0] * 4,
        creatinine_last_minute=[2000] * 4,
    )
    assert set(labels(task, frame)) == {1, 2, 3}
    _, steps = eligible(frame, find_task(task), PrepareSettings("mimic-iv", "out"))
    assert [step.looks_ahead for step in steps if step.rule.startswith("the patient is alive at the end of the window")] == [False]


@pytest.mark.parametrize(("task", "days"), [("los_3d", 3), ("los_7d", 7)])
def test_length_of_stay(task: str, days: int) -> None:
    frame = stays(minutes=[days * DAY, days * DAY + 1, DAY, DAY - 1, 30 * DAY])
    assert labels(task, frame) == {0: 0, 1: 1, 2: 0, 4: 1}


@pytest.mark.parametrize(("task", "days"), [("hospital_los_3d", 3), ("hospital_los_7d", 7)])
def test_length_of_the_hospital_stay(task: str, days: int) -> None:
    frame = stays(discharge_minute=[days * DAY, days * DAY + 1, NEVER, 2 * DAY], minutes=[DAY, DAY, DAY, DAY - 1])
    assert labels(task, frame) == {0: 0, 1: 1}


def test_readmission() -> None:
    frame = stays(
        minutes=[2 * DAY] * 6 + [DAY - 1],
        next_minute=[32 * DAY, 32 * DAY + 1, NEVER, 5 * DAY, NEVER, 5 * DAY, 5 * DAY],
        death_day_minute=[NEVER, NEVER, NEVER, NEVER, 20 * DAY, 20 * DAY, NEVER],
        died=[0, 0, 0, 1, 0, 0, 0],
    )
    named = find_task("readmission_30d")
    frame = frame.assign(origin_minute=origins(named.task, frame, 24, 0))
    assert frame["origin_minute"].tolist() == [2880] * 6 + [1439]
    # 3 died in hospital, 4 died at home without coming back, 6 is shorter than the window; 5 came back before it died.
    assert labels(named, frame) == {0: 1, 1: 0, 2: 0, 5: 1}


def test_decompensation() -> None:
    frame = stays(
        origin_minute=[1800] * 7,
        minutes=[2 * DAY, 2 * DAY, 2 * DAY, 1799, 2 * DAY, 2 * DAY, 5 * DAY],
        died=[1, 1, 0, 0, 1, 1, 1],
        death_minute=[1800 + DAY, 1801 + DAY, NEVER, NEVER, 1800, NEVER, 1801],
    )
    assert labels("decompensation", frame) == {0: 1, 1: 0, 2: 0, 6: 1}


def test_sepsis() -> None:
    frame = stays(origin_minute=[1800] * 6, onset_minute=[1800, 1801, 1800 + 720, 1801 + 720, NEVER, NEVER], minutes=[DAY * 3] * 5 + [1799])
    assert labels("sepsis3", frame) == {1: 1, 2: 1, 3: 0, 4: 0}


def test_sepsis_at_any_time_after_the_window() -> None:
    frame = stays(origin_minute=[720] * 5, onset_minute=[720, 721, 9000, NEVER, NEVER], minutes=[DAY, DAY, 9600, DAY, 660])
    assert labels("sepsis_later", frame, hours=12) == {1: 1, 2: 1, 3: 0}


def test_kidney_injury_by_its_times() -> None:
    frame = stays(
        aki_minute=[1440, 1441, 1440 + 2880, 1441 + 2880, NEVER, NEVER, NEVER],
        creatinine_first_minute=[0, 0, 0, 0, 1440, 1441, -60],
        creatinine_last_minute=[2000, 1400, 1400, 2000, 1441, 2000, 1440],
    )
    # 0 has it already, 5 had no creatinine before the cutoff, 6 was not measured again.
    assert labels("aki", frame) == {1: 1, 2: 1, 3: 0, 4: 0}
    assert labels("aki_creatinine", frame.rename(columns={"aki_minute": "aki_creatinine_minute"})) == {3: 0, 4: 0}


def test_limits_for_every_task_and_their_order() -> None:
    frame = stays(
        order=[0, 1, 0, 0, 0, 0, 0],
        age=[50, 50, 15, 91, 50, 50, np.nan],
        minutes=[2000, 2000, 2000, 2000, 1700, 9000, 2000],
        coverage=[0.5, 1, 1, 1, 1, 1, 0.49],
        died=[1.0] * 7,
    )
    limits = {"min_age": 16, "max_age": 90, "min_stay_hours": 30, "max_stay_hours": 100, "min_coverage": 0.5, "stays_of_patient": "first"}
    named = find_task("in_hospital_death")
    cohort, steps = eligible(frame, named, PrepareSettings("mimic-iv", "out", **limits))
    assert cohort["stay_id"].tolist() == [0]
    assert [(step.stays, step.looks_ahead) for step in steps] == [
        (7, False),
        (6, False),
        (5, False),
        (4, False),
        (3, True),
        (2, True),
        (2, True),
        (2, True),
        (2, False),
        (1, False),
    ]
    assert steps[1].rule == "the patient's first stay"
    assert steps[-1].rule == "something observed in at least 50% of the window"
    with pytest.raises(TardiffError, match="no stay is left after the rule 'age at least 99 where known'"):
        eligible(frame.assign(age=50.0), named, PrepareSettings("mimic-iv", "out", min_age=99))


def test_every_built_in_rule_that_needs_the_future_says_so() -> None:
    for name, task in load_tasks(TASKS).items():
        assert all(rule.looks_ahead for rule in task.keep), name


def test_a_source_without_a_column() -> None:
    frame = stays(died=[0, 1])
    settings = PrepareSettings("mimic-iv", "out")
    with pytest.raises(
        TardiffError, match="task decompensation: needs the column death_minute, which the stays of eicu do not have"
    ) as caught:
        check_columns(frame, find_task("decompensation"), settings, "eicu")
    assert "its tasks are in_hospital_death, los_3d, los_7d, aki, aki_creatinine" in str(caught.value)
    with pytest.raises(TardiffError, match=r"task sepsis3: .*onset_minute.*--onset"):
        check_columns(frame, find_task("sepsis3"), settings, "eicu")
    with pytest.raises(TardiffError, match="no order in time"):
        check_columns(
            frame.drop(columns="order"), find_task("los_3d"), PrepareSettings("mimic-iv", "out", stays_of_patient="first"), "table"
        )


# Origins


def constant_hazards(n: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Stays whose patients die and leave at rates that never change, so that time since admission tells nothing."""
    random = np.random.default_rng(3)
    death, out = random.exponential(10 * DAY, n), random.exponential(3 * DAY, n)
    return pd.DataFrame({"stay_id": 30_000_000 + np.arange(n), "minutes": np.minimum(death, out)}), death < out


def test_hourly_origins_do_not_tell_the_label() -> None:
    frame, dies = constant_hazards(60_000)
    origin = origins(find_task("decompensation").task, frame, 24, seed=0)
    there = origin <= frame["minutes"].to_numpy()
    label = (dies & (frame["minutes"] - origin <= DAY)).to_numpy()[there].astype(np.int64)
    area = auroc(label, origin[there].astype(float), np.ones((1, there.sum())))[0]
    error = 0.5 / np.sqrt(3 * min(label.sum(), (1 - label).sum()))
    assert label.sum() > 1500
    assert abs(area - 0.5) < 3 * error
    assert label.mean() == pytest.approx(0.1 / (0.1 + 1 / 3) * (1 - np.exp(-(0.1 + 1 / 3))), rel=0.05)  # the true risk of a day
    # The same test finds the bias of an hour drawn uniformly among those that a stay has.
    hours = np.floor((frame["minutes"].to_numpy() - DAY) / 60)
    uniformly = DAY + 60 * np.floor(uniform(frame["stay_id"].to_numpy(), 1) * (hours + 1))
    long_enough = hours >= 0
    near = (dies & (frame["minutes"] - uniformly <= DAY)).to_numpy()[long_enough].astype(np.int64)
    assert auroc(near, uniformly[long_enough], np.ones((1, long_enough.sum())))[0] < 0.5 - 8 * error


def test_hourly_origins_are_whole_hours_of_one_distribution() -> None:
    task = find_task("sepsis3").task
    frame = pd.DataFrame({"stay_id": np.arange(20_000), "minutes": 1e9})
    origin = origins(task, frame, 6, seed=5)
    later = origin / 60 - 6
    assert (later == np.floor(later)).all()
    assert later.min() == 0
    for half_lives in (1, 2, 3):
        assert (later >= half_lives * HALF_LIFE_HOURS).mean() == pytest.approx(0.5**half_lives, abs=0.012)
    some = frame.sample(100, random_state=0)
    np.testing.assert_array_equal(origins(task, some, 6, 5), origin[some.index])
    assert (origins(task, frame, 6, 6) != origin).mean() > 0.9


# Conditions


def test_unknown_is_carried_through_as_logic_demands() -> None:
    frame = pd.DataFrame({"a": [1.0, 0.0, np.nan], "x_minute": [5.0, np.nan, 7.0], "t": ["m", "", "f"], "origin_minute": 6})

    def verdict(**given: Any) -> list[float]:
        condition = Condition(**given)
        return truth(condition, frame, {"window": 1.0, "horizon": 2.0}).tolist()

    is_one, never_one = Condition("a", equals=1.0), Condition("a", below=0.0)
    late = Condition("x_minute", since="origin", above=0.0)
    assert verdict(column="a", equals=1.0) == [1, 0, 0.5]
    assert verdict(column="a", at_least=0.0, below="window") == [0, 1, 0.5]
    assert verdict(column="x_minute", since="origin", at_most="horizon") == [1, 0, 1]
    assert verdict(column="x_minute", since="origin", above=0.0) == [0, 1, 1]
    assert verdict(column="x_minute", since="x_minute", equals=0.0) == [1, 0.5, 1]
    assert verdict(column="x_minute", is_missing=True) == [0, 1, 0]
    assert verdict(column="t", equals="m") == [1, 0.5, 0]
    assert verdict(all=(is_one, late)) == [0, 0, 0.5]
    assert verdict(any=(is_one, late)) == [1, 1, 1]
    assert verdict(any=(is_one, never_one)) == [1, 0, 0.5]
    with pytest.raises(TardiffError, match="column t holds texts"):
        verdict(column="t", above=1.0)


# A user's own task

GOOD = """
quick_death:
  rule: 1 if the patient dies within 12 h
  classes: [lives, dies]
  label: {column: death_minute, since: origin, at_most: 12 h}
  keep:
    - rule: men only
      looks_ahead: false
      when: {column: gender, equals: M}
"""


def test_a_users_task(tmp_path: Path) -> None:
    path = tmp_path / "my_task.yaml"
    path.write_text(GOOD)
    frame = stays(death_minute=[1441, 1440 + 720, 1441 + 720, NEVER, 1441], gender=["M", "M", "M", "M", "F"])
    assert labels(find_task(path), frame) == {0: 1, 1: 1, 2: 0, 3: 0}
    assert find_task(str(path)).name == "quick_death"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("label:", "labels:", ("quick_death", "labels")),
        ("at_most: 12 h", "at_most: 12 hours", ("quick_death.label.at_most", "'12 hours'")),
        ("at_most: 12 h", "at_most: horizon", ("quick_death.label.at_most", "names no horizon")),
        (", at_most: 12 h", "", ("quick_death.label", "compared with nothing")),
        ("column: death_minute, ", "", ("quick_death.label", "exactly one of column, channel, all and any")),
        ("{column: gender, equals: M}", "{any: []}", ("quick_death.keep[0].when", "any takes a list")),
        ("{column: gender, equals: M}", "{all: [{column: age, under: 3}]}", ("quick_death", "under", "when.all[0]")),
        ("{column: gender, equals: M}", "died == 1", ("quick_death", "keep[0].when", "object")),
        ("{column: gender, equals: M}", "{column: died, equals: 1}", ("quick_death.keep[0]", "looks_ahead: false", "died")),
        ("{column: gender, equals: M}", "{column: given, equals: 1}", ("quick_death.keep[0]", "looks_ahead: false", "given")),
        ("      looks_ahead: false\n", "", ("quick_death", "looks_ahead", "keep[0]")),
        ("[lives, dies]", "[lives]", ("quick_death", "classes")),
        ("[lives, dies]", "[dies, dies]", ("quick_death.classes", "same")),
        ("quick_death:", "2 deaths:", ("'2 deaths'",)),
        ("quick_death:", "[", ("not valid YAML",)),
        ("rule: men only", "origin: later", ("quick_death", "origin")),
    ],
)
def test_a_users_task_that_is_wrong(old: str, new: str, words: tuple[str, ...], tmp_path: Path) -> None:
    assert GOOD.count(old) == 1
    path = tmp_path / "wrong.yaml"
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(TardiffError) as caught:
        find_task(path)
    assert "\n" not in str(caught.value)
    for word in ("wrong.yaml", *words):
        assert word in str(caught.value)


def test_files_that_hold_no_task(tmp_path: Path) -> None:
    for content, word in (
        ("", "expected a task's name"),
        ("- a\n", "expected a task's name"),
        (GOOD + GOOD.replace("quick", "slow"), "2 tasks"),
    ):
        path = tmp_path / f"{len(content)}.yaml"
        path.write_text(content)
        with pytest.raises(TardiffError, match=word):
            find_task(path)
    with pytest.raises(TardiffError, match=r"none\.yaml: cannot be read"):
        find_task(tmp_path / "none.yaml")
    with pytest.raises(TardiffError, match="'sepsis' is not known; choose in_hospital_death"):
        find_task("sepsis")
    looped = tmp_path / "looped.yaml"
    looped.write_text(GOOD.replace("{column: gender, equals: M}", "&a {all: [*a]}"))
    with pytest.raises(TardiffError, match=r"looped\.yaml"):
        find_task(looped)


def test_a_task_that_keeps_stays_without_a_full_window(tmp_path: Path) -> None:
    path = tmp_path / "end.yaml"
    path.write_text(GOOD.replace("  label:", "  origin: end\n  label:"))
    with pytest.raises(TardiffError, match="shorter than the window"):
        labels(find_task(path), stays(origin_minute=[1440, 1000], death_minute=[NEVER, 1500], gender=["M", "M"]))


def test_every_built_in_task_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "reference" / "tasks.md").read_text()
    for name in load_tasks(TASKS):
        assert f"`{name}`" in text, name
