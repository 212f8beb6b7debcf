"""MIMIC-IV: `hosp/*.csv.gz` and `icu/*.csv.gz` as the publisher lays them out (2.x and 3.x have the same columns).

https://physionet.org/content/mimiciv/
"""

import csv
import gzip
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa

from data_prep.concepts import Place
from tardiff.errors import TardiffError

ICUSTAYS = "icu/icustays.csv.gz"
PATIENTS = "hosp/patients.csv.gz"
ADMISSIONS = "hosp/admissions.csv.gz"


@dataclass(frozen=True)
class EventTable:
    """How a table of events is joined to stays, and which columns hold what."""

    path: str
    key: str
    """The column shared with icustays. Laboratory results have no stay: they join by patient, then by time."""
    value: str
    available: str = "charttime"
    """When a value could be known: charted values at once (they are read off a monitor), results when they are stored."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read."""
        return tuple(dict.fromkeys((self.key, "itemid", "charttime", self.available, self.value)))


EVENT_TABLES = {
    "chartevents": EventTable("icu/chartevents.csv.gz", "stay_id", "valuenum"),
    "outputevents": EventTable("icu/outputevents.csv.gz", "stay_id", "value"),
}
ITEM_TABLES = {"chartevents": "icu/d_items.csv.gz", "outputevents": "icu/d_items.csv.gz"}
"""Where the labels of each table's items are."""

GIGABYTES = 1.5
"""What DuckDB may hold in memory before it spills to disk."""

PANDEMIC_YEARS = "2020 - 2022"
"""The anchor_year_group that release 3.0 added."""


class MimicIV:
    """The publisher's folder. Every stay in intensive care counts, not only a patient's first."""

    name: ClassVar[str] = "mimic_iv"

    def __init__(self, raw: Path, sets: tuple[str, ...] = ()) -> None:
        """Open the folder `raw`; there are no sets to choose from."""
        if sets:
            raise TardiffError(f"sets: {self.name} has none; leave --sets out")
        self._raw = raw
        self.sets: tuple[str, ...] = ()
        self._stays = _read_small(raw / ICUSTAYS, ("subject_id", "hadm_id", "stay_id", "first_careunit", "intime", "outtime"))
        self._patients = _read_small(raw / PATIENTS, ("subject_id", "gender", "anchor_age", "anchor_year", "anchor_year_group"))
        self._in_use: list[tuple[EventTable, frozenset[str]]] = []

    @property
    def version(self) -> str:
        """The releases that the data can be of; the files carry no number."""
        return "3.x" if (self._patients["anchor_year_group"] == PANDEMIC_YEARS).any() else "2.x"

    def stays(self) -> pd.DataFrame:
        """One row a stay in intensive care; see `Source.stays`."""
        path = self._raw / ADMISSIONS
        admissions = _read_small(path, ("hadm_id", "admittime", "hospital_expire_flag"))
        frame = self._stays.merge(self._patients, on="subject_id", how="left").merge(admissions, on="hadm_id", how="left")
        anchor = {name: _numbers(frame[name], self._raw / PATIENTS, name) for name in ("anchor_age", "anchor_year")}
        age = anchor["anchor_age"] + _times(frame["admittime"], path, "admittime").dt.year - anchor["anchor_year"]
        died = _numbers(frame["hospital_expire_flag"], path, "hospital_expire_flag")
        if not died.dropna().isin([0.0, 1.0]).all():
            raise TardiffError(f"{path}: hospital_expire_flag holds something other than 0 and 1; correct the file")
        start, end = self._interval()
        return pd.DataFrame(
            {
                "stay_id": _ids(frame, "stay_id", self._raw / ICUSTAYS),
                "subject_id": _ids(frame, "subject_id", self._raw / ICUSTAYS),
                "minutes": ((end - start) / pd.Timedelta(minutes=1)).fillna(0.0),
                "age": age,
                "died": died,
                "gender": frame["gender"],
                "first_careunit": frame["first_careunit"],
            }
        )

    def events(self, places: Sequence[Place], minutes: float) -> ibis.Table:
        """What was charted, as one expression over the compressed tables; see `Source.events`."""
        self._check_labels(places)
        connection = ibis.duckdb.connect(memory_limit=f"{GIGABYTES}GB", preserve_insertion_order=False)
        start, _ = self._interval()
        began = (start - pd.Timestamp(0)) / pd.Timedelta(seconds=1)
        number = _ids(self._stays, "stay_id", self._raw / ICUSTAYS)
        keys = self._stays[["stay_id", "subject_id"]].assign(stay_number=number, start=began).dropna()
        stays = ibis.memtable(pa.Table.from_pandas(keys, preserve_index=False))
        by_table: dict[str, set[str]] = {}
        for place in places:
            by_table.setdefault(place.table, set()).add(place.item)
        self._in_use = [(EVENT_TABLES[name], frozenset(items)) for name, items in sorted(by_table.items())]
        return ibis.union(*(self._charted(connection, stays, table, items, minutes) for table, items in self._in_use))

    def explain(self, error: Exception) -> TardiffError:
        """Read the event tables again, slowly, for the file and row that DuckDB could not read."""
        for table, items in self._in_use:
            path = self._raw / table.path
            checks = ((table.value, float, "a number"), ("charttime", datetime.fromisoformat, "a time"))
            for number, row in _rows(path):
                for column, kind, what in checks:
                    if row["itemid"] in items and row[table.value] and not _is(kind, row[column]):
                        return TardiffError(f"{path}: row {number}: {column} {row[column]!r} is not {what}; correct or remove the row")
        files = ", ".join(table.path for table, _ in self._in_use)
        return TardiffError(f"{self._raw}: DuckDB could not read {files} ({' '.join(str(error).split())[:300]})")

    def _charted(self, connection: Any, stays: ibis.Table, table: EventTable, items: frozenset[str], minutes: float) -> ibis.Table:
        """Events of one table: text throughout, cast only after the filter on items, for parsing is what takes the time."""
        raw = _scan(connection, self._raw / table.path, table.columns)
        wanted = raw.filter(raw.itemid.isin(sorted(items)), raw[table.value] != "")
        joined = wanted.inner_join(stays, table.key)
        minute, available = (
            (joined[column].cast("timestamp").epoch_seconds().cast("float64") - joined.start) / 60
            for column in ("charttime", table.available)
        )
        events = joined.select(
            stay_id=joined.stay_number,
            item=joined.itemid,
            minute=minute,
            available_minute=available,
            value=joined[table.value].cast("float64"),
        )
        return events.filter(events.minute >= 0, events.minute < minutes)

    def _interval(self) -> "tuple[pd.Series[Any], pd.Series[Any]]":
        path = self._raw / ICUSTAYS
        return _times(self._stays["intime"], path, "intime"), _times(self._stays["outtime"], path, "outtime")

    def _check_labels(self, places: Sequence[Place]) -> None:
        """The publisher's own dictionary must call each item what ours calls it."""
        for path in sorted({ITEM_TABLES[place.table] for place in places}):
            items = _read_small(self._raw / path, ("itemid", "label")).set_index("itemid")["label"]
            for place in places:
                if ITEM_TABLES[place.table] == path and items.get(place.item) != place.label:
                    raise TardiffError(
                        f"{self._raw / path}: item {place.item} is {items.get(place.item)!r}, expected {place.label!r}; "
                        "this is not the MIMIC-IV that concepts.yaml describes"
                    )


