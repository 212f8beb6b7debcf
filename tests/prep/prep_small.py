"""Small folders of made-up stays for the sources without an open sample."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

STAYS = 40


def charted(seed: int = 0) -> pd.DataFrame:
    """A long table: stay, minute, name (hr, sbp, temp, lact), value; some implausible, some before the start, some on the hour."""
    rng = np.random.default_rng(seed)
    rows = []
    for stay in range(1, STAYS + 1):
        for name, centre, spread, entries in (("hr", 85, 15, 30), ("sbp", 120, 20, 20), ("temp", 37, 0.5, 6), ("lact", 2, 0.5, 3)):
            minutes = np.concatenate([rng.integers(-60, 1500, entries), [60, 120]])
            values = np.round(rng.normal(centre, spread, entries + 2), 1)
            values[rng.random(entries + 2) < 0.05] = 999
            rows.append(pd.DataFrame({"stay": stay, "minute": minutes, "name": name, "value": values}))
    return pd.concat(rows, ignore_index=True)


def write_yaib(folder: Path, as_duration: bool = True) -> pd.DataFrame:
    """A folder of YAIB's mortality task; returns the hourly table with time in hours."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    stay = np.repeat(np.arange(1, STAYS + 1), 26)
    hours = pd.DataFrame({"stay_id": stay, "time": np.tile(np.arange(26), STAYS)})
    for name, centre in (("hr", 85.0), ("sbp", 120.0), ("o2sat", 97.0), ("temp", 37.0), ("crea", 1.0), ("hgb", 10.0)):
        values = np.round(rng.normal(centre, centre / 20, len(hours)), 2)
        hours[name] = np.where(rng.random(len(hours)) < 0.5, values, np.nan)
    hours.loc[3, "hr"] = 999.0
    table = pa.Table.from_pandas(hours, preserve_index=False)
    if as_duration:
        seconds = pa.array(hours["time"].to_numpy() * 3600, pa.int64()).cast(pa.duration("s"))
        table = table.set_column(1, "time", seconds)
    pq.write_table(table, folder / "dyn.parquet")
    ids = np.arange(1, STAYS + 1)
    static = {"stay_id": ids, "age": 40.0 + ids, "sex": np.where(ids % 2, "Female", "Male"), "height": 170.0, "weight": np.nan}
    pd.DataFrame(static).to_parquet(folder / "sta.parquet", index=False)
    pd.DataFrame({"stay_id": ids, "label": (ids % 4 == 0).astype(int)}).to_parquet(folder / "outc.parquet", index=False)
    return hours


LAYOUT = """\
times: minutes
events: {file: charted.csv, stay: stay, time: minute, variable: name, value: value}
stays: {file: stays.csv, stay: stay, patient: patient, end: end, age: age, died: died, label: readmitted, split: part}
variables:
  hr: {concept: hr}
  sbp: {concept: sbp}
  temp: {concept: temp, convert: celsius}
  lact: {name: lactate_poc, label: Lactate at the bedside, unit: mmol/L, limits: [0.1, 30], aggregation: last, normal: 1.5}
descriptors:
  - {name: age, unit: years, limits: [18, 120]}
  - {name: sex, kind: categorical, categories: {f: female, m: male}}
"""


def write_table(folder: Path, layout: str = LAYOUT) -> pd.DataFrame:
    """A folder with a long table; returns it. Two stays of every tenth patient."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.yaml").write_text(layout)
    rows = charted()
    rows.to_csv(folder / "charted.csv", index=False)
    ids = np.arange(1, STAYS + 1)
    patient = np.where(ids % 10 == 0, ids - 1, ids)
    part = np.array(["train", "validation", "test"])[np.where(patient % 5 == 0, 1, np.where(patient % 7 == 0, 2, 0))]
    stays = {
        "stay": ids,
        "patient": patient,
        "end": 2000,
        "age": 50,
        "sex": np.where(ids % 2, "f", "m"),
        "died": np.where(ids % 4 == 0, "yes", "no"),
        "readmitted": ids % 2,
        "part": part,
    }
    pd.DataFrame(stays).to_csv(folder / "stays.csv", index=False)
    return rows
