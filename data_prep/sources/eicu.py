"""eICU Collaborative Research Database 2.0: offsets in minutes from admission to the unit, in CSV, gzipped CSV or Parquet.

https://physionet.org/content/eicu-crd/
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import ibis
import pandas as pd

from data_prep.account import AS_IS, BAD_NUMBER, BAD_TIME, EMPTY, NO_STAY, NO_TIME, NOT_ASKED, OUTSIDE, WORD, Scans
from data_prep.concepts import Concepts, Place
from data_prep.sources import MINUTE, Source
from data_prep.sources.columns import TextTable, plain
from data_prep.sources.tables import FileTables, Try, cells, holds, key, number, whole
from tardiff.errors import TardiffError

HOME = "https://physionet.org/content/eicu-crd/"
TOP_AGE = "> 89"
"""How the publisher hides ages from 90 on; they count as 90."""
JOINT = "//"
"""Between a nurse's label and name in an item."""
PATIENT = (
    "patientunitstayid",
    "patienthealthsystemstayid",
    "uniquepid",
    "gender",
    "age",
    "admissionheight",
    "admissionweight",
    "unittype",
    "unitvisitnumber",
    "unitdischargeoffset",
    "unitdischargestatus",
    "hospitaldischargeyear",
    "hospitaldischargeoffset",
    "hospitaldischargestatus",
)
DIED = {"Alive": 0.0, "ALIVE": 0.0, "Expired": 1.0, "EXPIRED": 1.0}


@dataclass(frozen=True)
class EventTable:
    """Which columns of a table hold what."""

    minute: str
    available: str = ""
    """When the entry could be known; without it at once."""
    value: str = ""
    """Without it, every variable has a column of its own."""
    item: tuple[str, ...] = ()


EVENT_TABLES = {
    "vitalPeriodic": EventTable("observationoffset"),
    "vitalAperiodic": EventTable("observationoffset"),
    "lab": EventTable("labresultoffset", "labresultrevisedoffset", "labresult", ("labname",)),
    "nurseCharting": EventTable(
        "nursingchartoffset",
        "nursingchartentryoffset",
        "nursingchartvalue",
        ("nursingchartcelltypevallabel", "nursingchartcelltypevalname"),
    ),
}


