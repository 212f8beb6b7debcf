"""Conditions on what is charted after the prediction, against cases worked out by hand."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from prep_small import write_table

from data_prep import PrepareSettings, prepare
from data_prep.ahead import ahead
from data_prep.tasks import Condition, find_task
from tardiff.errors import TardiffError

UNKNOWN = 0.5
LOW = Condition(channel="map", below=65.0, for_="1 h", to="6 h")
ONCE = Condition(channel="map", below=65.0, from_="2 h", to="horizon")
WITHIN = Condition(channel="map", at_least=50.0, below=65.0, to="6 h")

Entries = list[tuple[float, float]]


def judged(condition: Condition, entries: Entries, origin: int = 1440, horizon: float = 240.0) -> float:
    """The truth for one stay, whose entries are minutes after the origin and values, beside one that has others and one without any."""
    rows = [(7, "map", origin + minute, value) for minute, value in entries]
    rows += [(8, "map", origin + minute, 40.0) for minute in (0.0, 300.0)] + [(7, "sbp", origin + minute, 30.0) for minute in (0.0, 300.0)]
    table = pd.DataFrame(rows, columns=["stay_id", "variable", "minute", "value"]).sample(frac=1, random_state=0)
    stays = pd.DataFrame({"stay_id": [8, 9, 7], "origin_minute": origin}, index=[3, 5, 4])
    truth = ahead(condition, stays, table, horizon)
    assert truth[1] == UNKNOWN
    return float(truth[2])


@pytest.mark.parametrize(
    ("entries", "truth"),
    [
        ([(0, 60), (60, 60)], 1),
        ([(0, 60), (59, 60)], 0),
        ([(0, 60), (30, 70), (60, 60)], 0),
        ([(0, 60), (30, 65), (60, 60)], 0),  # 65 is not below 65
        ([(0, 70), (10, 60), (40, 64.9), (70, 60), (80, 90)], 1),
        ([(0, 60), (30, 60), (40, 80), (50, 60), (100, 60)], 0),  # 30 and 50 minutes
        ([(0, 60)], 0),
        ([(0, 60), (60, 60), (60, 80)], 0),  # all of one minute must hold
        ([(0, 60), (60, 60), (60, 61)], 1),
        ([(-60, 60), (0, 60)], 0),  # before the origin is the window
        ([(-1, 60)], UNKNOWN),
        ([], UNKNOWN),
        ([(299, 60), (359, 60)], 1),
        ([(300, 60), (360, 60)], 0),  # `to` is not in it
        ([(360, 60)], UNKNOWN),
    ],
)
def test_for_an_hour(entries: Entries, truth: float) -> None:
    assert judged(LOW, entries) == truth


@pytest.mark.parametrize(
    ("entries", "truth"), [([(119, 60)], UNKNOWN), ([(120, 60)], 1), ([(130, 65)], 0), ([(239, 60)], 1), ([(240, 60)], UNKNOWN)]
)
def test_once_from_two_hours_to_the_horizon(entries: Entries, truth: float) -> None:
    assert judged(ONCE, entries) == truth


@pytest.mark.parametrize(("value", "truth"), [(49.9, 0), (50, 1), (64.9, 1), (65, 0)])
def test_between_two_limits(value: float, truth: float) -> None:
    assert judged(WITHIN, [(10, value)]) == truth


def test_nobody_is_measured() -> None:
    stays = pd.DataFrame({"stay_id": [1, 2], "origin_minute": 60})
    for entries in ([], [(1, "sbp", 70.0, 90.0)]):
        table = pd.DataFrame(entries, columns=["stay_id", "variable", "minute", "value"])
        assert ahead(LOW, stays, table, 0.0).tolist() == [UNKNOWN, UNKNOWN]


def test_many_stays_are_judged_as_one_by_one() -> None:
    random = np.random.default_rng(0)
    n = 600
    table = pd.DataFrame({"stay_id": random.integers(0, 60, n), "variable": "map", "minute": random.integers(0, 3000, n).astype(float)})
    table["value"] = random.normal(66, 5, n)
    stays = pd.DataFrame({"stay_id": np.arange(60), "origin_minute": random.integers(500, 1500, 60)})
    together = ahead(LOW, stays, table, 0.0)
    alone = [ahead(LOW, stays[i : i + 1], table[table["stay_id"] == i], 0.0)[0] for i in range(60)]
    np.testing.assert_array_equal(together, alone)
    assert {0.0, UNKNOWN, 1.0} == set(together)


TASK = """
hypotension:
  rule: 1 if the systolic pressure falls below 100 within 4 h
  classes: [stable, hypotension]
  horizon: 4 h
  label: {channel: sbp, below: 100, from: origin, to: horizon}
  keep:
    - rule: a heart rate is charted within 2 h
      looks_ahead: true
      when: {channel: hr, above: 0, to: 2 h}
