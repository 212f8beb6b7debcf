"""Tasks on real records, against plain pandas that shares no code with the package."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from data_prep import PrepareSettings, prepare
from data_prep.sources import open_source
from tardiff.data.dataset import Dataset
from tardiff.errors import TardiffError

pytestmark = pytest.mark.slow

DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "tasks.md"


def labels(data: Dataset) -> dict[int, int]:
    return {int(stay): int(label) for split in data.splits.values() for stay, label in zip(split.stay_id, split.label, strict=True)}


@pytest.fixture(scope="module")
def demo(real_data: Path) -> Path:
    return real_data / "mimic-iv-demo-2.2"


@pytest.fixture(scope="module")
def stays(demo: Path) -> pd.DataFrame:
    """The publisher's tables joined, a row a stay."""
    icu = pd.read_csv(demo / "icu/icustays.csv.gz", parse_dates=["intime", "outtime"])
    admissions = pd.read_csv(demo / "hosp/admissions.csv.gz", parse_dates=["deathtime"])[["hadm_id", "deathtime", "hospital_expire_flag"]]
    patients = pd.read_csv(demo / "hosp/patients.csv.gz", parse_dates=["dod"])[["subject_id", "dod"]]
    frame = icu.merge(admissions, on="hadm_id").merge(patients, on="subject_id").sort_values(["subject_id", "intime"])
    hours = (frame["outtime"] - frame["intime"]) / pd.Timedelta(hours=1)
    return frame.assign(hours=hours, next=frame.groupby("subject_id")["intime"].shift(-1)).set_index("stay_id")


def prepared(task: str | Path, demo: Path, out: Path, **choices: Any) -> Dataset:
    return prepare(PrepareSettings("mimic-iv", out / "out", demo, task=str(task), variables="hr", **choices))


def test_mimic_length_of_stay(demo: Path, stays: pd.DataFrame, tmp_path: Path) -> None:
    found = labels(prepared("los_3d", demo, tmp_path))
    there = stays[stays["hours"] >= 24]
    assert found == (there["hours"] > 72).astype(int).to_dict()
    assert len(found) == 117


def test_mimic_readmission(demo: Path, stays: pd.DataFrame, tmp_path: Path) -> None:
    data = prepared("readmission_30d", demo, tmp_path)
    back = stays["next"] - stays["outtime"] <= pd.Timedelta(days=30)
    lost = ~back & (stays["dod"] + pd.Timedelta(days=1) - stays["outtime"] <= pd.Timedelta(days=30))
    there = stays[(stays["hours"] >= 24) & (stays["hospital_expire_flag"] == 0) & ~lost]
    assert labels(data) == back[there.index].astype(int).to_dict()
    # The window is the stay's last day.
    charted = pd.read_csv(
        demo / "icu/chartevents.csv.gz", usecols=["stay_id", "charttime", "itemid", "valuenum"], parse_dates=["charttime"]
    )
    charted = charted[(charted["itemid"] == 220045) & charted["valuenum"].between(1, 300)]
    compared = 0
    for split in data.splits.values():
        for i in range(0, len(split), 7):
            stay = stays.loc[split.stay_id[i]]
            assert split.origin_minute[i] == np.floor((stay["outtime"] - stay["intime"]) / pd.Timedelta(minutes=1))
            start = stay["intime"] + pd.Timedelta(minutes=int(split.origin_minute[i]) - 1440)
            own = charted[charted["stay_id"] == split.stay_id[i]]
            hour = np.floor((own["charttime"] - start) / pd.Timedelta(hours=1))
            expected = own.groupby(hour)["valuenum"].mean().reindex(range(24)).to_numpy()
            np.testing.assert_allclose(split.values[i, 0], expected, rtol=1e-6)
            compared += np.isfinite(expected).sum()
    assert compared > 200


def test_mimic_decompensation(demo: Path, stays: pd.DataFrame, tmp_path: Path) -> None:
    data = prepared("decompensation", demo, tmp_path, hours=6, seed=2)
    assert len({int(m) for m in data.train.origin_minute}) > 15
    for split in data.splits.values():
        there = stays.loc[split.stay_id]
        origin = there["intime"].to_numpy() + split.origin_minute * np.timedelta64(1, "m")
        assert (split.origin_minute % 60 == 0).all()
        assert (split.origin_minute >= 360).all()
        assert (there["outtime"].to_numpy() >= origin).all()
        assert not (there["deathtime"].to_numpy() <= origin).any()
        np.testing.assert_array_equal(split.label, there["deathtime"].to_numpy() - origin <= np.timedelta64(24, "h"))
    assert sum(labels(data).values()) > 0