class EICU(Source):
    """Every stay in a unit counts; `uniquepid` says which are one patient's.

    Of a patient's hospital stays only the year is known, so their order is known only where the years differ, and when a patient
    came back is not known at all.
    """

    name: ClassVar[str] = "eicu"
    shortest_step: ClassVar[float] = MINUTE
    version = "2.0"

    def __init__(self, raw: Path, sets: tuple[str, ...] = ()) -> None:
        self.refuse_sets(sets)
        self._tables = FileTables(raw, dict.fromkeys(("patient", "apachePatientResult", *EVENT_TABLES), ""), HOME)
        self._patient = self._tables.frame("patient", PATIENT)
        self._missing = tuple(name for name in EVENT_TABLES if not self._there(name))
        self._lost: tuple[str, ...] = ()
        self._in_use: dict[str, tuple[str, ...]] = {}

    def dictionary(self, concepts: Concepts) -> Concepts:
        """Without the places in tables that are missing; see `Source.dictionary`."""
        kept = concepts.keeping(self.name, lambda place: place.table not in self._missing)
        self._lost = tuple(name for name in concepts.known(self.name) if name not in kept.known(self.name))
        return kept

    def remarks(self) -> list[str]:
        """Which tables are missing, and what that costs; see `Source.remarks`."""
        if not self._missing:
            return []
        lost = f"; no place is left for {', '.join(self._lost)}" if self._lost else ""
        return [f"{', '.join(self._missing)}: no such tables in this folder, so it is prepared without them{lost}; get them from {HOME}"]

    def stays(self) -> pd.DataFrame:
        """One row a stay in a unit; see `Source.stays`."""
        frame = self._patient.frame.assign(age=self._patient.frame["age"].replace(TOP_AGE, "90"))
        patient = replace(self._patient, frame=frame)
        measured = [name for name in PATIENT if name.endswith(("offset", "height", "weight", "number"))]
        number_of = {name: patient.numbers(name) for name in measured}
        stay_id = patient.distinct("patientunitstayid").ids("patientunitstayid")
        died = frame["hospitaldischargestatus"].map(DIED).fillna(stay_id.map(self._died_by_apache()))
        died_in_unit = frame["unitdischargestatus"].map(DIED) == 1
        died = died.mask(died.isna() & died_in_unit, 1.0)
        unit_end, hospital_end = number_of["unitdischargeoffset"], number_of["hospitaldischargeoffset"]
        return pd.DataFrame(
            {
                "stay_id": stay_id,
                "subject_id": pd.Series(pd.factorize(frame["uniquepid"], sort=True)[0] + 1, frame.index, dtype="int64"),
                "minutes": unit_end,
                "unit_minutes": unit_end,
                "age": patient.numbers("age"),
                "died": died,
                "gender": frame["gender"],
                "unittype": frame["unittype"],
                "admissionheight": number_of["admissionheight"],
                "admissionweight": number_of["admissionweight"],
                "death_minute": unit_end.where(died_in_unit, hospital_end).where(died == 1),
                "discharge_minute": hospital_end,
                "order": self._order(number_of["unitvisitnumber"]),
                "stays_in_admission": frame.groupby("patienthealthsystemstayid")["uniquepid"].transform("size").astype("float64"),
            }
        )

    def events(self, places: Sequence[Place], minutes: float, before: float = 0.0, scans: Scans = AS_IS) -> ibis.Table:
        """What was charted and measured; see `Source.events`. Of a table with a column a variable, each value is an entry."""
        tables = sorted({place.table for place in places})
        self._in_use = {name: tuple(sorted({place.item for place in places if place.table == name})) for name in tables}
        parts = [scans.kept(self._slim(name, items, minutes, before, scans), name) for name, items in self._in_use.items()]
        return ibis.union(*parts)

    def explain(self, error: Exception) -> TardiffError:
        """See `Source.explain`."""
        return self._tables.explain(self._in_use, "patientunitstayid", error)

    def first(self, table: str, fault: str) -> str:
        """See `Source.first`."""
        of, items = EVENT_TABLES[table], self._in_use[table]
        known = sorted(plain(self._patient.frame["patientunitstayid"]))
        offsets = (of.minute, of.available) if of.available else (of.minute,)
        stranger = ("patientunitstayid", "is of nobody", lambda held: key(held).notin(known))
        tries: dict[str, list[Try]] = {
            NO_STAY: [stranger, ("patientunitstayid", "is empty", None)],
            NO_TIME: [(of.minute, "is empty", None)],
            BAD_TIME: [(column, "is not a number", lambda held: number(held).isnull()) for column in offsets],
            BAD_NUMBER: [
                (column, "is not a number", lambda held: number(held).isnull()) for column in ((of.value,) if of.value else items)
            ],
        }
        return self._tables.first_of(table, tries[fault])

    def _slim(self, name: str, items: tuple[str, ...], minutes: float, before: float, scans: Scans) -> ibis.Table:
        """The entries of one table that matter: pruned columns, and values are parsed after the filters on item and stay."""
        table = EVENT_TABLES[name]
        columns = [column for column in ("patientunitstayid", table.minute, table.available, table.value, *table.item) if column]
        raw = self._tables.table(name, columns if table.item else [*columns, *items])
        if table.item:
            item = raw[table.item[0]]
            for column in table.item[1:]:
                item = item + JOINT + raw[column]
            raw = raw.mutate(item=item, charted=raw[table.value])
            raw = scans.losing(raw, name, [(raw["item"].isnull() | raw["item"].notin(items), NOT_ASKED), (~holds(raw.charted), EMPTY)])
        else:
            raw = cells(raw, {column: column for column in columns}, items)
            raw = scans.losing(raw, name, [(~holds(raw.charted), EMPTY)])
        stays = ibis.memtable(pd.DataFrame({"key": self._patient.ids("patientunitstayid"), "listed": True}))
        raw = raw.mutate(key=whole(raw.patientunitstayid), minute=number(raw[table.minute]), value=number(raw.charted)).left_join(
            stays, "key"
        )
        # A revision before the result itself occurs; what is known is known with the result at the earliest.
        known = number(raw[table.available]) if table.available else raw.minute
        lost = [
            (raw.listed.isnull(), NO_STAY),
            (~holds(raw[table.minute]), NO_TIME),
            (raw.minute.isnull(), BAD_TIME),
            *([(holds(raw[table.available]) & known.isnull(), BAD_TIME)] if table.available else []),
            (~((raw.minute >= -before) & (raw.minute < minutes)), OUTSIDE),
            (raw["value"].isnull(), WORD if name == "nurseCharting" else BAD_NUMBER),  # a nurse may write words, which count as missing
        ]
        entries = scans.losing(raw.mutate(known=known), name, lost)
        available = ibis.greatest(entries.minute, entries.known.fill_null(entries.minute))
        return entries.select("item", "minute", "value", stay_id=entries.key, available_minute=available)

    def _order(self, visit: "pd.Series[float]") -> "pd.Series[float]":
        """0 for a patient's first stay in time; unknown where two hospital stays fall into one year."""
        frame = self._patient.frame.assign(visit=visit)
        in_year = frame.groupby(["uniquepid", "hospitaldischargeyear"])["patienthealthsystemstayid"].transform("nunique")
        unclear = (in_year > 1).groupby(frame["uniquepid"]).transform("any")
        order = frame.sort_values(["uniquepid", "hospitaldischargeyear", "visit"]).groupby("uniquepid").cumcount()
        return order.reindex(frame.index).astype("float64").where(~unclear)

    def _died_by_apache(self) -> "pd.Series[float]":
        """Outcome of the hospital stay by stay, for the few whose patient row is silent."""
        if not self._there("apachePatientResult"):
            return pd.Series(dtype="float64")
        table = self._tables.frame("apachePatientResult", ("patientunitstayid", "actualhospitalmortality"))
        result = TextTable(table.frame.drop_duplicates("patientunitstayid"), table.where)
        return result.frame["actualhospitalmortality"].map(DIED).set_axis(result.ids("patientunitstayid"))

    def _there(self, name: str) -> bool:
        with suppress(TardiffError):
            return bool(self._tables.where(name))
        return False
