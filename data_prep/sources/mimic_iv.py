"""MIMIC-IV 2.0 to 3.1 as the publisher lays it out, in files or in a database (all releases have the same columns).

https://physionet.org/content/mimiciv/
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import yaml

from data_prep.account import (
    AS_IS,
    BAD_KEY,
    BAD_NUMBER,
    BAD_TIME,
    EMPTY,
    NO_STAY,
    NO_TIME,
    NOT_ASKED,
    OUTSIDE,
    OUTSIDE_STAYS,
    SPECIMEN,
    Scans,
)
from data_prep.concepts import Place, check_items
from data_prep.sources import MINUTE, Source
from data_prep.sources.columns import FAR, TextTable, minutes_between, plain, within_stays
from data_prep.sources.tables import DatabaseTables, FileTables, Tables, Try, among, holds, key, number, text, whole
from data_prep.times import seconds
from tardiff.errors import TardiffError

HOME = "https://physionet.org/content/mimiciv/"
RELEASES = Path(__file__).parent.parent / "mimic_iv_releases.yaml"

HOSPITAL = ("patients", "admissions", "labevents", "d_labitems")
INTENSIVE = ("icustays", "chartevents", "outputevents", "d_items")


@dataclass(frozen=True)
class EventTable:
    """How a table of events is joined to stays, and which columns hold what."""

    key: str
    """The column shared with icustays. Laboratory results have no stay: they join by patient, then by time."""
    value: str
    dictionary: str
    """The table that says what each item is."""
    order: str
    """Which of two entries of the same minute is the later one: a time of storage, or a running number."""
    stored: str = ""
    """When a value could be known; without it at once, for charted values are read off a monitor."""
    text: str = ""
    specimen: str = ""


EVENT_TABLES = {
    "chartevents": EventTable("stay_id", "valuenum", "d_items", "storetime", text="value"),
    "outputevents": EventTable("stay_id", "value", "d_items", "storetime"),
    "labevents": EventTable("subject_id", "valuenum", "d_labitems", "labevent_id", "storetime", "value", "specimen_id"),
}
SPECIMEN_TYPE = "52033"
"""The laboratory item whose text says of a specimen whether it is arterial ("ART.") or venous."""

PANDEMIC_YEARS = "2020 - 2022"
"""The anchor_year_group that release 3.0 added."""
COLUMNS = ("stay_id", "item", "minute", "available_minute", "value")
EXTRAS = {"text": "string", "unit": "string", "specimen": "string", "order": "int64", "own": "boolean"}


class MimicIV(Source):
    """Every stay in intensive care counts, not only a patient's first."""

    name: ClassVar[str] = "mimic_iv"
    shortest_step: ClassVar[float] = MINUTE

    def __init__(self, raw: Path, sets: tuple[str, ...] = ()) -> None:
        """Open the folder `raw`, with `hosp` and `icu` inside or flat; there are no sets to choose from."""
        folders = {**dict.fromkeys(HOSPITAL, "hosp"), **dict.fromkeys(INTENSIVE, "icu")}
        self._open(FileTables(raw, folders, HOME), sets)

    @classmethod
    def of_database(cls, schemas: tuple[str, ...], sets: tuple[str, ...] = ()) -> "MimicIV":
        """Open the tables in two schemas of a database: that of the hospital, then that of intensive care (or one for both)."""
        source = cls.__new__(cls)
        hospital, intensive = schemas[0], schemas[-1]
        source._open(DatabaseTables({**dict.fromkeys(HOSPITAL, hospital), **dict.fromkeys(INTENSIVE, intensive)}, HOME), sets)
        return source

    def _open(self, tables: Tables, sets: tuple[str, ...]) -> None:
        self.refuse_sets(sets)
        self._tables = tables
        self._stays = _rows(tables, "icustays", "stay_id", "subject_id", "hadm_id", "first_careunit", "intime", "outtime")
        self._patients = _rows(tables, "patients", "subject_id", "gender", "anchor_age", "anchor_year", "anchor_year_group", "dod")
        self._admissions = _rows(tables, "admissions", "hadm_id", "admittime", "dischtime", "deathtime", "hospital_expire_flag")
        self._in_use: dict[str, tuple[str, ...]] = {}

    @cached_property
    def version(self) -> str:
        """The release whose row counts these are; else what the years tell, for the files carry no number."""
        counted = self._counted()
        for release, published in _releases().items():
            if all(published[table] == rows for table, rows in counted.items()):
                return release
        return "3.x" if (self._patients.frame["anchor_year_group"] == PANDEMIC_YEARS).any() else "2.x"

    def remarks(self) -> list[str]:
        """Tables whose number of rows is not the published one; big ones where it costs nothing to count."""
        releases = _releases()
        if self.version not in releases:
            counts = ", ".join(f"{table} {rows:,}" for table, rows in self._counted().items())
            return [f"the row counts ({counts}) are those of no release of MIMIC-IV that is known here ({', '.join(releases)})"]
        remarks = []
        for table in EVENT_TABLES:
            with suppress(TardiffError):  # a table that no variable needs may be missing
                rows, published = self._tables.rows(table), releases[self.version].get(table)
                if rows is not None and published is not None and rows != published:
                    remarks.append(f"{self._tables.where(table)} has {rows:,} rows, release {self.version} {published:,}")
        return remarks

    def stays(self) -> pd.DataFrame:
        """One row a stay in intensive care; see `Source.stays`."""
        frame = self._stays.frame.merge(self._patients.frame, on="subject_id", how="left")
        frame = frame.merge(self._admissions.frame, on="hadm_id", how="left")
        person, admission = TextTable(frame, self._patients.where), TextTable(frame, self._admissions.where)
        age = person.numbers("anchor_age") - person.numbers("anchor_year") + admission.times("admittime").dt.year
        died = admission.numbers("hospital_expire_flag")
        if not died.dropna().isin([0.0, 1.0]).all():
            raise TardiffError(f"{admission.where}: hospital_expire_flag holds something other than 0 and 1; correct the file")
        intervals = self._intervals
        start = intervals["start"]
        by_time = intervals.sort_values(["subject_id", "start", "stay_id"])
        patient = by_time.groupby("subject_id")
        minutes = minutes_between(start, intervals["end"])
        day_of_death = person.times("dod").dt.normalize() + pd.Timedelta(days=1)
        return pd.DataFrame(
            {
                "stay_id": intervals["stay_id"],
                "subject_id": intervals["subject_id"],
                "start": start,
                "minutes": minutes,
                "unit_minutes": minutes,
                "age": age,
                "died": died,
                "gender": frame["gender"],
                "first_careunit": frame["first_careunit"],
                "death_minute": minutes_between(start, admission.times("deathtime")),
                "death_day_minute": minutes_between(start, day_of_death),
                "discharge_minute": minutes_between(start, admission.times("dischtime")),
                "next_minute": minutes_between(start, patient["start"].shift(-1)),
                "order": patient.cumcount().astype("float64"),
                "stays_in_admission": frame.groupby("hadm_id")["stay_id"].transform("size").astype("float64"),
            }
        )

    def events(self, places: Sequence[Place], minutes: float, before: float = 0.0, scans: Scans = AS_IS) -> ibis.Table:
        """What was charted, measured and put out; see `Source.events`."""
        self._check_items(places)
        by_table = {name: [place for place in places if place.table == name] for name in sorted({place.table for place in places})}
        self._in_use = {name: tuple(place.item for place in chosen) for name, chosen in by_table.items()}
        complete = []
        for name, chosen in by_table.items():
            table = scans.kept(self._slim(name, chosen, minutes, before, scans), name)
            if "specimen_id" in table.columns:
                table = with_specimen(table, ("specimen_id",), name, scans)
            extras = {column: table[column] if column in table.columns else ibis.null(kind) for column, kind in EXTRAS.items()}
            complete.append(table.select(*COLUMNS, **extras))
        return ibis.union(*complete)

    def explain(self, error: Exception) -> TardiffError:
        """See `Source.explain`."""
        return self._tables.explain(self._in_use, "itemid", error)

    def first(self, table: str, fault: str) -> str:
        """See `Source.first`."""
        where, of = self._tables.where(table), EVENT_TABLES[table]
        if not isinstance(self._tables, FileTables):
            return where
        known = sorted(set(plain((self._stays if of.key == "stay_id" else self._patients).frame[of.key])))
        times = ("charttime", of.stored or "storetime")
        tries: dict[str, list[Try]] = {
            BAD_KEY: [(column, "is not a whole number", lambda held: whole(held).isnull()) for column in (of.key, of.order)],
            NO_STAY: [(of.key, "is of nobody", lambda held: key(held).notin(known)), (of.key, "is empty", None)],
            NO_TIME: [("charttime", "is empty", None)],
            BAD_TIME: [(column, "is not a time", lambda held: seconds(held).isnull()) for column in times],
            BAD_NUMBER: [(of.value, "is not a number", lambda held: number(held).isnull())],
        }
        # One after the other, as far as needed: the table is large.
        found = (
            (self._tables.row(table, column, wrong, "itemid", self._in_use[table]), column, said) for column, said, wrong in tries[fault]
        )
        row, column, said = next((each for each in found if each[0] is not None), (None, *tries[fault][-1][:2]))
        return f"{where}: row {row}: {column} {said}"

    def _slim(self, name: str, places: Sequence[Place], minutes: float, before: float, scans: Scans) -> ibis.Table:
        """The entries of one table that matter: pruned columns, and nothing is parsed before the filter on items."""
        table = EVENT_TABLES[name]
        items = [place.item for place in places]
        typed = bool(table.specimen) and any(place.specimen for place in places)
        texts = [SPECIMEN_TYPE] * typed + [place.item for place in places if place.texts]
        units = any(place.units for place in places)
        chosen = (table.key, "itemid", "charttime", table.order, table.stored, table.value, table.text * bool(texts))
        columns = dict.fromkeys(column for column in (*chosen, table.specimen * typed, "valueuom" * units) if column)
        raw = self._tables.table(name, tuple(columns))
        there = holds(raw[table.value])
        if texts:
            there |= among(raw.itemid, texts, few=True) & text(raw[table.text]).notnull()
        wanted = scans.losing(raw, name, [(~among(raw.itemid, [*items, *texts]), NOT_ASKED), (~there, EMPTY)])
        order = wanted[table.order]
        parsed = wanted.mutate(
            key=whole(wanted[table.key]),
            taken=seconds(wanted.charttime, where=f"{name}.charttime"),
            known=seconds(wanted[table.stored], where=f"{name}.{table.stored}") if table.stored else ibis.null("int64"),
            number=number(wanted[table.value]),
            order=seconds(order, where=f"{name}.{table.order}") if table.order == "storetime" else whole(order),
        )
        joined = parsed.left_join(self._keys(table.key, before), "key")
        joined = joined.mutate(minute=(joined.taken - joined.start).cast("float64") / 60)
        charted = table.key == "stay_id"
        reasons: list[tuple[Any, str | None]]
        if charted:
            reasons = [(joined.stay.isnull(), NO_STAY)]
            inside = (joined.minute >= -before) & (joined.minute < minutes)
            outside = []
        else:
            first = joined.own_since == -FAR
            own = joined.taken.isnull().ifelse(first, (joined.taken >= joined.own_since) & (joined.taken < joined.own_until))
            inside = (joined.minute >= joined.since) & (joined.minute < minutes) & (joined.minute < joined.until)
            reasons = [
                (joined.stay.isnull() & joined.since.isnull(), NO_STAY),
                (joined.stay.isnull(), OUTSIDE_STAYS),
                (~inside.fill_null(False) & ~own, None),
            ]
            outside = [(~inside & ((joined.minute < joined.stay_since) | (joined.minute >= joined.until)), OUTSIDE_STAYS)]
        unread = joined.number.isnull() & holds(joined[table.value])
        reasons = [
            (joined.key.isnull() & holds(joined[table.key]), BAD_KEY),
            (joined.order.isnull() & holds(joined[table.order]), BAD_TIME if table.order == "storetime" else BAD_KEY),
            *reasons,
            (joined.taken.isnull() & ~holds(joined.charttime), NO_TIME),
            (joined.taken.isnull(), BAD_TIME),
            *([(joined.known.isnull() & holds(joined[table.stored]), BAD_TIME)] if table.stored else []),
            (unread if charted else unread & own, BAD_NUMBER),
            *outside,
            (~inside, OUTSIDE),
        ]
        entries = scans.losing(joined, name, reasons)
        stored = (entries.known - entries.start).cast("float64") / 60
        return entries.select(
            stay_id=entries.stay,
            item=text(entries.itemid),
            minute=entries.minute,
            available_minute=ibis.coalesce(stored, entries.minute) if table.stored else entries.minute,
            value=entries.number,
            order=entries.order,
            **({"text": text(entries[table.text])} if texts else {}),
            **({"unit": text(entries.valueuom)} if units else {}),
            **({"specimen_id": text(entries[table.specimen])} if typed else {}),
            **({} if charted else {"own": (entries.taken >= entries.own_since) & (entries.taken < entries.own_until)}),
        )

    def _keys(self, column: str, before: float) -> ibis.Table:
        """Where each stay begins: key and what `within_stays` gives. A patient without a stay has a row, too, with no stay.

        A charted entry names its stay. A result names its patient; `within_stays` says which stay it belongs to. One that is older
        than a stay is its history, even if an earlier stay was going on (a baseline of kidney function, say).
        """
        table = within_stays(self._intervals, before, history=True)
        if column == "stay_id":
            return ibis.memtable(table.select(["stay", "start"]).append_column("key", table["stay"]))
        patients = self._patients.ids("subject_id")
        others = np.setdiff1d(patients, table["subject_id"].to_numpy())
        without = pa.table({"subject_id": others, "since": np.zeros(len(others))})
        both = pa.concat_tables([table, without], promote_options="default")
        return ibis.memtable(both.rename_columns({"subject_id": "key"}))

    @cached_property
    def _intervals(self) -> pd.DataFrame:
        """stay_id, subject_id, start, end of each stay, in the order of icustays."""
        stays = self._stays
        ids = {name: stays.ids(name) for name in ("stay_id", "subject_id")}
        return pd.DataFrame({**ids, "start": stays.times("intime"), "end": stays.times("outtime")})

    def _counted(self) -> dict[str, int]:
        tables = {"icustays": self._stays, "patients": self._patients, "admissions": self._admissions}
        return {name: len(table.frame) for name, table in tables.items()}

    def _check_items(self, places: Sequence[Place]) -> None:
        """The publisher's own dictionaries must call each item what ours calls it."""
        for dictionary, columns in {"d_items": ("label", "unitname"), "d_labitems": ("label",)}.items():
            own = [place for place in places if EVENT_TABLES[place.table].dictionary == dictionary]
            if any(place.specimen for place in own):
                own.append(Place(SPECIMEN_TYPE, "labevents", "Specimen Type"))
            if own:
                items = _rows(self._tables, dictionary, "itemid", *columns)
                check_items(own, items.frame, items.where)


def _rows(tables: Tables, name: str, key: str, *columns: str) -> TextTable:
    """A small table, which has one row for each `key`."""
    return tables.frame(name, (key, *columns)).distinct(key)


def with_specimen(slim: ibis.Table, by: Sequence[str], name: str, scans: Scans) -> ibis.Table:
    """Results with the kind of their specimen, which is a result itself; those of one specimen are alike in the columns `by`."""
    is_type = slim["item"] == SPECIMEN_TYPE
    types = slim.filter(is_type)
    scans.taken(types.filter(types.own) if "own" in types.columns else types, name, SPECIMEN)
    kinds = types.group_by(*by).aggregate(specimen=types.text.max())
    return slim.filter(~is_type).left_join(kinds, list(by)).drop(*(f"{column}_right" for column in by))


def _releases() -> dict[str, dict[str, int]]:
    return yaml.safe_load(RELEASES.read_text())
