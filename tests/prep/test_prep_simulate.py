"""The simulated tables: the publisher's shape, the known oddities, the same bytes again, and a label that can be learnt."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from data_prep import PrepareSettings, prepare
from data_prep.simulate import simulate
from tardiff.dataset import Dataset, Split

COLUMNS = {
    "icu/icustays": "subject_id, hadm_id, stay_id, first_careunit, last_careunit, intime, outtime, los",
    "icu/chartevents": "subject_id, hadm_id, stay_id, caregiver_id, charttime, storetime, itemid, value, valuenum, valueuom, warning",
    "icu/outputevents": "subject_id, hadm_id, stay_id, caregiver_id, charttime, storetime, itemid, value, valueuom",
    "icu/d_items": "itemid, label, abbreviation, linksto, category, unitname, param_type, lownormalvalue, highnormalvalue",
    "hosp/patients": "subject_id, gender, anchor_age, anchor_year, anchor_year_group, dod",
    "hosp/admissions": "subject_id, hadm_id, admittime, dischtime, deathtime, admission_type, admit_provider_id, admission_location, "
    "discharge_location, insurance, language, marital_status, race, edregtime, edouttime, hospital_expire_flag",
    "hosp/labevents": "labevent_id, subject_id, hadm_id, specimen_id, itemid, order_provider_id, charttime, storetime, value, valuenum, "
    "valueuom, ref_range_lower, ref_range_upper, flag, priority, comments",
    "hosp/d_labitems": "itemid, label, fluid, category",
}


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    raw = tmp_path_factory.mktemp("simulated")
    simulate(raw, 300, 1)
    return {name: pd.read_csv(raw / f"{name}.csv.gz", low_memory=False) for name in COLUMNS}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return prepare(PrepareSettings("simulate", tmp_path_factory.mktemp("made") / "out", stays=2500))


def test_columns(tables: dict[str, pd.DataFrame]) -> None:
    assert {name: ", ".join(table.columns) for name, table in tables.items()} == COLUMNS


def test_ids_and_times_agree(tables: dict[str, pd.DataFrame]) -> None:
    stays, admissions, patients = (tables[name] for name in ("icu/icustays", "hosp/admissions", "hosp/patients"))
    assert len(stays) == 300
    assert stays["stay_id"].is_unique
    assert admissions["hadm_id"].is_unique
    assert patients["subject_id"].is_unique
    assert set(stays["hadm_id"]) == set(admissions["hadm_id"])
    assert set(stays["subject_id"]) == set(patients["subject_id"])
    merged = stays.merge(admissions, on="hadm_id")
    assert (merged["admittime"] < merged["intime"]).all()
    assert (merged["outtime"] <= merged["dischtime"]).mean() > 0.8
    assert stays["los"].between(1, 4).all()
    dying = admissions.sort_values("admittime").groupby("subject_id")["hospital_expire_flag"]
    assert (dying.sum() == dying.last()).all(), "nobody comes back from the dead"
    events = tables["icu/chartevents"].merge(stays[["stay_id", "intime", "outtime"]], on="stay_id")
    assert events["charttime"].between(events["intime"], events["outtime"]).mean() > 0.99


def test_every_oddity(tables: dict[str, pd.DataFrame]) -> None:
    stays, admissions, patients = (tables[name] for name in ("icu/icustays", "hosp/admissions", "hosp/patients"))
    chart, labs, output = (tables[name] for name in ("icu/chartevents", "hosp/labevents", "icu/outputevents"))
    early = labs[labs["hadm_id"].isna()].merge(admissions[["subject_id", "admittime"]], on="subject_id")
    assert (early["charttime"] < early["admittime"]).any(), "labs without hadm_id before admission"
    assert ((labs["value"] == "___") & labs["valuenum"].notna()).any(), "a removed value with its number"
    assert labs["comments"].str.contains(",").any(), "quoted commas"
    assert {226730, 226707} <= set(chart["itemid"]), "height in cm and inches"
    assert ((admissions["hospital_expire_flag"] == 1) & admissions["deathtime"].isna()).any(), "death without a time"
    assert admissions["deathtime"].notna().any()
    dated = stays.merge(patients, on="subject_id")
    assert (dated["dod"] < dated["intime"].str[:10]).any(), "dod before intime"
    assert set(stays["stay_id"]) - set(chart["stay_id"]), "stays without events"
    assert (chart.loc[chart["itemid"] == 223900, "value"] == "No Response-ETT").any(), "text GCS"
    fio2 = chart.loc[chart["itemid"] == 223835, "valuenum"]
    assert all(way.any() for way in (fio2 < 1, fio2 == 6, fio2 > 20)), "FiO2 three ways"
    assert {227488, 227489} <= set(output["itemid"]), "irrigant"
    assert stays["subject_id"].duplicated().any(), "several stays"
    assert set(labs.loc[labs["itemid"] == 52033, "value"]) == {"ART.", "VEN."}, "venous blood gases"
    celsius = chart.loc[chart["itemid"] == 223762, "valuenum"]
    assert all(way.any() for way in (celsius > 80, celsius < 45)), "Fahrenheit under the Celsius item"
    assert {0.0} <= set(chart.loc[chart["itemid"] == 220045, "valuenum"])
    assert 7_000_400 in set(chart.loc[chart["itemid"] == 220210, "valuenum"])


def test_pressures_are_ordered(tables: dict[str, pd.DataFrame]) -> None:
    wide = tables["icu/chartevents"].pivot_table(index=["stay_id", "charttime"], columns="itemid", values="valuenum")
    for low, mean, high in ((220051, 220052, 220050), (220180, 220181, 220179)):
        pressures = wide[[low, mean, high]].dropna()
        pressures = pressures[pressures[mean].between(1, 250)]
        assert len(pressures) > 1000
        assert ((pressures[low] < pressures[mean]) & (pressures[mean] < pressures[high])).all()


def test_the_same_bytes_again_and_others_for_another_seed(tmp_path: Path) -> None:
    def digest(name: str, seed: int) -> str:
        simulate(tmp_path / name, 60, seed)
        files = sorted((tmp_path / name).rglob("*.gz"))
        assert len(files) == len(COLUMNS)
        return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()

    assert digest("a", 3) == digest("b", 3) != digest("c", 4)


def test_a_prepared_folder_is_byte_identical(tmp_path: Path) -> None:
    for name in ("a", "b"):
        prepare(PrepareSettings("simulate", tmp_path / name, stays=200, variables="all", seed=2))
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == ["manifest.json", "test.safetensors", "train.safetensors", "validation.safetensors"]
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in files)
    assert str(tmp_path) not in (tmp_path / "a/manifest.json").read_text()


def test_manifest_and_death_rate(dataset: Dataset) -> None:
    manifest = dataset.manifest
    assert (manifest.source, manifest.source_version, manifest.settings["stays"]) == ("simulated", "1", 2500)
    assert manifest.orderings == (("dbp", "map", "sbp"),)
    labels = np.concatenate([split.label for split in dataset.splits.values()])
    assert 0.11 < labels.mean() < 0.17
    for split in dataset.splits.values():
        assert (np.diff(split.stay_id) > 0).all()


def summary(split: Split) -> np.ndarray:
    values = np.ma.masked_invalid(split.values)
    parts = [getattr(values, name)(axis=2).filled(np.nan) for name in ("mean", "min", "max")]
    parts = [np.where(np.isnan(part), np.nanmean(part, axis=0), part) for part in parts]
    return np.concatenate([*parts, split.mask.mean(axis=2)], axis=1)


def test_the_label_can_be_learnt_but_not_trivially(dataset: Dataset) -> None:
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000)).fit(summary(dataset.train), dataset.train.label)
    rest = Split.concatenate([dataset.split("validation"), dataset.split("test")])
    assert 0.72 < roc_auc_score(rest.label, model.predict_proba(summary(rest))[:, 1]) < 0.88
