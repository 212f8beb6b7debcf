"""MEDS 0.4 folders: `data/**/*.parquet`, with the codes that MIMIC_IV_MEDS writes or those of `tardiff export --format meds`.

https://github.com/Medical-Event-Data-Standard
"""

import json
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import ibis
import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from data_prep.account import AS_IS, EMPTY, NO_STAY, NO_TIME, NOT_ASKED, OUTSIDE, OUTSIDE_STAYS, Scans
from data_prep.concepts import Concepts, Place
from data_prep.sources import MINUTE, Source
from data_prep.sources.columns import minutes_between, within_stays
from data_prep.sources.meds_exported import Exported, exported, read_schema
from data_prep.sources.mimic_iv import SPECIMEN_TYPE, MimicIV, with_specimen
from data_prep.sources.tables import number, without_values
from tardiff.errors import TardiffError

HOME = "https://github.com/Medical-Event-Data-Standard/meds"
CORE = ("subject_id", "time", "code")
STAY, ADMISSION_OF_STAY = "icustay_id", "hadm_id"
"""Columns beyond the standard that MIMIC_IV_MEDS writes, and tardiff the first of them."""
BIRTH, DEATH = "MEDS_BIRTH", "MEDS_DEATH"
IN, OUT, HOME_AGAIN, SEX = "ICU_ADMISSION", "ICU_DISCHARGE", "HOSPITAL_DISCHARGE", "GENDER"
EVENTS = "events"
OF_MIMIC = re.compile(r"(?:LAB//RESULT|LAB|SUBJECT_FLUID_OUTPUT)//(\d+)//(.*)")
"""A charted item, a laboratory result (in some versions of MIMIC_IV_MEDS with the word RESULT) or an output: item id and unit."""
UNKNOWN = "UNK"
VALUES = ("boolean_value", "integer_value", "float_value", "categorical_value")
"""The columns of MEDS that may hold a label."""
SPLITS = {"train": "train", "tuning": "validation", "held_out": "test"}


