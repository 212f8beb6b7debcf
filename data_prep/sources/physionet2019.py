"""PhysioNet/CinC Challenge 2019 (early prediction of sepsis): one .psv a patient, a row an hour, in sets a and b.

https://physionet.org/content/challenge-2019/1.0.0/
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

from data_prep.account import AS_IS, EMPTY, OUTSIDE, Scans
from data_prep.concepts import Place
from data_prep.sources.records import RECORDS, RecordFiles, is_number, parsed, records
from tardiff.errors import TardiffError

FIRST_LINE = (
    "HR|O2Sat|Temp|SBP|MAP|DBP|Resp|EtCO2|BaseExcess|HCO3|FiO2|pH|PaCO2|SaO2|AST|BUN|Alkalinephos|Calcium|Chloride|Creatinine|"
    "Bilirubin_direct|Glucose|Lactate|Magnesium|Phosphate|Potassium|Bilirubin_total|TroponinI|Hct|Hgb|PTT|WBC|Fibrinogen|Platelets|"
    "Age|Gender|Unit1|Unit2|HospAdmTime|ICULOS|SepsisLabel"
)
HEADER = FIRST_LINE.split("|")
DESCRIPTORS = ["Age", "Gender", "Unit1", "Unit2", "HospAdmTime"]
HOUR, SEPSIS = "ICULOS", "SepsisLabel"
RECORD = re.compile(r"p(\d{1,18})\.psv")


class PhysioNet2019(RecordFiles):
    """The publisher's folder: `training_setA/` or archives `training_setA*.tar.gz`, the same for B, here or in `training/`.

    The publisher has put the values on hours already: the row with ICULOS = k sums up the k-th hour in intensive care, so its
    values stand at minute 60 (k - 1). Many records begin later than the first hour. One record is one patient.

    `onset_minute` is the start of the first hour with SepsisLabel = 1. The publisher turns the label on six hours before the
    clinical onset of sepsis (or with the first row, if the onset is within its first six hours), so it is the onset that a model
    should have warned of, not the onset itself. Whether a patient died is not known.
    """

    name: ClassVar[str] = "physionet2019"
    shortest_step: ClassVar[float] = 1.0
    version = "1.0.0"

    def __init__(self, raw: Path, sets: tuple[str, ...] = ()) -> None:
        """Open the folder `raw`; without `sets`, every set that is there."""
        self._raw = raw
        self._places = {name: places for name in "ab" if (places := _places(raw, name))}
        for name in sets:
            if name not in self._places:
                there = ", ".join(self._places) or "none"
                raise TardiffError(f"{raw}: holds neither training_set{name.upper()} nor its archive; --sets may name {there}")
        if not self._places:
            raise TardiffError(f"{raw}: holds neither training_setA nor training_setA*.tar.gz; --raw takes the publisher's folder")
        self.sets = tuple(sorted(set(sets) or self._places))

    @cached_property
    def _hours(self) -> pa.Table:
        """Every row of every record: stay_id, set, minute and the columns of the header (NaN is null)."""
        return pa.concat_tables([_read_set(self._places[name], name) for name in self.sets])

    def stays(self) -> pd.DataFrame:
        """One row a record; see `Source.stays`."""
        hours = self._hours.select(["stay_id", "set", "minute", *DESCRIPTORS, SEPSIS]).to_pandas()
        by_stay = hours.groupby("stay_id", sort=True)
        first = by_stay[["set", *DESCRIPTORS]].nth(0).set_index(by_stay["stay_id"].nth(0))
        unit = np.select([first["Unit1"] == 1, first["Unit2"] == 1], ["1", "2"], "")
        return pd.DataFrame(
            {
                "stay_id": first.index,
                "subject_id": first.index,
                "set": first["set"],
                "minutes": by_stay["minute"].max() + 60,
                "order": 0.0,
                "age": first["Age"],
                "onset_minute": hours[hours[SEPSIS] == 1].groupby("stay_id")["minute"].min().reindex(first.index),
                "Gender": first["Gender"].map(lambda number: "" if pd.isna(number) else f"{number:g}"),
                "Unit": unit,
                "HospAdmTime": first["HospAdmTime"],
            }
        ).reset_index(drop=True)

    def events(self, places: Sequence[Place], minutes: float, before: float = 0.0, scans: Scans = AS_IS) -> ibis.Table:
        """The hourly values, none of them from before the start; see `Source.events`. Each value of a row is an entry."""
        hours = self._hours.filter(pc.less(self._hours["minute"], minutes))
        parts = []
        for item in sorted({place.item for place in places}):
            known = hours.select(["stay_id", "minute", item]).filter(pc.is_valid(hours[item]))
            everywhere = len(self._hours) - self._hours[item].null_count
            scans.add(RECORDS, {EMPTY: self._hours[item].null_count, OUTSIDE: everywhere - len(known)})
            columns = {
                "stay_id": known["stay_id"],
                "item": pa.array([item] * len(known), pa.string()),
                "minute": known["minute"],
                "available_minute": known["minute"],
                "value": known[item],
            }
            parts.append(pa.table(columns))
        return ibis.memtable(pa.concat_tables(parts))


def _places(raw: Path, name: str) -> list[Path]:
    """Where a set is: its folder, or else its archives."""
    for root in (raw, raw / "training"):
        folder = root / f"training_set{name.upper()}"
        if places := [folder] if folder.is_dir() else sorted(root.glob(f"{folder.name}*.tar.gz")):
            return places
    return []


def _read_set(places: list[Path], name: str) -> pa.Table:
    names, bodies = [], []
    for place in places:
        lines_of = records(place, RECORD, FIRST_LINE, f"{place}: ")
        for record, body in tqdm(lines_of, desc=f"reading {place.name}", unit=" records", disable=None):
            names.append(record)
            bodies.append(body)
    where = ", ".join(place.name for place in places)
    if not bodies:
        raise TardiffError(f"{places[0]}: holds no record named pNUMBER.psv")
    if len(set(names)) < len(names):
        twice = next(record for record in names if names.count(record) > 1)
        raise TardiffError(f"{where}: p{twice:06}.psv is there twice; remove one")
    table = _parse(names, bodies, where)
    lines = [body.count(b"\n") + 1 for body in bodies]
    hour = table[HOUR].to_numpy()
    starts = np.cumsum([0, *lines[:-1]])
    begins = np.zeros(len(hour), bool)
    begins[starts] = True
    wrong = np.isnan(hour) | (hour < 1) | (hour != np.floor(hour)) | (~begins & (np.diff(hour, prepend=0) <= 0))
    if wrong.any():
        row = int(wrong.argmax())
        record = int(np.searchsorted(starts, row, side="right")) - 1
        what = f"{HOUR} does not come after the row before it as a whole number of hours"
        raise _bad(names[record], row - int(starts[record]) + 2, where, what)
    return (
        table.append_column("minute", pa.array(60.0 * (hour - 1)))
        .append_column("stay_id", pa.array(np.repeat(np.array(names, np.int64), lines)))
        .append_column("set", pa.array(np.full(len(hour), name)))
    )


def _parse(names: list[int], bodies: list[bytes], where: str) -> pa.Table:
    try:
        table = parsed(bodies, dict.fromkeys(HEADER, pa.float64()), "|", ["NaN"])
    except pa.ArrowInvalid as error:
        raise _first_bad_line(names, bodies, where) from error
    if not all(pc.all(pc.is_finite(column)).as_py() is not False for column in table.columns):
        raise _first_bad_line(names, bodies, where)
    return table


def _first_bad_line(names: list[int], bodies: list[bytes], where: str) -> TardiffError:
    """The message about the first line that is not 41 numbers."""
    for record, body in zip(names, bodies, strict=True):
        for number, line in enumerate(body.decode(errors="replace").splitlines(), start=2):
            fields = line.split("|")
            if len(fields) != len(HEADER):
                return _bad(record, number, where, f"has {len(fields)} fields, not {len(HEADER)}")
            for column, field in zip(HEADER, fields, strict=True):
                if field != "NaN" and not is_number(field):
                    return _bad(record, number, where, f"{column} is not a number")
    return TardiffError(f"{where}: a record could not be read")


def _bad(record: int, line: int, where: str, what: str) -> TardiffError:
    return TardiffError(f"{where}: p{record:06}.psv: line {line}: {what}; correct or remove the line (NaN means missing)")
