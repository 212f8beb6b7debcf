"""The simulated tables: the publisher's shape, the known oddities, the same bytes again, and a label that can be learnt."""

import hashlib
import resource
import subprocess
import sys
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
from data_prep.simulate.items import OTHERS
from tardiff.data.dataset import Dataset, Split
from tardiff.errors import TardiffError

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
    raw = tmp_path_factory.mktemp("simulated") / "raw"
    rows = simulate(raw, 300, 1, ballast=2)
    tables = {name: pd.read_csv(raw / f"{name}.csv.gz", low_memory=False, keep_default_na=False, na_values=[""]) for name in COLUMNS}
    assert rows == {name: len(table) for name, table in tables.items()}
    return tables


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
    assert len(patients) < len(admissions) < len(stays), "readmissions, and several stays in one admission"
    assert patients["subject_id"].is_unique
    assert set(stays["hadm_id"]) == set(admissions["hadm_id"])
    assert set(stays["subject_id"]) == set(patients["subject_id"])
    merged = stays.merge(admissions, on="hadm_id")
    assert (merged["admittime"] < merged["intime"]).all()
    assert (merged["outtime"].str[:16] <= merged["dischtime"].str[:16]).all()
    assert ((stays["los"] < 1).any(), (stays["los"] > 7).any()) == (True, True)
    ordered = stays.sort_values(["subject_id", "intime"])
    later = ordered["subject_id"].duplicated()
    assert (ordered["intime"][later] > ordered["outtime"].shift()[later]).all(), "one stay after the other"
    away = pd.to_datetime(ordered["intime"])[later] - pd.to_datetime(ordered["outtime"]).shift()[later]
    assert 0 < (away < pd.Timedelta(days=30)).mean() < 1, "some come back within 30 days"
    dying = admissions.sort_values("admittime").groupby("subject_id")["hospital_expire_flag"]
    assert (dying.sum() == dying.last()).all(), "nobody comes back from the dead"
    events = tables["icu/chartevents"].merge(stays[["stay_id", "intime", "outtime"]], on="stay_id")
    assert events["charttime"].between(events["intime"], events["outtime"]).all()


def test_every_oddity(tables: dict[str, pd.DataFrame]) -> None:
    stays, admissions, patients = (tables[name] for name in ("icu/icustays", "hosp/admissions", "hosp/patients"))
    chart, labs, output = (tables[name] for name in ("icu/chartevents", "hosp/labevents", "icu/outputevents"))
    early = labs[labs["hadm_id"].isna()].merge(admissions[["subject_id", "admittime"]], on="subject_id")
    assert (early["charttime"] < early["admittime"]).any(), "labs without hadm_id before admission"
    assert ((labs["value"] == "___") & labs["valuenum"].notna()).any(), "a removed value with its number"
    assert labs["comments"].str.contains(",").any(), "quoted commas"
    assert labs["comments"].str.contains('"').any(), "doubled quotes"
    assert (labs["valuenum"].isna() & (labs["comments"] == "<0.2.")).any(), "below the limit of the assay"
    assert (pd.to_datetime(labs["storetime"]) - pd.to_datetime(labs["charttime"]) > pd.Timedelta(days=1)).any(), "a late result"
    assert {51301, 51300, 51755, 51756} <= set(labs["itemid"]), "white slots under several ids"
    assert set(labs["specimen_id"]) - set(labs.loc[labs["itemid"] == 52033, "specimen_id"])
    assert {226730, 226707} <= set(chart["itemid"]), "height in cm and inches"
    assert {226512, 226531, 224639} <= set(chart["itemid"]), "weight in kg and pounds"
    assert {224688, 220227, 224027} <= set(chart["itemid"]), "what is easily taken for another variable"
    assert ((admissions["hospital_expire_flag"] == 1) & admissions["deathtime"].isna()).any(), "death without a time"
    assert admissions["deathtime"].notna().any()
    dated = stays.merge(patients, on="subject_id")
    assert (dated["dod"] < dated["intime"].str[:10]).any(), "dod before intime"
    assert set(stays["stay_id"]) - set(chart["stay_id"]), "stays without events"
    verbal = chart[chart["itemid"] == 223900]
    assert set(verbal.loc[verbal["value"] == "No Response-ETT", "valuenum"]) == {1}, "text GCS of the intubated"
    assert set(verbal.loc[verbal["value"] == "Oriented", "valuenum"]) == {5}
    findings = chart[chart["itemid"] == 220048]
    assert (findings["value"].notna().all(), findings["valuenum"].notna().any()) == (True, False)
    fio2 = chart.loc[chart["itemid"] == 223835, "valuenum"]
    assert all(way.any() for way in (fio2 < 1, fio2 == 6, fio2 > 20)), "FiO2 three ways"
    assert {227488, 227489, 227510} <= set(output["itemid"]), "irrigant, and what is no urine"
    assert stays["subject_id"].duplicated().any(), "several stays"
    assert set(labs.loc[labs["itemid"] == 52033, "value"]) == {"ART.", "VEN.", "CENTRAL VENOUS."}, "venous blood gases"
    celsius = chart.loc[chart["itemid"] == 223762, "valuenum"]
    assert all(way.any() for way in (celsius > 80, celsius < 45)), "Fahrenheit under the Celsius item"
    assert {0.0} <= set(chart.loc[chart["itemid"] == 220045, "valuenum"])
    assert 7_000_400 in set(chart.loc[chart["itemid"] == 220210, "valuenum"])


