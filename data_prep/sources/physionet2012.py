"""PhysioNet/CinC Challenge 2012: 48 h of every stay, one text file a record, in sets a, b and c.

https://physionet.org/content/challenge-2012/1.0.0/
"""

import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from tqdm import tqdm

from data_prep.account import AS_IS, EMPTY, NOT_ASKED, OUTSIDE, Scans
from data_prep.concepts import Place
from data_prep.sources import MINUTE
from data_prep.sources.records import RECORDS, RecordFiles, is_number, parsed, records
from tardiff.errors import TardiffError

HEADER = "Time,Parameter,Value"
OUTCOME_HEADER = ["RecordID", "SAPS-I", "SOFA", "Length_of_stay", "Survival", "In-hospital_death"]
DESCRIPTORS = ("Age", "Gender", "Height", "ICUType", "Weight")
DAYS = {"Length_of_stay": "discharge_minute", "Survival": "death_day_minute"}
"""What the outcomes give in whole days since admission to the unit, and the column that it becomes."""
MINUTES_A_DAY = 1440.0
MISSING = -1.0
RECORDED_MINUTES = 48 * 60.0
RECORD = re.compile(r"(\d{1,18})\.txt")
CLOCK = re.compile(r"(\d\d):([0-5]\d)")
COLUMNS = {"time": pa.dictionary(pa.int32(), pa.string()), "parameter": pa.dictionary(pa.int32(), pa.string()), "value": pa.float64()}


class PhysioNet2012(RecordFiles):
    """The publisher's folder: `set-a.tar.gz` or an unpacked `set-a/`, with `Outcomes-a.txt`; the same for b and c.

    One record is one patient, so `subject_id` is the record's id. -1 stands for missing. The first 48 h of a stay are recorded;
    the outcomes tell when the patient left the hospital and when he died in whole days only, and never how long he was in the
    unit: `discharge_minute` and `death_day_minute` are such days in minutes.
    """

    name: ClassVar[str] = "physionet2012"
    shortest_step: ClassVar[float] = MINUTE
    version = "1.0.0"

    def __init__(self, raw: Path, sets: tuple[str, ...] = ()) -> None:
        """Open the folder `raw`; without `sets`, every set that is there."""
        self._raw = raw
        there = tuple(s for s in "abc" if (raw / f"set-{s}.tar.gz").is_file() or (raw / f"set-{s}").is_dir())
        for name in sets:
            if name not in there:
                raise TardiffError(
                    f"{raw / f'set-{name}.tar.gz'}: no such file, nor an unpacked set-{name}; --sets may name {', '.join(there) or 'none'}"
                )
        if not there:
            raise TardiffError(f"{raw}: holds neither set-a.tar.gz nor set-a; --raw takes the publisher's folder")
        self.sets = tuple(sorted(set(sets))) or there

    @cached_property
    def _lines(self) -> pa.Table:
        """Every line of every record: stay_id, set, minute, parameter, value."""
        return pa.concat_tables([_read_set(self._raw, name) for name in self.sets]).unify_dictionaries()

    def stays(self) -> pd.DataFrame:
        """One row a record; see `Source.stays`."""
        outcomes = pd.concat([_read_outcomes(self._raw, name) for name in self.sets], ignore_index=True)
        stays = self._descriptors().merge(outcomes, on=["set", "stay_id"], how="left")
        without = stays[stays["died"].isna()]
        if len(without):
            which, record = without.iloc[0][["set", "stay_id"]]
            raise TardiffError(f"set-{which}/{record}.txt: the record has no row in Outcomes-{which}.txt; add it or leave the record out")
        return stays.assign(subject_id=stays["stay_id"], minutes=RECORDED_MINUTES, age=stays["Age"], order=0.0)

    def events(self, places: Sequence[Place], minutes: float, before: float = 0.0, scans: Scans = AS_IS) -> ibis.Table:
        """The charted values; see `Source.events`. They are in memory, and none is from before the stay."""
        lines = self._lines
        asked = lines.filter(pc.is_in(lines["parameter"], pa.array([place.item for place in places])))
        known = asked.filter(pc.not_equal(asked["value"], MISSING))
        kept = known.filter(pc.less(known["minute"], minutes))
        lost = {NOT_ASKED: len(lines) - len(asked), EMPTY: len(asked) - len(known), OUTSIDE: len(known) - len(kept)}
        scans.add(RECORDS, lost)
        columns = {
            "stay_id": kept["stay_id"],
            "item": kept["parameter"].cast(pa.string()),
            "minute": kept["minute"],
            "available_minute": kept["minute"],
            "value": kept["value"],
        }
        return ibis.memtable(pa.table(columns))

    def _descriptors(self) -> pd.DataFrame:
        """The first value of each descriptor at 00:00, one row a record that has any line."""
        lines = self._lines
        start = lines.filter(pc.equal(lines["minute"], 0.0)).to_pandas()
        start["parameter"] = start["parameter"].astype(str)
        start = start[start["parameter"].isin(DESCRIPTORS)].drop_duplicates(["stay_id", "parameter"])
        wide = start.pivot(index=["set", "stay_id"], columns="parameter", values="value")
        # A record without a line at 00:00 has no known descriptor, but it is a record.
        records = pd.MultiIndex.from_frame(lines.select(["set", "stay_id"]).group_by(["set", "stay_id"]).aggregate([]).to_pandas())
        wide = wide.reindex(index=records.sort_values(), columns=DESCRIPTORS)
        wide = wide.mask(wide == MISSING).reset_index()
        for code in ("Gender", "ICUType"):
            wide[code] = wide[code].map(lambda number: "" if pd.isna(number) else f"{number:g}")
        return wide