class Meds(Source):
    """Stays in intensive care are ICU_ADMISSION to ICU_DISCHARGE; everything else is told by code and time.

    MEDS knows one time for an event. MIMIC_IV_MEDS gives a laboratory result the time when it was stored, or in its first versions
    when it was drawn; so laboratory values may stand later than in MIMIC-IV itself. It drops the number of the specimen: a
    result counts as arterial if an arterial specimen of the same patient was reported at the same moment.
    """

    name: ClassVar[str] = "meds"
    shortest_step: ClassVar[float] = MINUTE
    table: ClassVar[str] = EVENTS
    given_at = "labels"

    @property
    def silent(self) -> bool:
        """Those of a data set that we exported are."""
        return bool(self._exported.variables)

    @property
    def classes(self) -> tuple[str, ...]:
        """Those of the data set that we exported."""
        return self._exported.classes

    def __init__(self, raw: Path, sets: tuple[str, ...] = ()) -> None:
        if sets:
            raise TardiffError(f"sets: {self.name} has none (its splits are chosen with --split publisher); leave --sets out")
        self._raw = raw
        self._shards = sorted((raw / "data").rglob("*.parquet"))
        if not self._shards:
            raise TardiffError(f"{raw / 'data'}: holds no .parquet; --raw takes a MEDS folder ({HOME})")
        schemas = [_schema(path, CORE, "a MEDS shard") for path in self._shards]
        self._columns = tuple(dict.fromkeys(name for schema in schemas for name in schema.names))
        zoned = [schema.field("time").type.tz is not None for schema in schemas]
        if len(set(zoned)) > 1:
            raise TardiffError(
                f"{self._shards[zoned.index(not zoned[0])]}: time has a zone or none, unlike {self._shards[0].name}; write all alike"
            )

    @cached_property
    def _exported(self) -> Exported:
        return exported(self._raw, self.name)

    @cached_property
    def version(self) -> str:
        """The data set and its version, as `metadata/dataset.json` has them."""
        path = self._raw / "metadata" / "dataset.json"
        if not path.is_file():
            return "0.4"
        try:
            described = json.loads(path.read_bytes())
            return f"{described.get('dataset_name', UNKNOWN)} {described.get('dataset_version', UNKNOWN)}"
        except (ValueError, AttributeError, RecursionError) as error:
            raise TardiffError(f"{path}: not valid JSON ({error})") from error

    def dictionary(self, concepts: Concepts) -> Concepts:
        """The channels of an export of ours, or else the places of MIMIC-IV; see `Source.dictionary`."""
        if self._exported.variables:
            return concepts.serving(self.name, self._exported.variables, self._exported.statics)
        mimic = MimicIV.name
        borrowed = {
            name: msgspec.structs.replace(
                variable,
                found={**variable.found, self.name: variable.found[mimic]},
                sum_of={**variable.sum_of, **({self.name: variable.sum_of[mimic]} if mimic in variable.sum_of else {})},
            )
            for name, variable in concepts.variables.items()
            if mimic in variable.found
        }
        return concepts.serving(self.name, borrowed, concepts.statics[mimic], concepts.left_out.get(mimic, ()))

    def stays(self) -> pd.DataFrame:
        """One row a stay in intensive care; see `Source.stays`. The calendar of an export of ours is made up, so nothing is told by it."""
        stays = self._intervals
        told = self._told_by_admission(stays)
        known = {
            "stay_id": stays["stay_id"],
            "subject_id": stays["subject_id"],
            "minutes": minutes_between(stays["start"], stays["end"]),
            "age": self._ages(stays).fillna(told.get("age", np.nan)),
        }
        if not self.silent:
            known |= {"gender": stays["subject_id"].map(self._sexes()).fillna(""), "first_careunit": stays["unit"]}
            known |= self._outcomes(stays)
        known |= {column: told[column] for column in told.columns if column != "age"}
        return self._with_labels(pd.DataFrame({**known, **self._split_of(stays["subject_id"])}), stays)

    def first(self, table: str, fault: str) -> str:
        """See `Source.first`."""
        return str(self._raw / "data")

    def events(self, places: Sequence[Place], minutes: float, before: float = 0.0, scans: Scans = AS_IS) -> ibis.Table:
        """What has one of the wanted codes; see `Source.events`."""
        typed = any(place.specimen for place in places)
        items = {place.item for place in places} | ({SPECIMEN_TYPE} if typed else set())
        schema = pa.schema([("code", pa.string()), ("item", pa.string()), ("unit", pa.string())])
        codes = ibis.memtable(pa.Table.from_pylist(list(self._wanted(items)), schema))
        texts = typed or any(place.texts for place in places)
        table = self._table([*CORE, "numeric_value", STAY, *(["text_value"] if texts else [])])
        # Values are 32-bit in MEDS. By way of their shortest text, 36.6 is 36.6 again and 0.21 is inside limits that begin there.
        value = number(table.numeric_value)
        there = (value.notnull() | table.text_value.notnull()) if texts else value.notnull()
        coded = table.mutate(value=value, there=there).left_join(codes, "code").drop("code_right")
        listed = self._intervals[["subject_id", "stay_id"]].rename(columns={"stay_id": STAY}).assign(listed=True)
        coded = coded.left_join(ibis.memtable(listed), ["subject_id", STAY]).drop("subject_id_right", f"{STAY}_right")
        nobody = coded.subject_id.isnull() | (coded[STAY].notnull() & coded.listed.isnull())
        faults = [(nobody, NO_STAY), (coded.time.isnull(), NO_TIME)]
        coded = scans.losing(coded, EVENTS, [(coded["item"].isnull(), NOT_ASKED), (~coded.there, EMPTY), *faults])
        joined = coded.left_join(ibis.memtable(within_stays(self._intervals, before)), "subject_id")
        taken = joined.time.truncate("s").epoch_seconds().cast("int64")
        minute = (taken - joined.start).cast("float64") / 60
        # An event that names its stay belongs to it; another one to the stay of its patient during which it happened.
        names = joined[STAY].notnull()
        own = names.ifelse(joined[STAY] == joined.stay, (taken >= joined.own_since) & (taken < joined.own_until))
        during = names | ((minute >= joined.stay_since) & (minute < joined.until))
        lost = [
            (joined.stay.isnull(), OUTSIDE_STAYS),
            (~own, None),
            (~during, OUTSIDE_STAYS),
            (~((minute >= -before) & (minute < minutes)), OUTSIDE),
        ]
        joined = scans.losing(joined.mutate(minute=minute), EVENTS, lost)
        entries = joined.select(
            stay_id=joined.stay,
            item=joined["item"],
            minute=joined.minute,
            available_minute=joined.minute,
            value=joined["value"],
            unit=joined.unit,
            **({"text": joined.text_value} if texts else {}),
        )
        slim = scans.kept(entries, EVENTS)
        return with_specimen(slim, ("stay_id", "minute"), EVENTS, scans) if typed else slim

    def explain(self, error: Exception) -> TardiffError:
        """The shards are typed, so what goes wrong is a damaged file."""
        return TardiffError(f"{self._raw / 'data'}: could not be read ({without_values(error)[:300]}); fetch it again")

    def _table(self, columns: Sequence[str]) -> ibis.Table:
        """Some columns of every shard; a column that the standard makes optional and the folder lacks is null."""
        table = self._events
        absent = {"numeric_value": "float32", "text_value": "string", STAY: "int64"}
        return table.select(**{name: table[name] if name in self._columns else ibis.null(absent[name]) for name in columns})

    @cached_property
    def _events(self) -> ibis.Table:
        """Every shard; a column that one of them lacks is null there."""
        table = ibis.read_parquet([str(path) for path in self._shards], union_by_name=True)
        return table.mutate(subject_id=table.subject_id.cast("int64"))

    @cached_property
    def _marks(self) -> pd.DataFrame:
        """Every event that tells of stays, births and deaths, sorted by patient and time: subject_id, time, kind, code, and ids."""
        extra = [name for name in (STAY, ADMISSION_OF_STAY) if name in self._columns]
        table = self._table_of_marks([*CORE, *extra])
        marks = self._read(table)
        if marks["subject_id"].isna().any():
            raise TardiffError(f"{self._raw / 'data'}: an event that tells of a stay has no subject_id; correct or remove it")
        marks["kind"] = marks["code"].str.replace("//.*", "", regex=True)
        marks["time"] = _utc(marks["time"])
        return marks.sort_values(["subject_id", "time", "code"], ignore_index=True)

    def _read(self, table: ibis.Table) -> pd.DataFrame:
        try:
            return table.to_pandas()
        except Exception as error:  # each database has its own
            raise self.explain(error) from error

    def _table_of_marks(self, columns: Sequence[str]) -> ibis.Table:
        table = self._events.select(*columns)
        kinds = [table.code.startswith(f"{kind}//") for kind in (IN, OUT, HOME_AGAIN, SEX)]
        return table.filter(ibis.or_(table.code.isin([BIRTH, DEATH]), *kinds))

    @cached_property
    def _intervals(self) -> pd.DataFrame:
        """stay_id, subject_id, start, end, unit and where known the hospital admission, by patient and time."""
        marks = self._marks
        starts = marks[marks["kind"] == IN].rename(columns={"time": "start"})
        ends = marks[marks["kind"] == OUT].rename(columns={"time": "end"})
        if starts.empty:
            raise TardiffError(f"{self._raw}: no event has a code {IN}//...; without it there are no stays in intensive care")
        if STAY in self._columns and starts[STAY].notna().all():
            starts = starts.drop_duplicates(STAY)
            stays = starts.merge(ends.drop_duplicates(STAY)[[STAY, "end"]], on=STAY, how="left")
            stays["stay_id"] = stays[STAY].astype("int64")
        else:
            ends = ends[["subject_id", "end"]].sort_values("end")
            stays = pd.merge_asof(starts.sort_values("start"), ends, left_on="start", right_on="end", by="subject_id", direction="forward")
            stays = stays.sort_values(["subject_id", "start"], ignore_index=True)
            stays["stay_id"] = np.arange(1, len(stays) + 1)
        stays = stays.dropna(subset=["start"]).sort_values(["subject_id", "start", "stay_id"], ignore_index=True)
        stays["unit"] = stays["code"].str.extract("//(.*)", expand=False)
        return stays

    def _ages(self, stays: pd.DataFrame) -> "pd.Series[float]":
        """Whole years from birth to the start of each stay."""
        born, at = self._first(BIRTH).reindex(stays["subject_id"]).set_axis(stays.index), stays["start"]
        before_birthday = (at.dt.month * 100 + at.dt.day) < (born.dt.month * 100 + born.dt.day)
        return (at.dt.year - born.dt.year - before_birthday).astype("float64").where(born.notna())

    def _outcomes(self, stays: pd.DataFrame) -> "dict[str, pd.Series[Any]]":
        """What became of the patients, as far as the folder has events that tell."""
        start, patient = stays["start"], stays.groupby("subject_id")
        known = {
            "start": start,
            "unit_minutes": minutes_between(start, stays["end"]),
            "next_minute": minutes_between(start, patient["start"].shift(-1)),
            "order": patient.cumcount().astype("float64"),
        }
        death = self._first(DEATH).reindex(stays["subject_id"]).set_axis(stays.index)
        if death.notna().any():
            known["death_day_minute"] = minutes_between(start, death.dt.normalize() + pd.Timedelta(days=1))
        discharge, died = self._discharges(stays)
        if discharge.notna().any():
            died = died.where(died.isna() | (died == 1), (death <= discharge).astype("float64"))
            known["died"] = died
            known["death_minute"] = minutes_between(start, death).where(died == 1)
            known["discharge_minute"] = minutes_between(start, discharge)
            known["stays_in_admission"] = discharge.groupby([stays["subject_id"], discharge]).transform("size").astype("float64")
        return known

    def _discharges(self, stays: pd.DataFrame) -> "tuple[pd.Series[Any], pd.Series[float]]":
        """When the hospital stay of each ended, and whether in death as far as that event tells."""
        homes = self._marks[self._marks["kind"] == HOME_AGAIN]
        homes = homes.assign(died=homes["code"].str.fullmatch(rf"{HOME_AGAIN}//DIED").astype("float64"))
        if ADMISSION_OF_STAY in self._columns:
            by_id = homes.dropna(subset=[ADMISSION_OF_STAY]).drop_duplicates(ADMISSION_OF_STAY).set_index(ADMISSION_OF_STAY)
            return stays[ADMISSION_OF_STAY].map(by_id["time"]), stays[ADMISSION_OF_STAY].map(by_id["died"])
        homes = homes[["subject_id", "time", "died"]].sort_values("time")
        left = stays.reset_index().sort_values("start")
        found = pd.merge_asof(left, homes, left_on="start", right_on="time", by="subject_id", direction="forward", suffixes=("_in", ""))
        found = found.set_index("index").reindex(stays.index)
        return found["time"], found["died"]

    def _first(self, code: str) -> "pd.Series[Any]":
        """By patient, the first time of an event."""
        rows = self._marks[self._marks["code"] == code]
        return rows.groupby("subject_id")["time"].min()

    def _sexes(self) -> "pd.Series[str]":
        rows = self._marks[self._marks["kind"] == SEX].drop_duplicates("subject_id")
        return rows.set_index("subject_id")["code"].str.extract("//(.*)", expand=False)

    def _wanted(self, items: set[str]) -> Iterator[dict[str, str | None]]:
        """Codes of the data that mean one of the items, with the unit that MIMIC's carry."""
        for code in sorted(self._read(self._table(["code"]).distinct())["code"].dropna()):
            if code in items:
                yield {"code": code, "item": code, "unit": None}
            elif (match := OF_MIMIC.fullmatch(code)) and match[1] in items:
                yield {"code": code, "item": match[1], "unit": None if match[2] == UNKNOWN else match[2]}

    def _told_by_admission(self, stays: pd.DataFrame) -> pd.DataFrame:
        """The descriptors of an export of ours: columns as `exported` names them, and age where there is one."""
        statics = self._exported.statics
        told = pd.DataFrame(index=stays.index)
        if not statics:
            return told
        prefixes = [f"{static.name}//" for static in statics]
        table = self._table([*CORE, "numeric_value", STAY])
        rows = self._read(table.filter(ibis.or_(*(table.code.startswith(prefix) for prefix in prefixes)))).set_index(STAY)
        for static, prefix in zip(statics, prefixes, strict=True):
            own = rows[rows["code"].str.startswith(prefix)]
            own = own[~own.index.duplicated()]
            if static.kind == "categorical":
                told[static.column] = stays["stay_id"].map(own["code"].str.slice(len(prefix))).fillna("")
                continue
            told[static.column] = stays["stay_id"].map(own["numeric_value"]).astype("float64")
            if static.name.lower() == "age":
                told["age"] = told[static.column]
        return told

    def _split_of(self, subjects: "pd.Series[int]") -> dict[str, "pd.Series[str]"]:
        """Which of the publisher's splits each patient is in."""
        path = self._raw / "metadata" / "subject_splits.parquet"
        if not path.is_file():
            return {}
        if not {"subject_id", "split"} <= set(read_schema(path).names):
            raise TardiffError(f"{path}: expected the columns subject_id and split")
        frame = pq.read_table(path, columns=["subject_id", "split"]).to_pandas().drop_duplicates("subject_id")
        return {"split": subjects.map(frame.set_index("subject_id")["split"].map(SPLITS)).fillna("").astype(str)}

    @property
    def _label_files(self) -> list[Path]:
        """The labels beside the data, if they are of one task."""
        tasks = sorted(path for path in (self._raw / "labels").glob("*") if path.is_dir())
        return sorted(tasks[0].rglob("*.parquet")) if len(tasks) == 1 else []

    def _with_labels(self, known: pd.DataFrame, stays: pd.DataFrame) -> pd.DataFrame:
        """The stays with the labels of the predictions made during each: a row for each of them, and one for a stay without any."""
        if not self._label_files:
            return known
        labels = pd.concat([_labels(path) for path in self._label_files], ignore_index=True)
        begun = stays[["subject_id", "stay_id", "start", "end"]].sort_values("start")
        by_time = labels.dropna(subset=["time"]).sort_values("time", kind="stable")
        found = pd.merge_asof(by_time, begun, left_on="time", right_on="start", by="subject_id")
        found = found[found["stay_id"].notna() & ~(found["time"] > found["end"])]
        found["given_minute"] = minutes_between(found["start"], found["time"])
        if self.classes:  # of an export of ours, which has them by number
            named = {text: name for code, name in enumerate(self.classes) for text in (str(code), *(("false", "true")[code : code + 1]))}
            found["given"] = found["given"].map(named).fillna(found["given"])
        labelled = known.merge(found[["stay_id", "given", "given_minute"]], on="stay_id", how="left")
        return labelled.assign(given=labelled["given"].fillna(""))


