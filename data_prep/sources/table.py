"""Any long table: a row an entry (stay, time, variable, value), a table of stays, and `table.yaml`, which says what is what."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import ibis
import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa

from data_prep.account import AS_IS, BAD_NUMBER, BAD_TIME, EMPTY, NO_STAY, NO_TIME, NOT_ASKED, OUTSIDE, OUTSIDE_STAYS, WORD, Scans
from data_prep.concepts import Concepts, Place, Variable
from data_prep.sources import MINUTE, Source
from data_prep.sources.columns import TextTable, epoch, minutes_between, plain, refuse
from data_prep.sources.table_layout import LAYOUT, own_variable, read_layout
from data_prep.sources.tables import ENDINGS, Encoding, FileTables, Try, cells, holds, key, most_frequent, number, text
from data_prep.tasks import Value
from data_prep.times import EXAMPLE, SECONDS, seconds, zoned
from tardiff.errors import TardiffError


class Table(Source):
    """A folder with `table.yaml` and the two tables that it names, in CSV, gzipped CSV or Parquet."""

    name: ClassVar[str] = "table"
    shortest_step: ClassVar[float] = MINUTE

    def __init__(self, raw: Path, sets: tuple[str, ...] = ()) -> None:
        """Open the folder `raw`; without `sets`, every set that the stays have."""
        self._raw = raw
        self._layout = layout = read_layout(raw / LAYOUT)
        self._tables = _Files(raw, layout.encoding)
        self._kept: ibis.Table | None = None
        column = layout.stays.set
        there = tuple(sorted(set(self._listed.frame[column]))) if column else ()
        for name in sets:
            if name not in there:
                raise TardiffError(f"{raw / layout.stays.file}: no stay is of set {name!r}; --sets may name {', '.join(there) or 'none'}")
        self.sets = tuple(sorted(set(sets) or there))

    @property
    def classes(self) -> tuple[Value, ...]:
        """As `table.yaml` has them."""
        return self._layout.classes

    @property
    def given_at(self) -> str:
        """The file and column of the labels."""
        return f"{self._listed.where}: {self._layout.stays.label}"

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
        columns, found = self._layout.events, []
        if not self._layout.stays.patient:
            found = [f"{LAYOUT} names no column stays.patient: stays count as patients, and one patient may be in two splits"]
        if self._kept is None or self._layout.layout == "wide":
            return found
        lost = self._items - _distinct(self._kept)
        names = self._entries({}, ()).select("item")
        if lost and (absent := sorted(lost - _distinct(names.filter(names["item"].isin(sorted(lost)))))):
            others = most_frequent(names.filter(names["item"].notin(list(self._layout.variables))), "item")
            said = f"; the most frequent names that {LAYOUT} does not list are {others}" if others else ""
            found.append(f"{self._raw / columns.file}: no row is named {', '.join(map(repr, absent))}, which {LAYOUT} lists{said}")
        return found

    def stays(self) -> pd.DataFrame:
        """One row a stay; see `Source.stays`."""
        columns, frame = self._layout.stays, self._listed.frame
        patient = _whole(frame[columns.patient]) if columns.patient else self._numbered
        end = self._minutes(columns.end) if columns.end else pd.Series(np.inf, frame.index)
        found: dict[str, Any] = {"stay_id": self._numbered, "subject_id": patient, "minutes": end, "age": self._numbers(columns.age)}
        if columns.died:
            found["died"] = self._listed.flags(columns.died)
        for name, column in {"death_minute": columns.death, "discharge_minute": columns.discharge, "onset_minute": columns.onset}.items():
            if column:
                found[name] = self._minutes(column)
        if columns.end:
            found["unit_minutes"] = end
        if self._layout.times == "timestamps":
            found["start"] = self._starts
        found |= {
            name: frame[column] for name, column in {"given": columns.label, "split": columns.split, "set": columns.set}.items() if column
        }
        if columns.patient and self._layout.times == "timestamps":
            found |= _following(patient, self._starts)
        for descriptor in self._layout.descriptors:
            column = descriptor.source_column
            if column not in found:
                found[column] = plain(frame[column]) if descriptor.kind == "categorical" else self._numbers(column)
        stays = pd.DataFrame(found)
        return stays[frame[columns.set].isin(self.sets)].reset_index(drop=True) if columns.set else stays

    def table_of(self, place: Place) -> str:
        """See `Source.table_of`."""
        return Path(self._layout.events.file).name

    def events(self, places: Sequence[Place], minutes: float, before: float = 0.0, scans: Scans = AS_IS) -> ibis.Table:
        """The entries of these variables; see `Source.events`. Of a wide table each value is an entry."""
        columns, name = self._layout.events, Path(self._layout.events.file).name
        self._items = {place.item for place in places}
        items = sorted(self._items)
        self._lenient = {place.item for place in places if place.texts} if not columns.words_are_missing else set(items)
        named = {"stay": columns.stay, "time": columns.time, **({"available": columns.available} if columns.available else {})}
        raw = self._entries(named, items)
        lost = [(raw["item"].isnull() | raw["item"].notin(items), NOT_ASKED)] if self._layout.layout == "long" else []
        wanted = scans.losing(raw, name, [*lost, (~holds(raw.charted), EMPTY)])
        keys = {"key": plain(self._listed.frame[self._layout.stays.stay]), "number": self._numbered, "start": self._begun, "listed": True}
        listed = ibis.memtable(pa.Table.from_pandas(pd.DataFrame(keys), preserve_index=False))
        joined = wanted.mutate(key=key(wanted.stay), value=number(wanted.charted)).left_join(listed, "key")
        minute = self._since(joined, "time")
        joined = joined.mutate(minute=minute, known=self._since(joined, "available") if columns.available else minute)
        worded = any(place.texts for place in places)
        unread = joined["value"].isnull()
        faults = [
            (joined.listed.isnull(), NO_STAY),
            (joined.start.isnull(), OUTSIDE_STAYS),
            (~holds(joined.time), NO_TIME),
            (joined.minute.isnull(), BAD_TIME),
            *([(holds(joined.available) & joined.known.isnull(), BAD_TIME)] if columns.available else []),
            (unread & joined["item"].notin(sorted(self._lenient)) if self._lenient else unread, BAD_NUMBER),
            *([] if worded else [(unread, WORD)]),
            (~((joined.minute >= -before) & (joined.minute < minutes)), OUTSIDE),
        ]
        entries = scans.losing(joined, name, faults)
        slim = entries.select(
            "item",
            "minute",
            "value",
            stay_id=entries.number,
            available_minute=ibis.greatest(entries.minute, entries.known.fill_null(entries.minute)),
            **({"text": text(entries.charted)} if worded else {}),
        )
        self._kept = scans.kept(slim, name)
        return self._kept

    def explain(self, error: Exception) -> TardiffError:
        """See `Source.explain`."""
        return self._tables.explain([self._layout.events.file], self._layout.events.stay, error)

    def first(self, table: str, fault: str) -> str:
        """See `Source.first`."""
        columns = self._layout.events
        items = (
            [item for item in self._layout.variables if item not in self._lenient] if fault == BAD_NUMBER else list(self._layout.variables)
        )
        what, unread = "a number", lambda held: number(held).isnull()
        if fault == BAD_TIME and self._layout.times == "timestamps":
            what, unread = EXAMPLE[self._zone], lambda held: seconds(held, self._zone).isnull()
        known = sorted(plain(self._listed.frame[self._layout.stays.stay]))
        stranger = (columns.stay, "is no stay of the table of stays", lambda held: key(held).notin(known))
        tries: dict[str, list[Try]] = {
            NO_STAY: [stranger, (columns.stay, "is empty", None)],
            NO_TIME: [(columns.time, "is empty", None)],
            BAD_TIME: [(column, f"is not {what}", unread) for column in (columns.time, columns.available) if column],
            BAD_NUMBER: [(column, f"is not {what}", unread) for column in ([columns.value] if self._layout.layout == "long" else items)],
        }
        said = self._tables.first_of(columns.file, tries[fault], columns.variable, items)
        if fault == BAD_NUMBER:
            said += f": {self._words(items)}; in {LAYOUT}, texts gives words a number, events.words_are_missing: true makes them missing"
        return said

    def _entries(self, named: Mapping[str, str], items: Sequence[str]) -> ibis.Table:
        """The events, a row for each entry: the columns `named`, item and charted; of a wide table those of `items`."""
        columns = self._layout.events
        if self._layout.layout == "wide":
            return cells(self._tables.table(columns.file, list(dict.fromkeys([*named.values(), *items]))), named, items)
        raw = self._tables.table(columns.file, list(dict.fromkeys([*named.values(), columns.variable, columns.value])))
        kept = {role: raw[column] for role, column in named.items()}
        return raw.select(**kept, item=key(raw[columns.variable]), charted=raw[columns.value])

    def _words(self, items: Sequence[str]) -> str:
        """The most frequent values of these variables that are not numbers."""
        raw = self._entries({}, items)
        wrong = raw.filter(raw["item"].isin(items) & holds(raw.charted) & number(raw.charted).isnull())
        return most_frequent(wrong, "charted", "item")

    @cached_property
    def _listed(self) -> TextTable:
        """The table of stays."""
        layout = self._layout
        fields = msgspec.structs.asdict(layout.stays)
        named = [column for field, column in fields.items() if field != "file" and column]
        named += [descriptor.source_column for descriptor in layout.descriptors]
        if layout.times == "timestamps" and not layout.stays.start:
            raise TardiffError(f"{self._raw / LAYOUT}: stays.start: name the column with the start of the stay; times are timestamps")
        listed = self._tables.frame(layout.stays.file, list(dict.fromkeys(named)))
        listed = replace(listed, first=listed.first or 1)  # Parquet has no header
        frame, stay = listed.frame, listed.frame[layout.stays.stay]
        wrong = {
            f"{layout.stays.stay} is empty": stay.str.strip() == "",
            f"{layout.stays.stay} has a row already": plain(stay).duplicated(),
        }
        if layout.stays.patient:
            wrong[f"{layout.stays.patient} is empty"] = frame[layout.stays.patient] == ""
        for what, rows in wrong.items():
            refuse(rows, listed.where, what, listed.first)
        return listed

    @cached_property
    def _numbered(self) -> "pd.Series[int]":
        return _whole(self._listed.frame[self._layout.stays.stay])

    @cached_property
    def _zone(self) -> bool:
        """Whether times have a zone, as those of the starts of stays."""
        return zoned(self._listed.frame[self._layout.stays.start])

    @cached_property
    def _starts(self) -> "pd.Series[Any]":
        return self._listed.times(self._layout.stays.start, self._zone)

    @cached_property
    def _begun(self) -> "pd.Series[Any]":
        """When each stay began on the clock of the events: whole seconds since 1970, or numbers of the layout's unit."""
        if self._layout.times == "timestamps":
            return epoch(self._starts).astype("Int64")
        column = self._layout.stays.start
        return self._numbers(column) if column else pd.Series(0.0, self._listed.frame.index)

    def _numbers(self, column: str) -> "pd.Series[float]":
        return self._listed.numbers(column) if column else pd.Series(np.nan, self._listed.frame.index)

    def _minutes(self, column: str) -> "pd.Series[float]":
        """A column of times, as minutes since the start of each stay."""
        if self._layout.times == "timestamps":
            return minutes_between(self._starts, self._listed.times(column, self._zone))
        return (self._numbers(column) - self._begun) * (SECONDS[self._layout.times] / 60)

    def _since(self, joined: ibis.Table, column: Literal["time", "available"]) -> Any:
        """The same of the events; what cannot be read is missing."""
        if self._layout.times == "timestamps":
            where = f"{self._raw / self._layout.events.file}: {getattr(self._layout.events, column)}"
            return (seconds(joined[column], self._zone, where) - joined.start).cast("float64") / 60
        return (number(joined[column]) - joined.start) * (SECONDS[self._layout.times] / 60)


