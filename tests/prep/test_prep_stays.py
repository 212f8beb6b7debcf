"""Which stay an entry belongs to, with times that have fractions of a second."""

from typing import Any

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from prep_raw import RawMimic

from data_prep import PrepareSettings, prepare
from data_prep.sources.columns import within_stays

BEGIN = pd.Timestamp("2150-01-01")
MOMENTS = st.integers(0, 40).map(lambda quarters: quarters * 250)
"""Milliseconds, close together."""


@settings(max_examples=200)
@given(
    stays=st.lists(st.tuples(MOMENTS, st.one_of(st.none(), MOMENTS)), min_size=1, max_size=4),
    at=st.integers(-5, 20),
    before=st.sampled_from([0.0, 0.05, 60.0]),
)
def test_an_entry_is_of_one_stay(stays: list[tuple[int, int | None]], at: int, before: float) -> None:
    """However stays of a patient overlap, a second lies in at most one, and each entry is counted for exactly one."""
    start = BEGIN + pd.to_timedelta([first for first, _ in stays], unit="ms")
    end = start + pd.to_timedelta([np.nan if last is None else last for _, last in stays], unit="ms")
    frame = pd.DataFrame({"stay_id": range(len(stays)), "subject_id": 7, "start": start, "end": end})
    table = within_stays(frame, before).to_pandas()
    second = int(BEGIN.timestamp()) + at
    minute = (second - table["start"]) / 60
    inside = (minute >= table["stay_since"]) & (minute < table["until"])
    own = (second >= table["own_since"]) & (second < table["own_until"])
    assert inside.sum() <= 1
    assert own.sum() == 1
    assert not (inside & ~own).any()


def test_overlapping_stays_with_fractions(raw_mimic: RawMimic, tmp_path: Any) -> None:
    """A result in the second in which the next stay begins is that stay's, and no result is in both."""
    raw_mimic.tables["icu/icustays"] += "0,100,300,PACU,PACU,2150-01-02 12:00:00.700000,2150-01-04 18:00:00.300000,2\n"
    raw_mimic.chart(0, "2150-01-02 12:30:00", "80")
    raw_mimic.tables["icu/chartevents"] = raw_mimic.tables["icu/chartevents"].replace(
        "0,100,200,,2150-01-02 12:30:00", "0,100,300,,2150-01-02 12:30:00"
    )
    for clock, value in (("12:00:00.9", "1.5"), ("11:59:59.9", "2.5"), ("13:00:00.000", "3.5")):
        raw_mimic.lab(0, f"2150-01-02 {clock}", value)
    raw = raw_mimic.write()
    made = prepare(PrepareSettings("mimic-iv", tmp_path / "out", raw, variables="hr,creatinine", hours=48))
    values = {stay: row[1] for split in made.splits.values() for stay, row in zip(split.stay_id.tolist(), split.values, strict=True)}
    assert np.nanmax(values[200]) == np.float32(2.5)
    assert np.isfinite(values[200]).sum() == 1
    assert values[300][:2].tolist() == [1.5, 3.5]
    (lab,) = (account for account in made.manifest.account or () if account.table == "labevents")
    assert (lab.read, lab.kept) == (3, 3)
