"""Any long table: a row an entry (stay, time, variable, value), a table of stays, and `table.yaml`, which says what is what."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import ibis
import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa

from data_prep.concepts import Concepts, Place, Variable
from data_prep.sources import Keep, as_is
from data_prep.sources.columns import epoch, flags, minutes_between, numbers, times, whole
from data_prep.sources.table_layout import LAYOUT, own_variable, read_layout
from data_prep.sources.tables import FileTables, number, seconds, text, without_values
from tardiff.errors import TardiffError

SECONDS = {"seconds": 1.0, "minutes": 60.0, "hours": 3600.0, "days": 86400.0}
ENDINGS = (".csv", ".csv.gz", ".parquet")


class Table:
    """A folder with `table.yaml` and the two tables that it names, in CSV, gzipped CSV or Parquet."""

    name: ClassVar[str] = "table"

    def __init__(self, raw: Path, sets: tuple[str, ...] = ()) -> None:
        """Open the folder `raw`; without `sets`, every set that the stays have."""
        self._raw = raw
        self._layout = layout = read_layout(raw / LAYOUT)
        self._tables = _Files(raw)
        self._chosen = sets
        column = layout.stays.set
        there = tuple(sorted(set(self._frame[column]))) if column else ()
        for name in sets:
            if name not in there:
                raise TardiffError(f"{raw / layout.stays.file}: no stay is of set {name!r}; --sets may name {', '.join(there) or 'none'}")
        self.sets = tuple(sorted(set(sets) or there))

    @property
    def version(self) -> str:
        """As `table.yaml` has it."""
        return self._layout.version

    def dictionary(self, concepts: Concepts) -> Concepts:
        """The concepts that the layout names, and its own variables; see `Source.dictionary`."""
        places: dict[str, list[Place]] = {}
        variables: dict[str, Variable] = {}
        for item, meaning in self._layout.variables.items():
            entry = f"{self._raw / LAYOUT}: variables.{item}"
            name = meaning.concept or meaning.name or item
            if meaning.concept:
                if name not in concepts.variables:
                    raise TardiffError(
                        f"{entry}: there is no concept {name!r}; choose among {', '.join(concepts.variables)}, or describe it here"
                    )
                variables[name] = concepts.variables[name]
            elif name in concepts.variables:
                raise TardiffError(f"{entry}: {name!r} is the name of a concept; write concept: {name}, or give it another name")
            else:
                variables[name] = own_variable(meaning, name, entry)
            places.setdefault(name, []).append(Place(item=item, scale=meaning.scale, convert=meaning.convert, texts=meaning.texts))
        found = {
            name: msgspec.structs.replace(variable, found={**variable.found, self.name: (tuple(places[name]),)})
            for name, variable in variables.items()
        }
        return concepts.serving(self.name, found, self._layout.descriptors)

    def remarks(self) -> list[str]:
        """See `Source.remarks`."""
        if self._layout.stays.patient:
            return []
        return [f"{LAYOUT} names no column stays.patient: stays count as patients, and one patient may be in two splits"]

    def stays(self) -> pd.DataFrame:
        """One row a stay; see `Source.stays`."""
        columns, frame = self._layout.stays, self._frame
        patient = _whole(frame[columns.patient]) if columns.patient else self._numbered
        found: dict[str, Any] = {
            "stay_id": self._numbered,
            "subject_id": patient,
            "minutes": self._minutes(columns.end).fillna(0.0) if columns.end else pd.Series(np.inf, frame.index),
            "age": self._numbers(columns.age),
        }
        if columns.died:
            found["died"] = flags(frame[columns.died], self._where, columns.died, self._first)
        for name, column in {"death_minute": columns.death, "discharge_minute": columns.discharge, "onset_minute": columns.onset}.items():
            if column:
                found[name] = self._minutes(column)
        if columns.end:
            found["unit_minutes"] = self._minutes(columns.end)
        if self._layout.times == "timestamps":
            found["start"] = self._starts
        if columns.label:
            found["given"] = whole(frame[columns.label], self._where, columns.label, self._first)
        if columns.split:
            found["split"] = frame[columns.split]
        if columns.set:
            found["set"] = frame[columns.set]
        if columns.patient and self._layout.times == "timestamps":
            found |= _following(patient, self._starts)
        for descriptor in self._layout.descriptors:
            column = descriptor.source_column
            if column not in found:
                found[column] = frame[column] if descriptor.kind == "categorical" else self._numbers(column)
        stays = pd.DataFrame(found)
        return stays[frame[columns.set].isin(self.sets)].reset_index(drop=True) if columns.set else stays

    def events(self, places: Sequence[Place], minutes: float, before: float = 0.0, keep: Keep = as_is) -> ibis.Table:
        """The entries of these variables; see `Source.events`."""
        columns = self._layout.events
        named = [column for column in (columns.stay, columns.time, columns.variable, columns.value, columns.available) if column]
        raw = self._tables.table(columns.file, list(dict.fromkeys(named)))
        worded = any(place.texts for place in places)
        wanted = raw.filter(text(raw[columns.variable]).isin(sorted({place.item for place in places})), text(raw[columns.value]).notnull())
        began = epoch(self._starts) if self._layout.times == "timestamps" else 0
        keys = pd.DataFrame({"key": self._frame[self._layout.stays.stay], "number": self._numbered, "start": began}).dropna()
        joined = wanted.mutate(key=text(wanted[columns.stay])).inner_join(
            ibis.memtable(pa.Table.from_pandas(keys.astype({"start": "int64"}), preserve_index=False)), "key"
        )
        minute = self._since(joined, columns.time)
        lenient = worded or columns.words_are_missing
        value = text(joined[columns.value]).try_cast("float64") if lenient else number(joined[columns.value])
        entries = joined.select(
            stay_id=joined.number,
            item=text(joined[columns.variable]),
            minute=minute,
            available_minute=ibis.greatest(minute, self._since(joined, columns.available)) if columns.available else minute,
            value=value,
            **({"text": text(joined[columns.value])} if worded else {}),
        )
        entries = entries.filter(entries.minute >= -before, entries.minute < minutes)
        return keep(entries if worded else entries.filter(entries.value.notnull()), Path(columns.file).name)

    def explain(self, error: Exception) -> TardiffError:
        """Search the long table for the first row that cannot be read."""
        columns = self._layout.events
        kind = "timestamp" if self._layout.times == "timestamps" else "float64"
        kinds = {column: kind for column in (columns.time, columns.available) if column}
        if not columns.words_are_missing and not any(item.texts for item in self._layout.variables.values()):
            kinds[columns.value] = "float64"
        if found := self._tables.unreadable(columns.file, columns.variable, list(self._layout.variables), kinds):
            return found
        return TardiffError(f"{self._raw / columns.file}: could not be read ({without_values(error)[:300]})")

    @property
    def _where(self) -> str:
        return str(self._raw / self._layout.stays.file)

    @property
    def _first(self) -> int:
        """The number of the first row of the table of stays: in CSV the header is row 1."""
        return 1 if self._layout.stays.file.endswith(".parquet") else 2

    @cached_property
    def _frame(self) -> pd.DataFrame:
        """The table of stays, as text."""
        layout = self._layout
        fields = msgspec.structs.asdict(layout.stays)
        named = [column for field, column in fields.items() if field != "file" and column]
        named += [descriptor.source_column for descriptor in layout.descriptors]
        if layout.times == "timestamps" and not layout.stays.start:
            raise TardiffError(f"{self._raw / LAYOUT}: stays.start: name the column with the start of the stay; times are timestamps")
        frame = self._tables.frame(layout.stays.file, list(dict.fromkeys(named)))
        stay = frame[layout.stays.stay]
        wrong = {f"{layout.stays.stay} is empty": stay == "", f"{layout.stays.stay} has a row already": stay.duplicated()}
        if layout.stays.patient:
            wrong[f"{layout.stays.patient} is empty"] = frame[layout.stays.patient] == ""
        for what, rows in wrong.items():
            if rows.any():
                raise TardiffError(f"{self._where}: row {int(rows.to_numpy().argmax()) + self._first}: {what}; correct or remove the row")
        return frame

    @cached_property
    def _numbered(self) -> "pd.Series[int]":
        return _whole(self._frame[self._layout.stays.stay])

    @cached_property
    def _starts(self) -> "pd.Series[Any]":
        column = self._layout.stays.start
        return times(self._frame[column], self._where, column, self._first)

    def _numbers(self, column: str) -> "pd.Series[float]":
        if not column:
            return pd.Series(np.nan, self._frame.index)
        return numbers(self._frame[column], self._where, column, self._first)

    def _minutes(self, column: str) -> "pd.Series[float]":
        """A column of times, as minutes since the start of each stay."""
        if self._layout.times == "timestamps":
            return minutes_between(self._starts, times(self._frame[column], self._where, column, self._first))
        return self._numbers(column) * (SECONDS[self._layout.times] / 60)

    def _since(self, joined: ibis.Table, column: str) -> Any:
        """The same of the long table."""
        if self._layout.times == "timestamps":
            return (seconds(joined[column]) - joined.start).cast("float64") / 60
        return number(joined[column]) * (SECONDS[self._layout.times] / 60)


class _Files(FileTables):
    """Files that the layout names in full."""

    def __init__(self, raw: Path) -> None:
        super().__init__(raw, {}, LAYOUT)

    def _find(self, name: str) -> Path:
        if not name.endswith(ENDINGS):
            raise TardiffError(f"{self._raw / LAYOUT}: file {name!r} must end in {', '.join(ENDINGS)}")
        path = self._raw / name
        if not path.exists():
            raise TardiffError(f"{path}: no such file, though {LAYOUT} names it")
        return path


def _whole(column: "pd.Series[str]") -> "pd.Series[int]":
    """Ids as whole numbers: themselves where they all are, else numbered from 1 in the order of the alphabet."""
    if column.str.fullmatch(r"\d{1,18}").all() and column.astype("int64").nunique() == column.nunique():
        return column.astype("int64")
    return pd.Series(pd.factorize(column, sort=True)[0] + 1, column.index, dtype="int64")


def _following(patient: "pd.Series[int]", start: "pd.Series[Any]") -> dict[str, "pd.Series[float]"]:
    """Which stay of the patient it is, and when the next one began."""
    by_time = pd.DataFrame({"patient": patient, "start": start}).sort_values(["patient", "start"], kind="stable")
    stays = by_time.groupby("patient")
    following = minutes_between(by_time["start"], stays["start"].shift(-1))
    return {"order": stays.cumcount().reindex(start.index).astype("float64"), "next_minute": following.reindex(start.index)}