def rises(results: list[tuple[float, float]]) -> list[float]:
    """Minutes at which creatinine reaches stage 1, pair by pair."""
    found = []
    for minute, value in results:
        for earlier, lower in results:
            age = minute - earlier
            if (0 < age <= 2880 and round(value - lower, 6) >= 0.3) or (0 < age <= 10080 and round(value - 1.5 * lower, 6) >= 0):
                found.append(minute)
                break
    return found


def judged(results: list[tuple[float, float]]) -> int | None:
    """The label of `aki_creatinine` after 24 hours, None for a stay that is left out."""
    results = [(minute, value) for minute, value in results if minute <= 1440 + 2880]
    reached = rises(results)
    if not any(m <= 1440 for m, _ in results) or any(m <= 1440 for m in reached) or not any(m > 1440 for m, _ in results):
        return None
    return int(bool(reached))


def test_mimic_kidney_injury_by_creatinine(demo: Path, stays: pd.DataFrame, tmp_path: Path) -> None:
    labs = pd.read_csv(demo / "hosp/labevents.csv.gz", usecols=["subject_id", "itemid", "charttime", "valuenum"], parse_dates=["charttime"])
    labs = labs[(labs["itemid"] == 50912) & labs["valuenum"].between(0.1, 60)]
    expected = {}
    for stay_id, stay in stays[stays["hours"] >= 24].iterrows():
        own = labs[labs["subject_id"] == stay["subject_id"]]
        from_ = stay["intime"] - pd.Timedelta(days=7)  # those of an earlier stay as well
        own = own[(own["charttime"] >= from_) & (own["charttime"] < stay["outtime"])]
        minutes = (own["charttime"] - stay["intime"]) / pd.Timedelta(minutes=1)
        label = judged(sorted(zip(minutes, own["valuenum"], strict=True)))
        if label is not None:
            expected[stay_id] = label
    found = labels(prepared("aki_creatinine", demo, tmp_path))
    assert found == expected
    assert sum(found.values()) > 5


HYPOTENSION = """
hypotension:
  rule: 1 if the mean arterial pressure keeps below 65 mmHg for an hour within 6 h
  classes: [stable, hypotension]
  label: {channel: map, below: 65, for: 1 h, from: origin, to: 6 h}
"""


def test_mimic_hypotension_ahead(demo: Path, stays: pd.DataFrame, tmp_path: Path) -> None:
    """Invasive and cuff pressures alike; a stay without one in the six hours is left out."""
    (tmp_path / "task.yaml").write_text(HYPOTENSION)
    charted = pd.read_csv(
        demo / "icu/chartevents.csv.gz", usecols=["stay_id", "charttime", "itemid", "valuenum"], parse_dates=["charttime"]
    )
    charted = charted[charted["itemid"].isin([220052, 220181, 225312]) & charted["valuenum"].between(1, 250)]
    expected = {}
    for stay_id, own in charted.groupby("stay_id"):
        minute = (own["charttime"] - stays.loc[stay_id, "intime"]) / pd.Timedelta(minutes=1)
        later = sorted(own.assign(minute=minute)[(minute >= 1440) & (minute < 1800)].groupby("minute")["valuenum"].max().items())
        runs: list[list[float]] = [[]]
        for at, highest in later:
            if highest < 65:
                runs[-1].append(at)
            else:
                runs.append([])
        if later:
            expected[stay_id] = int(any(run and run[-1] - run[0] >= 60 for run in runs))
    data = prepared(tmp_path / "task.yaml", demo, tmp_path)
    found = labels(data)
    assert found == {stay: label for stay, label in expected.items() if stay in found}
    account = {step.rule: step.stays for step in data.manifest.attrition}
    assert account["the outcome is known"] == len(expected)
    assert 5 < sum(found.values()) < len(found)


def test_physionet2012_kidney_injury(real_data: Path, tmp_path: Path) -> None:
    raw = real_data / "physionet2012"
    data = prepare(PrepareSettings("physionet2012", tmp_path / "out", raw, task="aki_creatinine", variables="hr,sbp", sets="a"))
    found = labels(data)
    source = open_source("physionet2012", raw, ("a",))
    lines = source._lines.to_pandas()  # type: ignore[attr-defined]
    lines = lines[(lines["parameter"] == "Creatinine") & lines["value"].between(0.1, 60)]
    by_stay = {stay: sorted(zip(own["minute"], own["value"], strict=True)) for stay, own in lines.groupby("stay_id")}
    for stay, label in found.items():
        assert judged(by_stay[stay]) == label
    assert len(found) == data.manifest.attrition[-1].stays > 3000