def test_laboratory_rows_are_those_of_their_specimen(tables: dict[str, pd.DataFrame]) -> None:
    labs = tables["hosp/labevents"]
    assert labs["labevent_id"].is_unique
    assert not labs.duplicated(["specimen_id", "itemid"]).any()
    assert (labs.groupby("specimen_id")[["subject_id", "charttime"]].nunique() == 1).all(axis=None)
    assert set(labs["itemid"]) <= set(tables["hosp/d_labitems"]["itemid"])
    numbers = pd.to_numeric(labs["value"], errors="coerce")
    said = numbers.notna()
    assert (numbers[said] == labs["valuenum"][said]).all()


def test_the_sicker_are_measured_more_and_differently(tables: dict[str, pd.DataFrame]) -> None:
    admissions, labs = tables["hosp/admissions"], tables["hosp/labevents"]
    merged = labs.merge(admissions[["hadm_id", "hospital_expire_flag"]], on="hadm_id")
    for item, sign in ((50912, 1), (50813, 1), (51265, -1), (50882, -1), (50885, 1)):
        results = merged[merged["itemid"] == item]
        of_admission = np.log(results["valuenum"]).groupby([results["hospital_expire_flag"], results["hadm_id"]]).mean()
        means = of_admission.groupby(level=0).mean()
        assert sign * (means[1] - means[0]) > 0, item
    counts = merged[merged["itemid"] == 50813].groupby("hospital_expire_flag")["hadm_id"].agg(lambda ids: len(ids) / ids.nunique())
    assert counts[1] > counts[0]
    creatinine = labs[labs["itemid"] == 50912].groupby("subject_id")["valuenum"].agg(["min", "max"])
    assert 0.05 < (creatinine["max"] > 1.5 * creatinine["min"]).mean() < 0.6, "some kidneys fail"


def test_other_rows_are_as_many_as_asked_for(tables: dict[str, pd.DataFrame]) -> None:
    chart = tables["icu/chartevents"]
    others = chart["itemid"].isin([item.id for item in OTHERS])
    assert others.sum() == 2 * (~others).sum()


def test_labels_are_the_publishers(tables: dict[str, pd.DataFrame], real_data: Path) -> None:
    for name, columns in (("icu/d_items", ["label", "linksto"]), ("hosp/d_labitems", ["label", "fluid"])):
        real = pd.read_csv(real_data / "mimic-iv-demo-2.2" / f"{name}.csv.gz").set_index("itemid")
        ours = tables[name].set_index("itemid")
        assert (ours[columns] == real.loc[ours.index, columns]).all(axis=None), name


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


def test_an_existing_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    with pytest.raises(TardiffError, match="exists already"):
        simulate(tmp_path / "raw", 5)


def test_a_disk_that_fills_up_leaves_nothing(tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    command = [sys.executable, "-m", "tardiff", "simulate", "--stays", "300", "--out", str(tmp_path / "raw")]
    run = subprocess.run(command, preexec_fn=limit, capture_output=True, text=True)
    assert run.returncode == 2
    assert run.stderr.splitlines()[-1] == f"tardiff: error: {tmp_path / 'raw'}: cannot be written (File too large)"
    assert list(tmp_path.iterdir()) == []


PEAK = """
import resource, sys
from data_prep.simulate import simulate
simulate(sys.argv[1], int(sys.argv[2]), 0, 1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow(tmp_path: Path) -> None:
    small, large = (
        float(subprocess.run([sys.executable, "-c", PEAK, tmp_path / str(n), str(n)], check=True, capture_output=True).stdout)
        for n in (256, 1536)
    )
    assert large < small + 60, "MB"


def test_a_prepared_folder_is_byte_identical(tmp_path: Path) -> None:
    for name in ("a", "b"):
        dataset = prepare(PrepareSettings("simulate", tmp_path / name, stays=200, variables="all", seed=2))
    seen = Split.concatenate([dataset.split(name) for name in dataset.splits]).mask.any(axis=(0, 2))
    assert [name for name, any_value in zip(dataset.manifest.channel_names, seen, strict=True) if not any_value] == []
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == ["manifest.json", "test.safetensors", "train.safetensors", "validation.safetensors"]
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in files)
    assert str(tmp_path) not in (tmp_path / "a/manifest.json").read_text()


def test_manifest_and_death_rate(dataset: Dataset) -> None:
    manifest = dataset.manifest
    assert (manifest.source, manifest.source_version, manifest.settings["stays"]) == ("simulated", "2", 2500)
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
