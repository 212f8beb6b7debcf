"""Real records against plain pandas that shares no code with the package."""

import io
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data_prep import PrepareSettings, prepare
from tardiff.data.dataset import Dataset

pytestmark = pytest.mark.slow

SUMMED, LARGEST = {"Urine"}, {"MechVent"}
AVERAGED = {"HR", "SysABP", "DiasABP", "MAP", "NISysABP", "NIDiasABP", "NIMAP", "RespRate", "Temp", "Glucose"}
CHARTED_AS = {
    **{"hr": "HR", "resp": "RespRate", "temp": "Temp", "sbp_arterial": "SysABP", "dbp_arterial": "DiasABP", "map_arterial": "MAP"},
    **{"sbp_cuff": "NISysABP", "dbp_cuff": "NIDiasABP", "map_cuff": "NIMAP", "gcs": "GCS", "mech_vent": "MechVent", "fio2": "FiO2"},
    **{"sao2": "SaO2", "ph": "pH", "pao2": "PaO2", "paco2": "PaCO2", "lactate": "Lactate", "glucose": "Glucose", "bun": "BUN"},
    **{"creatinine": "Creatinine", "sodium": "Na", "potassium": "K", "bicarbonate": "HCO3", "magnesium": "Mg", "albumin": "Albumin"},
    **{"bilirubin": "Bilirubin", "alp": "ALP", "alt": "ALT", "ast": "AST", "cholesterol": "Cholesterol", "troponin_i": "TroponinI"},
    **{"troponin_t": "TroponinT", "wbc": "WBC", "hematocrit": "HCT", "platelets": "Platelets", "urine": "Urine", "weight": "Weight"},
}