def _read_set(raw: Path, name: str) -> pa.Table:
    names, bodies = [], []
    archive = raw / f"set-{name}.tar.gz"
    place = archive if archive.is_file() else raw / f"set-{name}"
    lines = records(place, RECORD, HEADER, f"set-{name}/")
    for record, body in tqdm(lines, desc=f"reading set-{name}", unit=" records", disable=None):
        names.append(record)
        bodies.append(body)
    if not bodies:
        raise TardiffError(f"{raw}: set-{name} holds no record named set-{name}/NUMBER.txt")
    table = _parse(name, names, bodies)
    ids = np.repeat(np.array(names, np.int64), [body.count(b"\n") + 1 for body in bodies])
    return (
        table.drop_columns("time")
        .append_column("minute", _minutes(table["time"]))
        .append_column("stay_id", pa.array(ids))
        .append_column("set", pa.array(np.full(len(ids), name)))
    )


def _parse(name: str, names: list[int], bodies: list[bytes]) -> pa.Table:
    try:
        table = parsed(bodies, COLUMNS).unify_dictionaries()
    except pa.ArrowInvalid as error:
        raise _first_bad_line(name, names, bodies) from error
    times = table["time"].chunk(0).dictionary.to_pylist() if table.num_rows else []
    if not pc.all(pc.is_finite(table["value"])).as_py() or not all(CLOCK.fullmatch(time) for time in times):
        raise _first_bad_line(name, names, bodies)
    return table


def _minutes(times: pa.ChunkedArray) -> pa.ChunkedArray:
    """Minutes since admission of "HH:MM", which runs up to 48:00. Each distinct time is read once."""
    chunks = []
    for chunk in times.chunks:
        clock = np.array([int(time[:2]) * 60 + int(time[3:]) for time in chunk.dictionary.to_pylist()], np.float64)
        chunks.append(pa.array(clock[chunk.indices.to_numpy()]))
    return pa.chunked_array(chunks, pa.float64())


def _first_bad_line(name: str, names: list[int], bodies: list[bytes]) -> TardiffError:
    """The message about the first line that is not a time, a name and a number."""
    for record, body in zip(names, bodies, strict=True):
        for number, line in enumerate(body.decode(errors="replace").splitlines(), start=2):
            where = f"set-{name}/{record}.txt: line {number}"
            fields = line.split(",")
            if len(fields) != 3:
                return TardiffError(f"{where}: has {len(fields)} fields, not {HEADER}; correct or remove the line")
            if not CLOCK.fullmatch(fields[0]):
                return TardiffError(f"{where}: Time is not HH:MM; correct or remove the line")
            if not is_number(fields[2]):
                return TardiffError(f"{where}: Value is not a number; correct or remove the line (-1 means missing)")
    return TardiffError(f"set-{name}: a record could not be read as {HEADER}")


def _read_outcomes(raw: Path, name: str) -> pd.DataFrame:
    """Columns set, stay_id, died, discharge_minute, death_day_minute. A row that cannot be read is an error."""
    path = raw / f"Outcomes-{name}.txt"
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError as error:
        raise TardiffError(f"{path}: no such file; the records of set-{name} need their outcomes") from error
    except (ValueError, OSError) as error:
        raise TardiffError(f"{path}: cannot be read ({error})") from error
    if list(frame.columns) != OUTCOME_HEADER:
        raise TardiffError(f"{path}: the header is not {','.join(OUTCOME_HEADER)}; fetch the file again")
    for column, pattern in {"RecordID": r"\d{1,18}", "In-hospital_death": "[01]", **dict.fromkeys(DAYS, r"-?\d{1,6}")}.items():
        wrong = ~frame[column].str.fullmatch(pattern)
        if wrong.any():
            row = int(wrong.to_numpy().argmax())
            raise TardiffError(f"{path}: line {row + 2}: {column} cannot be read; correct or remove the line")
    if frame["RecordID"].duplicated().any():
        raise TardiffError(f"{path}: line {int(frame['RecordID'].duplicated().to_numpy().argmax()) + 2}: the record has a row already")
    # -1 is unknown or never; one record of set b says that its patient died 23 days before admission.
    days = {column: frame[column].astype("float64").where(lambda day: day >= 0) for column in DAYS}
    return pd.DataFrame(
        {
            "set": name,
            "stay_id": frame["RecordID"].astype("int64"),
            "died": frame["In-hospital_death"].astype("float64"),
            **{minute: MINUTES_A_DAY * days[column] for column, minute in DAYS.items()},
        }
    )