def test_physionet2012_length_of_the_hospital_stay(real_data: Path, tmp_path: Path) -> None:
    raw = real_data / "physionet2012"
    outcomes = pd.read_csv(raw / "Outcomes-a.txt").set_index("RecordID")
    data = prepare(PrepareSettings("physionet2012", tmp_path / "out", raw, task="hospital_los_7d", sets="a"))
    found = labels(data)
    assert found == (outcomes.loc[list(found), "Length_of_stay"] > 7).astype(int).to_dict()
    assert (outcomes.loc[list(found), "Length_of_stay"] >= 0).all()
    for task, column in (("los_3d", "unit_minutes"), ("decompensation", "death_minute"), ("readmission_30d", "next_minute")):
        with pytest.raises(TardiffError, match=f"task {task}: needs the column {column}, which the stays of physionet2012 do not have"):
            prepare(PrepareSettings("physionet2012", tmp_path / task, raw, task=task, sets="a"))


def test_mimic_sepsis_from_a_table_of_onsets(demo: Path, stays: pd.DataFrame, tmp_path: Path) -> None:
    """Every third stay has an onset 30 h after its start; another third in the first hour."""
    onset = stays["intime"] + pd.Timedelta(hours=30)
    onset[np.arange(len(stays)) % 3 == 1] -= pd.Timedelta(hours=29)
    table = onset[np.arange(len(stays)) % 3 != 2].rename("onset_time").reset_index()
    table.to_csv(tmp_path / "onsets.csv", index=False)
    data = prepared("sepsis3", demo, tmp_path, hours=6, onset=tmp_path / "onsets.csv")
    third = dict(zip(stays.index, np.arange(len(stays)) % 3, strict=True))
    counts = {0: 0, 1: 0}
    for split in data.splits.values():
        for stay, label, minute in zip(split.stay_id.tolist(), split.label, split.origin_minute, strict=True):
            assert third[stay] != 1
            assert label == (third[stay] == 0 and 1800 - 720 <= minute < 1800)
            assert third[stay] == 2 or minute < 1800
            counts[int(label)] += 1
    assert min(counts.values()) > 5
    assert str(tmp_path) not in (tmp_path / "out" / "manifest.json").read_text()
    with pytest.raises(TardiffError, match="reads no onset_minute"):
        prepared("los_3d", demo, tmp_path / "other", onset=tmp_path / "onsets.csv")


def test_the_documented_task(demo: Path, stays: pd.DataFrame, tmp_path: Path) -> None:
    (example,) = (text for text in re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(), re.S) if "benchmark_mortality" in text)
    path = tmp_path / "my_task.yaml"
    path.write_text(example)
    data = prepared(path, demo, tmp_path, hours=48)
    alone = stays.groupby("hadm_id")["intime"].transform("size") == 1
    units = (
        "Medical Intensive Care Unit (MICU)",
        "Surgical Intensive Care Unit (SICU)",
        "Medical/Surgical Intensive Care Unit (MICU/SICU)",
    )
    there = stays[alone & (stays["hours"] >= 48) & stays["first_careunit"].isin(units)]
    assert labels(data) == there["hospital_expire_flag"].to_dict()
    assert data.manifest.task.name == "benchmark_mortality"
    assert [step.looks_ahead for step in data.manifest.attrition] == [False, False, True, True, True, False, False, False]
    assert data.manifest.settings["task"]["keep"][1]["when"] == {"column": "minutes", "at_least": "window"}


def test_first_stays_and_limits(demo: Path, stays: pd.DataFrame, tmp_path: Path) -> None:
    data = prepared("in_hospital_death", demo, tmp_path, stays_of_patient="first", max_stay_hours=96, min_coverage=0.9)
    first = stays.groupby("subject_id").head(1)
    assert set(labels(data)) <= set(first[first["hours"].between(24, 96)].index)
    assert (np.concatenate([split.mask.any(axis=1).mean(axis=1) for split in data.splits.values()]) >= 0.9).all()
    assert data.manifest.attrition[1].stays == 100
