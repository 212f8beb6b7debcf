"""The publisher's tables: their columns, the two dictionaries of items, and rows as compressed text."""

import gzip
import io
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from data_prep.concept_files import load_concepts
from data_prep.simulate.items import CHARTED, LABS, OTHER_FLUID, OTHERS, OUTPUTS, WHITE_CELLS

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

FREE_TEXT = {"comments", "label", "abbreviation"}
"""Columns in which commas and quotes occur."""
LEVEL = 1
"""Of compression: twice as fast as the publisher's, and a third larger."""


class Files:
    """The compressed tables of a raw folder, open for appending."""

    def __init__(self, raw: Path, stack: ExitStack) -> None:
        """Make every table with its header; `stack` closes them."""
        self._files = {table: _open(stack, raw / f"{table}.csv.gz") for table in TABLES}
        self.rows = dict.fromkeys(TABLES, 0)
        for table, columns in TABLES.items():
            self._files[table].write((",".join(columns) + "\n").encode())

    def append(self, table: str, columns: Mapping[str, Any]) -> None:
        """Append rows; a column that is not given is empty."""
        n = len(next(iter(columns.values())))
        arrow = pa.table({name: columns.get(name, pa.nulls(n, pa.string())) for name in TABLES[table]})
        self.rows[table] += n
        self._files[table].write(_quoted(arrow) if FREE_TEXT & set(TABLES[table]) else _plain(arrow))


def _open(stack: ExitStack, path: Path) -> gzip.GzipFile:
    """A gzip file without name and time in its header: the content alone decides its bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = stack.enter_context(path.open("wb"))
    return stack.enter_context(gzip.GzipFile(filename="", mode="wb", compresslevel=LEVEL, fileobj=plain, mtime=0))


def _plain(arrow: pa.Table) -> bytes:
    """Rows of which no field needs quotes."""
    text = io.BytesIO()
    pa_csv.write_csv(arrow, text, pa_csv.WriteOptions(include_header=False, quoting_style="none"))
    return text.getvalue()


def _quoted(arrow: pa.Table) -> bytes:
    """Rows whose fields hold quotes where they need them, and only there; Arrow's writer quotes all text or none."""
    columns = [column.combine_chunks().cast(pa.string()) for column in arrow.columns]
    columns = [_quotes(column) if name in FREE_TEXT else column for name, column in zip(arrow.column_names, columns, strict=True)]
    lines = pc.binary_join_element_wise(*columns, ",", null_handling="replace", null_replacement="")
    return pc.binary_join(pa.ListArray.from_arrays([0, len(lines)], lines), "\n")[0].as_buffer().to_pybytes() + b"\n"


def _quotes(text: pa.Array) -> pa.Array:
    inside = pc.binary_join_element_wise('"', pc.replace_substring(text, '"', '""'), '"', "")
    return pc.if_else(pc.match_substring_regex(text, '[",]'), inside, text)


def d_items() -> dict[str, Any]:
    """icu/d_items: what is simulated, and whatever else the variable dictionary looks for."""
    known = {item.id: (item.label, table, item.unit) for table in _EVENTS for item in _EVENTS[table]}
    rows = {**{item: (label, table, "") for item, label, table in _places() if table in _EVENTS}, **known}
    texts = {item.id for item in (*CHARTED, *OTHERS) if item.words}
    columns = _columns(rows, "label", "linksto", "unitname")
    category = ["Output" if table == "outputevents" else "Routine Vital Signs" for table in columns["linksto"]]
    kind = ["Text" if item in texts else "Numeric" for item in columns["itemid"]]
    return {**columns, "abbreviation": columns["label"], "category": category, "param_type": kind}


def d_labitems() -> dict[str, Any]:
    """hosp/d_labitems, in the same way."""
    known = {lab.id: (lab.label, "Other Body Fluid" if lab.panel == OTHER_FLUID else "Blood", lab.category) for lab in LABS}
    white = {item: (label, "Blood", category) for item, (label, category) in WHITE_CELLS.items()}
    rows = {**{item: (label, "Blood", "Chemistry") for item, label, table in _places() if table == "labevents"}, **white, **known}
    return _columns(rows, "label", "fluid", "category")


def _columns(rows: Mapping[int, tuple[str, ...]], *names: str) -> dict[str, Any]:
    """The rows of a dictionary of items as columns, in the order of the ids."""
    items = sorted(rows)
    return {"itemid": np.array(items), **{name: [rows[item][i] for item in items] for i, name in enumerate(names)}}


_EVENTS = {"chartevents": (*CHARTED, *OTHERS), "outputevents": OUTPUTS}


def _places() -> list[tuple[int, str, str]]:
    """Item, label and table of every place where the variable dictionary looks."""
    found = (group for variable in load_concepts().variables.values() for group in variable.found.get("mimic_iv", ()))
    return [(int(place.item), place.label, place.table) for group in found for place in group]
