"""YAIB / ricu: `sta.parquet` (a row a stay), `dyn.parquet` (a row an hour) and `outc.parquet` (the label of YAIB's own task).

https://github.com/rvandewater/YAIB-cohorts writes such folders from any data set that ricu knows.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from data_prep.account import AS_IS, EMPTY, NO_STAY, NO_TIME, OUTSIDE, Scans
from data_prep.concepts import Concepts, Place
from data_prep.sources import Source
from data_prep.sources.columns import refuse
from data_prep.sources.tables import holds, without_values
from tardiff.errors import TardiffError

STATIC, HOURLY, OUTCOME = "sta.parquet", "dyn.parquet", "outc.parquet"
MINUTES = {"s": 1 / 60, "ms": 1 / 60e3, "us": 1 / 60e6, "ns": 1 / 60e9}
"""Of one unit of a duration. Numbers are hours."""


class Yaib(Source):
    """A folder of one YAIB task. Values stand on the hours already; the row with time = k sums up hour k.

    `given` is the label in `outc.parquet` where a stay has one; where it has one an hour (sepsis, kidney injury), `onset_minute` is
    the first hour with label 1, which YAIB turns on six hours before the onset. The folder does not tell which stays are one
    patient's, nor when a stay ended: it is taken to last as long as its rows.
    """

    name: ClassVar[str] = "yaib"
    shortest_step: ClassVar[float] = 1.0
    table: ClassVar[str] = HOURLY
    version = "ricu"
    given_at = OUTCOME

    def __init__(self, raw: Path, sets: tuple[str, ...] = ()) -> None:
        self.refuse_sets(sets)
        self._raw = raw
        self._lost: tuple[str, ...] = ()
        schema = _schema(raw / HOURLY, ("stay_id", "time"))
        self._columns = tuple(schema.names)
        kind = schema.field("time").type
        if not (pa.types.is_duration(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            raise TardiffError(f"{raw / HOURLY}: time is of type {kind}, expected a duration or a number of hours")
        self._minutes = MINUTES[kind.unit] if pa.types.is_duration(kind) else 60.0

    def dictionary(self, concepts: Concepts) -> Concepts:
        """The variables that have a column; see `Source.dictionary`."""
        kept = concepts.keeping(self.name, lambda place: place.item in self._columns)
        self._lost = tuple(name for name in concepts.known(self.name) if name not in kept.known(self.name))
        return kept

    def remarks(self) -> list[str]:
        """See `Source.remarks`."""
        lost = [f"{HOURLY} has no column for {', '.join(self._lost)}"] if self._lost else []
        return [*lost, "YAIB folders do not tell which stays are one patient's: stays count as patients, one may be in two splits"]

    def stays(self) -> pd.DataFrame:
        """One row a stay; see `Source.stays`."""
        path = self._raw / STATIC
        static = _frame(path, ("stay_id", "age", "sex"))
        hours = self._hours.groupby("stay_id")["time"].max()
        stay_id = _whole(static["stay_id"], path)
        if (twice := stay_id[stay_id.duplicated()]).size:
            raise TardiffError(f"{path}: row {twice.index[0] + 1}: its stay_id has a row already; remove one")
        number = {name: _number(static, name, path) for name in ("age", "height", "weight")}
        return pd.DataFrame(
            {
                "stay_id": stay_id,
                "subject_id": stay_id,
                "minutes": (stay_id.map(hours) * self._minutes + 60).fillna(0.0).astype("float64"),
                **number,
                "sex": static["sex"].astype(object).where(static["sex"].notna(), "").astype(str),
                **self._outcomes(stay_id),
            }
        )

    def first(self, table: str, fault: str) -> str:
        """There are no faults: the tables are typed; see `Source.first`."""
        return str(self._raw)

    def events(self, places: Sequence[Place], minutes: float, before: float = 0.0, scans: Scans = AS_IS) -> ibis.Table:
        """The hourly values; see `Source.events`. Each value of a row is an entry."""
        items = sorted({place.item for place in places})
        table = ibis.read_parquet(self._raw / HOURLY)
        wide = table.select(
            stay_id=table.stay_id.cast("int64"),
            minute=table.time.cast("float64") * self._minutes,
            **{item: table[item].cast("float64") for item in items},
        )
        long = wide.pivot_longer(ibis.selectors.cols(*items), names_to="item", values_to="value")
        listed = ibis.memtable(pa.table({"stay_id": self._static_ids.to_numpy(), "listed": np.ones(len(self._static_ids), bool)}))
        joined = long.left_join(listed, "stay_id")
        lost = [
            (~holds(joined["value"]), EMPTY),
            (joined.listed.isnull(), NO_STAY),
            (joined.minute.isnull(), NO_TIME),
            (~((joined.minute >= -before) & (joined.minute < minutes)), OUTSIDE),
        ]
        known = scans.losing(joined, HOURLY, lost)
        return scans.kept(known.select("stay_id", "item", "minute", available_minute=known.minute, value=known["value"]), HOURLY)

    def explain(self, error: Exception) -> TardiffError:
        """The table was typed when it was written, so little can go wrong."""
        return TardiffError(f"{self._raw / HOURLY}: could not be read ({without_values(error)[:300]})")

    @cached_property
    def _static_ids(self) -> "pd.Series[int]":
        path = self._raw / STATIC
        return _whole(_frame(path, ("stay_id",))["stay_id"], path)

    @cached_property
    def _hours(self) -> pd.DataFrame:
        path = self._raw / HOURLY
        times = _frame(path, ("stay_id", "time"))
        if pd.api.types.is_timedelta64_dtype(times["time"]):
            times["time"] = times["time"] / pd.Timedelta(minutes=1) / self._minutes
        return times.assign(time=times["time"].astype("float64"))

    def _outcomes(self, stay_id: "pd.Series[int]") -> dict[str, "pd.Series[Any]"]:
        path = self._raw / OUTCOME
        outcome = _frame(path, ("stay_id", "label"))
        label = _number(outcome, "label", path)
        if "time" not in outcome:
            if outcome["stay_id"].duplicated().any():
                raise TardiffError(f"{path}: a stay has two rows but there is no column time; remove one")
            return {"given": stay_id.map(label.set_axis(outcome["stay_id"])).map(lambda label: "" if np.isnan(label) else f"{label:.15g}")}
        time = outcome["time"]
        minute = time / pd.Timedelta(minutes=1) if pd.api.types.is_timedelta64_dtype(time) else time * 60.0
        onset = minute[label == 1].groupby(outcome["stay_id"]).min()
        return {"onset_minute": stay_id.map(onset).astype("float64")}


def _schema(path: Path, columns: Sequence[str]) -> pa.Schema:
    try:
        schema = pq.read_schema(path)
    except FileNotFoundError as error:
        raise TardiffError(f"{path}: no such file; --raw takes a folder with {STATIC}, {HOURLY} and {OUTCOME}") from error
    except (OSError, pa.ArrowException) as error:
        raise TardiffError(f"{path}: truncated or not Parquet ({error}); write it again") from error
    for column in columns:
        if column not in schema.names:
            raise TardiffError(f"{path}: there is no column {column}; expected at least {', '.join(columns)}")
    return schema


def _frame(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """A table in memory: of `dyn` the columns named, of the others all."""
    schema = _schema(path, columns)
    try:
        frame: pd.DataFrame = pq.read_table(path, columns=list(columns) if path.name == HOURLY else schema.names).to_pandas()
    except (OSError, pa.ArrowException) as error:
        raise TardiffError(f"{path}: damaged ({error}); write it again") from error
    return frame.reset_index(drop=True)


def _number(frame: pd.DataFrame, name: str, path: Path) -> "pd.Series[float]":
    if name not in frame:
        return pd.Series(np.nan, frame.index)
    numbers = pd.to_numeric(frame[name], errors="coerce").astype("float64")
    refuse(numbers.isna() & frame[name].notna(), path, f"{name} is not a number", 1)
    return numbers


def _whole(stay_id: "pd.Series[int]", path: Path) -> "pd.Series[int]":
    if not pd.api.types.is_integer_dtype(stay_id) or stay_id.isna().any():
        raise TardiffError(f"{path}: stay_id is of type {stay_id.dtype}, expected whole numbers without gaps")
    return stay_id.astype("int64")