def _schema(path: Path, columns: Sequence[str], what: str) -> pa.Schema:
    """The schema of a file with events or labels, whose ids are whole numbers and whose times are times.

    Raises:
        TardiffError: a column is missing or of another type.
    """
    schema = read_schema(path)
    for column in columns:
        if column not in schema.names:
            raise TardiffError(f"{path}: there is no column {column}; {what} has {', '.join(columns)}")
        kind = schema.field(column).type
        if column == "subject_id" and not pa.types.is_integer(kind):
            raise TardiffError(f"{path}: subject_id is of type {kind}; MEDS has whole numbers")
        if column in ("time", "prediction_time") and not pa.types.is_timestamp(kind):
            raise TardiffError(f"{path}: {column} is of type {kind}; MEDS has timestamps")
    if "numeric_value" in schema.names and pa.types.is_large_string(kind := schema.field("numeric_value").type) | pa.types.is_string(kind):
        raise TardiffError(f"{path}: numeric_value is of type {kind}; MEDS has numbers")
    return schema


def _utc(times: "pd.Series[Any]") -> "pd.Series[Any]":
    """Times without a zone, those with one in UTC."""
    return (times.dt.tz_convert(None) if times.dt.tz is not None else times).astype("datetime64[us]")


def _labels(path: Path) -> pd.DataFrame:
    """The labels of a file: subject_id, time (UTC if it has a zone) and given (text), from the column of values that is filled.

    Raises:
        TardiffError: columns are missing or of another type, or several are filled.
    """
    schema = _schema(path, ("subject_id", "prediction_time"), "a MEDS label")
    frame = pq.read_table(path, columns=["subject_id", "prediction_time", *(name for name in VALUES if name in schema.names)]).to_pandas()
    filled = [name for name in VALUES if name in frame and frame[name].notna().any()]
    if len(filled) > 1 or not set(VALUES) & set(frame):
        raise TardiffError(f"{path}: expected one of {', '.join(VALUES)} with values, found {' and '.join(filled) or 'none'}")
    value = frame[filled[0]] if filled else pd.Series(None, frame.index, object)
    given = value.map(
        lambda one: str(one).lower() if isinstance(one, bool) else f"{one:.15g}" if isinstance(one, float) else str(one), "ignore"
    )
    return pd.DataFrame(
        {
            "subject_id": frame["subject_id"].astype("int64"),
            "time": _utc(frame["prediction_time"]),
            "given": given.astype(object).where(value.notna(), "").astype(str),
        }
    )