def by_hand(lines: pd.DataFrame, limits: dict[str, tuple[float, float]]) -> dict[tuple[str, int], float]:
    """One record, {(parameter, hour): value} of the first 48 hours."""
    slots: dict[tuple[str, int], list[tuple[int, float]]] = {}
    for time, parameter, value in lines.itertuples(index=False):
        minute = int(time[:2]) * 60 + int(time[3:])
        if parameter == "pH" and 650 <= value <= 800:
            value /= 100
        if parameter == "FiO2" and value <= 1:
            value *= 100
        if parameter not in limits or value == -1 or minute >= 48 * 60:
            continue
        if limits[parameter][0] <= value <= limits[parameter][1]:
            slots.setdefault((parameter, minute // 60), []).append((minute, value))
    result = {}
    for (parameter, hour), found in slots.items():
        values = [value for _, value in sorted(found)]
        if parameter in AVERAGED:
            number = float(np.mean(values))
        elif parameter in SUMMED:
            number = min(sum(values), limits[parameter][1])
        else:
            number = max(values) if parameter in LARGEST else values[-1]
        result[parameter, hour] = number
    return result


def test_physionet2012_all_37_variables(real_data: Path, tmp_path: Path) -> None:
    raw = real_data / "physionet2012"
    dataset = prepare(PrepareSettings("physionet2012", tmp_path / "out", raw, hours=48, variables="all", sets="a"))
    assert set(dataset.manifest.channel_names) == set(CHARTED_AS)
    names = [CHARTED_AS[name] for name in dataset.manifest.channel_names]
    assert len(set(names)) == 37
    limits = {CHARTED_AS[channel.name]: channel.limits for channel in dataset.manifest.channels}
    rows = {int(stay): (split, i) for split in dataset.splits.values() for i, stay in enumerate(split.stay_id)}
    assert len(rows) > 3900
    outcomes = pd.read_csv(raw / "Outcomes-a.txt").set_index("RecordID")
    seen: set[str] = set()
    with tarfile.open(raw / "set-a.tar.gz") as archive:
        members = [member for member in archive if member.isfile()]
        for member in members[::25]:
            record = int(Path(member.name).stem)
            lines = pd.read_csv(io.BytesIO(archive.extractfile(member).read()))  # type: ignore[union-attr]
            expected = by_hand(lines, limits)
            seen |= {parameter for parameter, _ in expected}
            if record not in rows:
                assert not expected or lines.loc[lines["Parameter"] == "Age", "Value"].iloc[0] < 18
                continue
            split, i = rows[record]
            table = np.full((37, 48), np.nan)
            for (parameter, hour), value in expected.items():
                table[names.index(parameter), hour] = value
            np.testing.assert_allclose(split.values[i], table, rtol=2e-6, err_msg=str(member.name))
            assert split.label[i] == outcomes.loc[record, "In-hospital_death"]
    assert seen == set(names), "the sample must exercise every variable"


def test_physionet2012_by_set(real_data: Path, tmp_path: Path) -> None:
    raw = real_data / "physionet2012"
    dataset = prepare(PrepareSettings("physionet2012", tmp_path / "out", raw, split="by-set"))
    assert Dataset.load(tmp_path / "out").manifest == dataset.manifest
    in_b = set(pd.read_csv(raw / "Outcomes-b.txt")["RecordID"])
    assert set(dataset.split("test").stay_id.tolist()) <= in_b
    assert not in_b & set(dataset.train.stay_id.tolist())
    assert dataset.manifest.attrition[0].stays == 8000
    assert dataset.split("test").label.mean() == pytest.approx(0.142, abs=0.003)
    assert dataset.train.label.mean() == pytest.approx(0.139, abs=0.003)


@pytest.mark.slow
def test_physionet2019_by_site(real_data: Path, tmp_path: Path) -> None:
    """Counts against those that come with the records; hospital B's patients are divided by their ids."""
    raw = real_data / "physionet2019-sites"
    settings = PrepareSettings("physionet2019", tmp_path / "a", raw, sets="a", task="sepsis_later", variables="all", hours=12)
    label = np.concatenate([split.label for split in prepare(settings).splits.values()])
    assert (len(label), label.sum()) == (19_553, 1_182)
    other = prepare(replace(settings, out=tmp_path / "b", sets="b", split="by-id", test_after=104_000))
    assert (
        other.split("test").subject_id.min() > 104_000 >= max(split.subject_id.max() for split in (other.train, other.split("validation")))
    )
    assert {name: int(split.label.sum()) for name, split in other.splits.items()} == {"train": 113, "validation": 28, "test": 207}


def test_mimic_demo_rows_and_labels(real_data: Path, tmp_path: Path) -> None:
    raw = real_data / "mimic-iv-demo-2.2"
    dataset = prepare(PrepareSettings("mimic-iv", tmp_path / "out", raw, variables="urine,hr"))
    assert next(step.stays for step in dataset.manifest.attrition) == 140
    stays = pd.read_csv(raw / "icu/icustays.csv.gz", parse_dates=["intime"]).set_index("stay_id")
    admissions = pd.read_csv(raw / "hosp/admissions.csv.gz").set_index("hadm_id")
    output = pd.read_csv(raw / "icu/outputevents.csv.gz", parse_dates=["charttime"])
    items = [226559, 226560, 226561, 226584, 226563, 226564, 226565, 226567, 226557, 226558, 227489, 227488]
    bags = output["itemid"].isin([227488, 227489])  # irrigation comes in bags of 3 L
    output = output[output["itemid"].isin(items) & output["value"].between(0, bags.map({True: 10_000, False: 2000}))]
    total = 0
    for split in dataset.splits.values():
        for i, stay in enumerate(split.stay_id):
            rows = output[output["stay_id"] == stay]
            hour = np.floor((rows["charttime"] - stays.loc[stay, "intime"]) / pd.Timedelta(hours=1))
            signed = rows["value"].where(rows["itemid"] != 227488, -rows["value"])
            sums = signed.groupby(hour).sum().clip(0, 2000).reindex(range(24))
            np.testing.assert_allclose(split.values[i, 0], sums.to_numpy(), rtol=1e-6)
            assert split.label[i] == admissions.loc[stays.loc[stay, "hadm_id"], "hospital_expire_flag"]
            total += sums.notna().sum()
    assert total > 1000
