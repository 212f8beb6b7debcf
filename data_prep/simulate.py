"""Raw tables in the shape of MIMIC-IV, of patients who do not exist.

What `physiology` lets happen is charted here: the sicker a patient, the more often, and the more likely through an arterial
line. The oddities of the real tables are there as well.
"""

import gzip
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
from numpy.typing import NDArray
from tqdm import tqdm

from data_prep.concepts import load_concepts
from data_prep.physiology import LONGEST_HOURS, SLOTS, Floats, Stays, draw_stays, sigmoid, vital_signs, whole_minutes
from tardiff.errors import TardiffError

CHUNK = 256
"""Stays in memory at a time."""
TABLES: Mapping[str, tuple[str, ...]] = {
    "icu/icustays": ("subject_id", "hadm_id", "stay_id", "first_careunit", "last_careunit", "intime", "outtime", "los"),
    "icu/chartevents": (
        *("subject_id", "hadm_id", "stay_id", "caregiver_id", "charttime", "storetime"),
        *("itemid", "value", "valuenum", "valueuom", "warning"),
    ),
    "icu/outputevents": ("subject_id", "hadm_id", "stay_id", "caregiver_id", "charttime", "storetime", "itemid", "value", "valueuom"),
    "icu/d_items": (
        *("itemid", "label", "abbreviation", "linksto", "category", "unitname", "param_type", "lownormalvalue", "highnormalvalue"),
    ),
    "hosp/patients": ("subject_id", "gender", "anchor_age", "anchor_year", "anchor_year_group", "dod"),
    "hosp/admissions": (
        *("subject_id", "hadm_id", "admittime", "dischtime", "deathtime", "admission_type", "admit_provider_id"),
        *("admission_location", "discharge_location", "insurance", "language", "marital_status", "race", "edregtime", "edouttime"),
        "hospital_expire_flag",
    ),
    "hosp/labevents": (
        *("labevent_id", "subject_id", "hadm_id", "specimen_id", "itemid", "order_provider_id", "charttime", "storetime", "value"),
        *("valuenum", "valueuom", "ref_range_lower", "ref_range_upper", "flag", "priority", "comments"),
    ),
    "hosp/d_labitems": ("itemid", "label", "fluid", "category"),
}
"""The publisher's columns (2.2 and 3.1 have the same)."""

CARE_UNITS = (
    "Medical Intensive Care Unit (MICU)",
    "Surgical Intensive Care Unit (SICU)",
    "Cardiac Vascular Intensive Care Unit (CVICU)",
    "Coronary Care Unit (CCU)",
)
OTHER_ITEMS = {
    220739: "GCS - Eye Opening",
    223900: "GCS - Verbal Response",
    223901: "GCS - Motor Response",
    223835: "Inspired O2 Fraction",
    224688: "Respiratory Rate (Set)",
    226512: "Admission Weight (Kg)",
    226707: "Height",
    226730: "Height (cm)",
}
"""Charted items beside those of `concepts.yaml`."""
GCS_TEXTS = {
    220739: ("None", "To Pain", "To Speech", "Spontaneously"),
    223900: ("No Response", "Incomprehensible sounds", "Inappropriate Words", "Confused", "Oriented"),
    223901: ("No response", "Abnormal extension", "Abnormal Flexion", "Flex-withdraws", "Localizes Pain", "Obeys Commands"),
}
INTUBATED = "No Response-ETT"
LABS = {
    50813: ("Lactate", "Blood Gas", "mmol/L"),
    50820: ("pH", "Blood Gas", "units"),
    50821: ("pO2", "Blood Gas", "mm Hg"),
    50912: ("Creatinine", "Chemistry", "mg/dL"),
    51006: ("Urea Nitrogen", "Chemistry", "mg/dL"),
    52033: ("Specimen Type", "Blood Gas", ""),
}
UNITS = {220045: "bpm", 220210: "insp/min", 224690: "insp/min", 224688: "insp/min", 223761: "°F", 223762: "°C", 220277: "%"}

Rows = list[tuple[NDArray[np.int64], NDArray[np.int64], int, Floats]]
"""Charted values: stay (index in the chunk), minute, item id, value."""