"""


def test_the_cohort_counts_who_was_not_measured(tmp_path: Path) -> None:
    """A long table of made-up stays, against plain pandas."""
    rows = write_table(tmp_path / "raw")
    (tmp_path / "task.yaml").write_text(TASK)
    chosen = {"task": str(tmp_path / "task.yaml"), "variables": "temp", "hours": 6}
    data = prepare(PrepareSettings("table", tmp_path / "out", tmp_path / "raw", **chosen))
    sbp, hr = (rows[(rows["name"] == name) & rows["value"].between(1, 300) & (rows["minute"] >= 360)] for name in ("sbp", "hr"))
    sbp, hr = sbp[sbp["minute"] < 600], hr[hr["minute"] < 480]
    known = set(sbp["stay"])
    low = set(sbp[sbp["value"] < 100]["stay"])
    kept = known & set(hr["stay"])
    found = {int(stay): int(label) for split in data.splits.values() for stay, label in zip(split.stay_id, split.label, strict=True)}
    account = {step.rule: (step.stays, step.looks_ahead) for step in data.manifest.attrition}
    assert account["the outcome is known"] == (len(known), True)
    assert account["a heart rate is charted within 2 h"] == (len(kept), True)
    assert set(found) <= kept
    assert found == {stay: int(stay in low) for stay in found}
    assert 0 < sum(found.values()) < len(found)
    assert len(known) < 40
    assert data.manifest.settings["task"]["label"] == {"channel": "sbp", "below": 100.0, "from": "origin", "to": "horizon"}
    assert [channel.name for channel in data.manifest.channels] == ["temp"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (", below: 100", "", ("hypotension.label", "compared with nothing")),
        ("below: 100", "below: 4 h", ("hypotension.label.below", "with a number", "'4 h'")),
        ("below: 100", "equals: 100", ("hypotension.label", "the channel sbp takes at_least")),
        ("below: 100", "below: .nan", ("hypotension.label.below", "with a number")),
        (", to: horizon", "", ("hypotension.label", "give to")),
        ("to: horizon", "to: origin", ("hypotension.label.to", "'origin' is no duration")),
        ("  horizon: 4 h\n", "", ("hypotension.label.to", "'horizon' is no duration", "horizon of the task")),
        ("from: origin", "from: window", ("hypotension.label.from", "'window' is no duration", "nor origin")),
        ("from: origin", "from: 4 h", ("hypotension.label", "no time to come true")),
        ("from: origin", "for: 4 h", ("hypotension.label", "no time to come true")),
        ("from: origin", "for: long", ("hypotension.label.for", "'long' is no duration")),
        ("channel: sbp, below", "column: minutes, below", ("hypotension.label", "those of a channel")),
        (
            "channel: sbp, below",
            "channel: sbp, column: minutes, below",
            ("hypotension.label", "exactly one of column, channel, all and any"),
        ),
        ("looks_ahead: true", "looks_ahead: false", ("hypotension.keep[0]", "looks_ahead: false", "hr")),
        ("from: origin", "until: 3 h", ("hypotension", "until")),
    ],
)
def test_a_condition_that_is_wrong(old: str, new: str, words: tuple[str, ...], tmp_path: Path) -> None:
    assert TASK.count(old) == 1
    path = tmp_path / "wrong.yaml"
    path.write_text(TASK.replace(old, new))
    with pytest.raises(TardiffError) as caught:
        find_task(path)
    assert "\n" not in str(caught.value)
    for word in ("wrong.yaml", *words):
        assert word in str(caught.value)


def test_a_channel_that_a_source_does_not_have(tmp_path: Path) -> None:
    write_table(tmp_path / "raw")
    for name, message in (("map", "needs the variable map, which table does not have"), ("blood", "needs the variable blood")):
        (tmp_path / "task.yaml").write_text(TASK.replace("channel: sbp", f"channel: {name}"))
        with pytest.raises(TardiffError, match=f"task hypotension: {message}"):
            prepare(PrepareSettings("table", tmp_path / "out", tmp_path / "raw", task=str(tmp_path / "task.yaml"), hours=6, variables="hr"))
        assert not (tmp_path / "out").exists()