def _header(path: Path, columns: Sequence[str]) -> list[str]:
    """The names in the first line.

    Raises:
        TardiffError: no such file, not a gzip file, or a column is missing.
    """
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
            header = next(csv.reader(lines), [])
    except FileNotFoundError as error:
        raise TardiffError(f"{path}: no such file; --raw takes the folder that holds hosp and icu") from error
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise TardiffError(f"{path}: truncated or not a gzip file ({error}); fetch it again") from error
    for column in columns:
        if column not in header:
            raise TardiffError(f"{path}: the header has no column {column}; expected at least {', '.join(columns)}")
    return header


def _read_small(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Some columns of a small table, as text; missing is the empty text."""
    _header(path, columns)
    try:
        return pd.read_csv(path, usecols=list(columns), dtype=str, keep_default_na=False)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise TardiffError(f"{path}: truncated or damaged ({error}); fetch it again") from error


def _scan(connection: Any, path: Path, columns: Sequence[str]) -> ibis.Table:
    """Some columns of a big table, as text, read when the expression runs."""
    header = _header(path, columns)
    types = dict.fromkeys(header, "VARCHAR")
    table = connection.read_csv(path, header=True, auto_detect=False, columns=types, delim=",", quote='"', escape='"')
    scan: ibis.Table = table.select(*columns)
    return scan


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Number (the header is row 1) and content of each row.

    Raises:
        TardiffError: the file is truncated or damaged.
    """
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
            yield from enumerate(csv.DictReader(lines, restval=""), start=2)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise TardiffError(f"{path}: truncated or damaged ({error}); fetch it again") from error


def _is(kind: Callable[[str], object], text: str) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True


def _times(column: "pd.Series[str]", path: Path, name: str) -> "pd.Series[Any]":
    times = pd.to_datetime(column.replace("", None), errors="coerce", format="ISO8601")
    _refuse(column, times.isna(), path, name, "a time")
    return times


def _numbers(column: "pd.Series[str]", path: Path, name: str) -> "pd.Series[float]":
    numbers = pd.to_numeric(column.replace("", np.nan), errors="coerce").astype("float64")
    _refuse(column, numbers.isna(), path, name, "a number")
    return numbers


def _refuse(column: "pd.Series[str]", missing: "pd.Series[bool]", path: Path, name: str, what: str) -> None:
    wrong = column[missing & column.notna() & (column != "")]
    if len(wrong):
        raise TardiffError(f"{path}: {name} {wrong.iloc[0]!r} is not {what}; correct or remove the row")


def _ids(frame: pd.DataFrame, name: str, path: Path) -> "pd.Series[int]":
    if not frame[name].str.fullmatch(r"\d{1,18}").all():
        raise TardiffError(f"{path}: {name} holds something that is not a whole number; correct or remove the row")
    return frame[name].astype("int64")