def simulate(raw: Path, stays: int, seed: int) -> None:
    """Write the tables of `TABLES` as `raw/icu/*.csv.gz` and `raw/hosp/*.csv.gz`, of stays of 24 to 96 h.

    Memory does not grow with `stays`. The same `stays` and `seed` write the same bytes.

    Raises:
        TardiffError: no stays are asked for.
    """
    if stays < 1:
        raise TardiffError(f"stays: {stays} cannot be simulated; ask for at least 1")
    with ExitStack() as stack:
        files = {table: _open(stack, raw / f"{table}.csv.gz") for table in TABLES}
        for table, columns in TABLES.items():
            files[table].write((",".join(columns) + "\n").encode())
        _write(files, "icu/d_items", _items())
        _write(files, "hosp/d_labitems", _lab_items())
        for first in tqdm(range(0, stays, CHUNK), desc="simulating", unit=f"x{CHUNK} stays", disable=None):
            rng = np.random.default_rng([seed, first])
            chunk = draw_stays(rng, first, min(CHUNK, stays - first))
            for table, make in _MAKERS.items():
                _write(files, table, make(rng, chunk))


def _open(stack: ExitStack, path: Path) -> BinaryIO:
    """A gzip file without name and time in its header: the content alone decides its bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = stack.enter_context(path.open("wb"))
    return cast(BinaryIO, stack.enter_context(gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=plain, mtime=0)))


def _write(files: Mapping[str, BinaryIO], table: str, columns: Mapping[str, Any]) -> None:
    """Append rows; a column that is not given is empty. Comments on results hold commas, so their table is quoted."""
    n = len(next(iter(columns.values())))
    empty = pa.array([""] * n)
    arrow = pa.table({name: columns.get(name, empty) for name in TABLES[table]})
    quoting = "needed" if "comments" in columns else "none"
    pa_csv.write_csv(arrow, files[table], pa_csv.WriteOptions(include_header=False, quoting_style=quoting))


def _items() -> dict[str, Any]:
    places = {
        int(place.item): (place.label, place.table)
        for variable in load_concepts().variables.values()
        for group in variable.found.get("mimic_iv", ())
        for place in group
        if place.table in ("chartevents", "outputevents")
    }
    items = sorted({**{item: (label, "chartevents") for item, label in OTHER_ITEMS.items()}, **places}.items())
    return {
        "itemid": np.array([item for item, _ in items]),
        "label": [label for _, (label, _) in items],
        "abbreviation": [label for _, (label, _) in items],
        "linksto": [table for _, (_, table) in items],
        "category": ["Output" if table == "outputevents" else "Routine Vital Signs" for _, (_, table) in items],
        "unitname": ["mL" if table == "outputevents" else UNITS.get(item, "mmHg") for item, (_, table) in items],
        "param_type": ["Text" if item in GCS_TEXTS else "Numeric" for item, _ in items],
    }


def _lab_items() -> dict[str, Any]:
    return {
        "itemid": np.array(list(LABS)),
        "label": [label for label, _, _ in LABS.values()],
        "fluid": ["Blood"] * len(LABS),
        "category": [category for _, category, _ in LABS.values()],
    }


def _chartevents(rng: np.random.Generator, stays: Stays) -> dict[str, Any]:
    vitals = vital_signs(rng, stays)
    n = len(stays.severity)
    slot = np.arange(SLOTS)
    minute = 30 * slot + rng.integers(1, 30, (n, SLOTS))
    # On the hour nearly always, on the half hour the more often the sicker; one stay in 40 is never charted at all.
    odds = np.where(slot % 2 == 0, 3.0, -2.2) + 1.0 * stays.severity
    charted = (rng.random((n, SLOTS)) < sigmoid(odds)) & (minute < 60 * stays.hours[:, None]) & ~stays.every(40, 7)[:, None]
    arterial = rng.random((n, 1)) < sigmoid(-0.5 + 0.8 * stays.severity.mean(axis=1, keepdims=True))
    ventilated = rng.random((n, 1)) < sigmoid(-0.8 + 0.8 * stays.severity.mean(axis=1, keepdims=True))
    fahrenheit = rng.random((n, 1)) < 0.8
    cuff = charted & (~arterial | (rng.random((n, SLOTS)) < 0.15))
    four_hourly = charted & (slot % 8 == 0)
    rows: Rows = []

    def chart(where: NDArray[np.bool_], item: int, values: Floats) -> None:
        stay, at = np.nonzero(where)
        rows.append((stay, minute[stay, at], item, values[stay, at]))

    chart(charted, 220045, _artefact(vitals["hr"], stays.every(10, 1), 0))
    for name, line, by_cuff in (("sbp", 220050, 220179), ("dbp", 220051, 220180)):
        chart(charted & arterial, line, vitals[name])
        chart(cuff, by_cuff, vitals[name])
    chart(charted & arterial, 220052, _artefact(vitals["map"], stays.every(10, 2), -23))
    chart(cuff, 220181, _artefact(vitals["map"], stays.every(10, 4), 801))
    chart(charted & ~ventilated, 220210, _artefact(vitals["resp"], stays.every(20, 3), 7_000_400))
    chart(charted & ventilated, 224690, vitals["resp"])
    chart(four_hourly & ventilated, 224688, np.full((n, SLOTS), 14.0))
    chart(charted, 220277, vitals["spo2"])
    in_fahrenheit = (vitals["temp"] * 1.8 + 32).round(1)
    chart(four_hourly & fahrenheit, 223761, in_fahrenheit)
    chart(four_hourly & ~fahrenheit, 223762, np.where(rng.random((n, SLOTS)) < 0.05, in_fahrenheit, vitals["temp"]))
    _chart_scores(rng, stays, chart, four_hourly, ventilated)
    first = charted & (np.cumsum(charted, axis=1) == 1)
    height = rng.normal(169, 10, (n, 1)).round() + np.zeros(SLOTS)
    chart(first & stays.every(2, 0)[:, None], 226730, height)
    chart(first & stays.every(2, 1)[:, None], 226707, (height / 2.54).round())
    chart(first, 226512, np.clip(rng.normal(81, 18, (n, 1)), 40, 200).round(1) + np.zeros(SLOTS))
    return _charted_columns(rng, stays, rows, ventilated[:, 0])


def _chart_scores(
    rng: np.random.Generator,
    stays: Stays,
    chart: Callable[[NDArray[np.bool_], int, Floats], None],
    where: NDArray[np.bool_],
    ventilated: NDArray[np.bool_],
) -> None:
    """GCS components, and FiO2 charted as a fraction, as a percentage or as litres a minute."""
    for item, texts in GCS_TEXTS.items():
        score = np.clip(len(texts) - np.maximum(stays.severity, 0).round(), 1, len(texts))
        chart(where, item, np.where(ventilated & (item == 223900), 1.0, score))
    percent = np.clip(40 + 10 * stays.severity, 21, 100).round()
    style = rng.integers(0, 3, (len(percent), 1))
    chart(where & (ventilated | (style == 2)), 223835, np.select([style == 0, style == 1], [percent / 100, percent], 6.0))


def _charted_columns(
    rng: np.random.Generator, stays: Stays, rows: Rows, ventilated: NDArray[np.bool_], text: bool = True
) -> dict[str, Any]:
    """Columns of an event table, by stay, then time, then item."""
    stay, minute = (np.concatenate([row[i] for row in rows]) for i in (0, 1))
    item = np.concatenate([np.full(len(row[0]), row[2]) for row in rows])
    value = np.concatenate([row[3] for row in rows])
    order = np.lexsort((item, minute, stay))
    stay, minute, item, value = stay[order], minute[order], item[order], value[order]
    at = whole_minutes(stays.intime[stay]) + 60 * (minute + 1)
    columns = {name: stays.column(name)[stay] for name in ("subject_id", "hadm_id", "stay_id")}
    columns |= {
        "caregiver_id": rng.integers(10_000, 99_999, len(stay)),
        "charttime": _text(at),
        "storetime": _text(at + 60 * rng.integers(1, 20, len(stay))),
        "itemid": item,
    }
    if not text:
        return columns | {"value": value, "valueuom": ["mL"] * len(stay)}
    return columns | {
        "value": _value_texts(item, value, ventilated[stay]),
        "valuenum": value,
        "valueuom": pd.Series(item).map(UNITS).fillna("").to_numpy(),
        "warning": np.zeros(len(stay), np.int64),
    }


def _value_texts(item: NDArray[np.int64], value: Floats, ventilated: NDArray[np.bool_]) -> pa.Array:
    """Text as charted: numbers as they are, scores in words."""
    words = np.full(len(item), None, object)
    for gcs, texts in GCS_TEXTS.items():
        here = item == gcs
        words[here] = np.array(texts, object)[value[here].astype(int) - 1]
    words[(item == 223900) & ventilated] = INTUBATED
    return pc.coalesce(pa.array(words, pa.string()), pa.array(value).cast(pa.string()))


def _outputevents(rng: np.random.Generator, stays: Stays) -> dict[str, Any]:
    n = len(stays.severity)
    slot = np.arange(SLOTS)
    minute = 30 * slot + rng.integers(1, 30, (n, SLOTS))
    at = (slot % 2 == 0) & (minute < 60 * stays.hours[:, None]) & ~stays.every(40, 7)[:, None]
    volume = np.exp(rng.normal(4.3, 0.5, (n, SLOTS)) - 0.25 * stays.severity).round()
    foley = rng.random((n, 1)) < 0.8
    irrigated = stays.every(30, 5)[:, None] & (slot % 8 == 0)
    rows: Rows = []
    for where, item, values in (
        (at & foley, 226559, volume),
        (at & ~foley & (slot % 8 == 0), 226560, 4 * volume),
        (at & irrigated, 227488, volume + 100),
        (at & irrigated, 227489, 2 * volume + 100),
    ):
        stay, when = np.nonzero(where)
        rows.append((stay, minute[stay, when], item, values[stay, when]))
    return _charted_columns(rng, stays, rows, np.zeros(n, bool), text=False)


def _labevents(rng: np.random.Generator, stays: Stays) -> dict[str, Any]:
    """Every 12 h from 8 h before the unit, which is before admission, so that the first have no hadm_id."""
    n, draws = len(stays.number), LONGEST_HOURS // 12
    hour = np.arange(draws) * 12 - 8.0
    stay, draw = (index.ravel() for index in np.indices((n, draws)))
    taken = hour[draw] < stays.hours[stay]
    stay, draw = stay[taken], draw[taken]
    severity = stays.severity[stay, np.maximum(2 * hour[draw], 0).astype(int)]
    values = {
        50813: np.exp(0.5 + 0.35 * severity + rng.normal(0, 0.25, len(stay))).round(1),
        50820: np.clip(7.39 - 0.03 * severity + rng.normal(0, 0.03, len(stay)), 6.8, 7.7).round(2),
        50821: np.clip(110 - 10 * severity + rng.normal(0, 20, len(stay)), 35, 500).round(),
        50912: np.exp(0.1 + 0.2 * severity + rng.normal(0, 0.3, len(stay))).round(1),
        51006: np.exp(3.1 + 0.2 * severity + rng.normal(0, 0.3, len(stay))).round(),
        52033: np.full(len(stay), np.nan),
    }
    items = np.tile(np.array(list(values)), len(stay))
    numbers = np.stack(list(values.values()), axis=1).ravel()
    stay, draw = np.repeat(stay, len(values)), np.repeat(draw, len(values))
    key = stays.number[stay] * draws + draw
    venous = (key % 5 == 0) & (items == 52033)
    text = pd.Series(numbers).map("{:g}".format).to_numpy(object)
    text[items == 52033] = "ART."
    text[venous] = "VEN."
    text[(key % 6 == 0) & (items == 50912)] = "___"  # the publisher's mark of something removed; valuenum still has the number
    at = whole_minutes(stays.intime[stay]) + (3600 * hour[draw]).astype(np.int64)
    admitted = at >= stays.column("admittime")[stay]
    return {
        "labevent_id": key * len(values) + np.tile(np.arange(len(values)), len(key) // len(values)),
        "subject_id": stays.column("subject_id")[stay],
        "hadm_id": pa.array(stays.column("hadm_id")[stay], mask=~admitted),
        "specimen_id": key * 2 + (items >= 50900) * (items != 52033),
        "itemid": items,
        "charttime": _text(at),
        "storetime": _text(at + 60 * rng.integers(20, 120, len(at))),
        "value": text,
        "valuenum": pa.array(numbers, from_pandas=True),
        "valueuom": pd.Series({item: unit for item, (_, _, unit) in LABS.items()}).reindex(items).to_numpy(),
        "priority": ["STAT"] * len(at),
        "comments": np.where((items == 50813) & (key % 7 == 0), "REPORTED TO ___, RN, AT BEDSIDE.", ""),
    }


def _icustays(rng: np.random.Generator, stays: Stays) -> dict[str, Any]:
    unit = np.array(CARE_UNITS)[rng.integers(0, len(CARE_UNITS), len(stays.number))]
    ids = {name: stays.column(name) for name in ("subject_id", "hadm_id", "stay_id")}
    times = {name: _text(stays.column(name)) for name in ("intime", "outtime")}
    return ids | {"first_careunit": unit, "last_careunit": unit} | times | {"los": stays.hours / 24}


def _patients(rng: np.random.Generator, stays: Stays) -> dict[str, Any]:
    """One row a patient, anchored in the year of the first stay. A date of death may fall on the day before admission."""
    first = stays.patient == stays.number
    patients, last = np.unique(stays.patient[::-1], return_index=True)
    last = len(stays.number) - 1 - last
    died_on = stays.column("dischtime")[last].astype("datetime64[D]")
    too_early = stays.intime[last].astype("datetime64[D]") - 1
    day = np.where(stays.every(25, 6)[last], too_early, died_on)
    known = stays.died[last] | stays.every(25, 6)[last]
    return {
        "subject_id": stays.column("subject_id")[first],
        "gender": np.array(["F", "M"])[rng.integers(0, 2, len(patients))],
        "anchor_age": stays.age[first].astype(np.int64),
        "anchor_year": stays.intime[first].astype("datetime64[Y]").astype(np.int64) + 1970,
        "anchor_year_group": ["2014 - 2016"] * len(patients),
        "dod": np.where(known, day.astype(str), ""),
    }


def _admissions(rng: np.random.Generator, stays: Stays) -> dict[str, Any]:
    """One row a stay. Of those who died some have no time of death: only hospital_expire_flag tells."""
    n = len(stays.number)
    discharge = _text(stays.column("dischtime"))
    timed = stays.died & (np.cumsum(stays.died) % 5 != 1)
    return {
        "subject_id": stays.column("subject_id"),
        "hadm_id": stays.column("hadm_id"),
        "admittime": _text(stays.column("admittime")),
        "dischtime": discharge,
        "deathtime": pc.if_else(pa.array(timed), discharge, ""),
        "admission_type": ["EW EMER."] * n,
        "admission_location": ["EMERGENCY ROOM"] * n,
        "discharge_location": np.where(stays.died, "DIED", "HOME"),
        "insurance": np.array(["Medicare", "Other"])[rng.integers(0, 2, n)],
        "language": ["ENGLISH"] * n,
        "race": ["UNKNOWN"] * n,
        "hospital_expire_flag": stays.died.astype(np.int64),
    }


def _artefact(values: Floats, stays: NDArray[np.bool_], wrong: float) -> Floats:
    """The values, where the fourth hour of some stays holds an impossible one."""
    changed = values.copy()
    changed[stays, 8] = wrong
    return changed


def _text(times: NDArray[Any]) -> pa.Array:
    """Times as the publisher writes them, 2110-01-01 00:00:00."""
    return pa.array(times.astype("datetime64[s]")).cast(pa.string())


_MAKERS: Mapping[str, Callable[[np.random.Generator, Stays], dict[str, Any]]] = {
    "icu/icustays": _icustays,
    "icu/chartevents": _chartevents,
    "icu/outputevents": _outputevents,
    "hosp/patients": _patients,
    "hosp/admissions": _admissions,
    "hosp/labevents": _labevents,
}
