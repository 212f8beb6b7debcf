"""The MIMIC-IV demo turned into a MEDS folder by plain pandas, with the codes that MIMIC_IV_MEDS writes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

SHARDS = {"train": 0.8, "tuning": 0.9, "held_out": 1.0}


def write_meds(raw: Path, folder: Path, results_when_stored: bool = False) -> Path:
    """Write `folder` from the publisher's `raw`: laboratory results at the time of the draw, or as LAB//RESULT when stored."""

    def table(name: str, **options: object) -> pd.DataFrame:
        return pd.read_csv(raw / f"{name}.csv.gz", low_memory=False, **options)  # type: ignore[call-overload]

    def events(frame: pd.DataFrame, time: str, code: "pd.Series[str] | str", **columns: object) -> pd.DataFrame:
        return pd.DataFrame({"subject_id": frame["subject_id"], "time": pd.to_datetime(frame[time]), "code": code, **columns})

    def code(prefix: str, frame: pd.DataFrame) -> "pd.Series[str]":
        return prefix + frame["itemid"].astype(str) + "//" + frame["valueuom"].fillna("UNK")

    patients, admissions, stays = table("hosp/patients"), table("hosp/admissions"), table("icu/icustays")
    chart, output, lab = table("icu/chartevents"), table("icu/outputevents"), table("hosp/labevents")
    death = admissions.dropna(subset="deathtime").groupby("subject_id")["deathtime"].min()
    patients["death"] = patients["subject_id"].map(death).fillna(patients["dod"])
    patients["birth"] = (patients["anchor_year"] - patients["anchor_age"]).astype(str) + "-01-01"
    dead = patients[patients["death"].notna()]
    prefix, when = ("LAB//RESULT//", "storetime") if results_when_stored else ("LAB//", "charttime")
    left = "HOSPITAL_DISCHARGE//" + admissions["discharge_location"].fillna("UNK")
    charted = {"numeric_value": chart["valuenum"], "text_value": chart["value"], "icustay_id": chart["stay_id"]}
    parts = [
        events(patients, "birth", "MEDS_BIRTH"),
        pd.DataFrame({"subject_id": patients["subject_id"], "time": pd.NaT, "code": "GENDER//" + patients["gender"]}),
        events(dead.assign(death=pd.to_datetime(dead["death"], format="mixed")), "death", "MEDS_DEATH"),
        events(admissions, "dischtime", left, hadm_id=admissions["hadm_id"]),
        events(stays, "intime", "ICU_ADMISSION//" + stays["first_careunit"], hadm_id=stays["hadm_id"], icustay_id=stays["stay_id"]),
        events(stays, "outtime", "ICU_DISCHARGE//" + stays["last_careunit"], hadm_id=stays["hadm_id"], icustay_id=stays["stay_id"]),
        events(chart, "charttime", code("LAB//", chart), **charted),
        events(output, "charttime", code("SUBJECT_FLUID_OUTPUT//", output), numeric_value=output["value"], icustay_id=output["stay_id"]),
        events(lab, when, code(prefix, lab), numeric_value=lab["valuenum"], text_value=lab["value"]),
    ]
    frame = pd.concat(parts, ignore_index=True)
    frame["numeric_value"] = frame["numeric_value"].astype(np.float32)
    for name in ("hadm_id", "icustay_id"):
        frame[name] = frame[name].astype("Int64")
    frame["text_value"] = frame["text_value"].astype("string")
    frame["time"] = frame["time"].astype("datetime64[us]")
    frame = frame.sort_values(["subject_id", "time"], na_position="first", kind="stable", ignore_index=True)
    subjects = np.sort(patients["subject_id"].to_numpy())
    (folder / "metadata").mkdir(parents=True)
    first, splits = 0.0, []
    for name, last in SHARDS.items():
        mine = subjects[int(first * len(subjects)) : int(last * len(subjects))]
        first = last
        splits.append(pd.DataFrame({"subject_id": mine, "split": name}))
        shard = folder / "data" / name / "0.parquet"
        shard.parent.mkdir(parents=True)
        pq.write_table(pa.Table.from_pandas(frame[frame["subject_id"].isin(mine)], preserve_index=False), shard)
    pd.concat(splits).to_parquet(folder / "metadata" / "subject_splits.parquet", index=False)
    codes = pd.DataFrame({"code": sorted(frame["code"].unique()), "description": "", "parent_codes": None})
    codes.to_parquet(folder / "metadata" / "codes.parquet", index=False)
    (folder / "metadata" / "dataset.json").write_text('{"dataset_name": "MIMIC-IV-Demo", "dataset_version": "2.2"}')
    return folder