class _Files(FileTables):
    """Files that the layout names in full."""

    def __init__(self, raw: Path, encoding: Encoding) -> None:
        super().__init__(raw, {}, LAYOUT, encoding)

    @property
    def _advice(self) -> str:
        return f"correct it, or the names in {LAYOUT}"

    def _find(self, name: str) -> Path:
        if not name.endswith(ENDINGS):
            raise TardiffError(f"{self._raw / LAYOUT}: file {name!r} must end in {', '.join(sorted(ENDINGS))}")
        path = self._raw / name
        if not path.exists():
            raise TardiffError(f"{path}: no such file, though {LAYOUT} names it")
        return path


def _distinct(rows: ibis.Table) -> set[str]:
    return set(rows.select("item").distinct().to_pyarrow()["item"].to_pylist())


def _whole(column: "pd.Series[str]") -> "pd.Series[int]":
    """Ids as whole numbers: themselves where they all are, else numbered from 1 in the order of the alphabet."""
    column = plain(column)
    if column.str.fullmatch(r"\d{1,18}").all() and column.astype("int64").nunique() == column.nunique():
        return column.astype("int64")
    return pd.Series(pd.factorize(column, sort=True)[0] + 1, column.index, dtype="int64")


def _following(patient: "pd.Series[int]", start: "pd.Series[Any]") -> dict[str, "pd.Series[float]"]:
    """Which stay of the patient it is, and when the next one began."""
    by_time = pd.DataFrame({"patient": patient, "start": start}).sort_values(["patient", "start"], kind="stable")
    stays = by_time.groupby("patient")
    following = minutes_between(by_time["start"], stays["start"].shift(-1))
    return {"order": stays.cumcount().reindex(start.index).astype("float64"), "next_minute": following.reindex(start.index)}
