"""The raw tables of a source that publishes several: files in a folder, or tables of a database."""

import csv
import gzip
import re
import zlib
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Protocol

import duckdb
import ibis
import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from data_prep.sources.columns import row_of
from tardiff.base.archives import check_gzip
from tardiff.errors import TardiffError

ENDINGS = (".parquet", ".csv", ".csv.gz")
"""How a table's file may end; of several, the first that is there is read."""


class Tables(Protocol):
    """Where a source's raw tables are."""

    def where(self, name: str) -> str:
        """The table's place, for messages."""

    def frame(self, name: str, columns: Sequence[str]) -> pd.DataFrame:
        """Some columns of a small table, as text; missing is the empty text.

        Raises:
            TardiffError: the table or a column is missing, or it cannot be read.
        """

    def table(self, name: str, columns: Sequence[str]) -> ibis.Table:
        """Some columns of a table, read when the expression runs. Those of a CSV file are text.

        Raises:
            TardiffError: the table or a column is missing.
        """

    def rows(self, name: str) -> int | None:
        """How many rows a table has, if that costs nothing to say."""

    def first(self, name: str) -> int | None:
        """The number, in its file, of the first row that `frame` gives; None if its rows come in no order."""


class FileTables:
    """Tables in a publisher's folder: Parquet (a file, or a folder of parts), CSV or gzipped CSV, in subfolders or flat.

    Args:
        raw: the publisher's folder.
        folders: the subfolder of each table.
        home: where to get the files, for messages.
    """

    def __init__(self, raw: Path, folders: Mapping[str, str], home: str) -> None:
        self._raw, self._folders, self._home = raw, folders, home

    def where(self, name: str) -> str:
        """See `Tables`."""
        return str(self._find(name))

    def frame(self, name: str, columns: Sequence[str]) -> pd.DataFrame:
        """See `Tables`."""
        path = self._find(name)
        self._check(path, columns)
        if path.suffix == ".parquet":
            return as_text(self.table(name, columns))
        return _read_whole(path, columns)

    def table(self, name: str, columns: Sequence[str]) -> ibis.Table:
        """See `Tables`."""
        path = self._find(name)
        header = self._check(path, columns)
        backend: Any = ibis.get_backend()
        if path.suffix == ".parquet":
            table = backend.read_parquet([str(part) for part in _parts(path)])
        elif backend.name == "duckdb":
            types = dict.fromkeys(header, "VARCHAR")
            table = backend.read_csv(
                path, header=True, auto_detect=False, columns=types, delim=",", quote='"', escape='"', strict_mode=True
            )
        else:
            table = backend.read_csv(str(path), header=True, inferSchema=False, quote='"', escape='"', multiLine=True)
        selected: ibis.Table = table.select(*columns)
        return selected

    def rows(self, name: str) -> int | None:
        """See `Tables`. Parquet says how many; CSV does not."""
        path = self._find(name)
        return sum(pq.read_metadata(part).num_rows for part in _parts(path)) if path.suffix == ".parquet" else None

    def first(self, name: str) -> int | None:
        """See `Tables`. In CSV the header is row 1."""
        return None if self._find(name).suffix == ".parquet" else 2

    def unreadable(self, name: str, key: str, items: Sequence[str] | None, kinds: Mapping[str, str]) -> TardiffError | None:
        """The first row of a CSV table in which a column is not of its kind, among rows whose `key` is one of `items` (None: all)."""
        path = self._find(name)
        if path.suffix == ".parquet":
            return None
        connection = ibis.duckdb.connect(preserve_insertion_order=True)
        try:
            names = _header(path)
            lines = connection.read_csv(path, header=True, auto_detect=False, columns=dict.fromkeys(names, "VARCHAR"), delim=",", quote='"')
            numbered = lines.mutate(row=ibis.row_number() + 2)  # the header is row 1
            holds = [text(numbered[column]) for column in kinds]
            wrong = [held.notnull() & held.try_cast(kind).isnull() for held, kind in zip(holds, kinds.values(), strict=True)]
            chosen = numbered.filter(among(numbered[key], items)) if items is not None else numbered
            found = chosen.filter(ibis.or_(*wrong)).limit(1).to_pandas()
            for column, kind in kinds.items():
                for row, value in zip(found["row"], found[column], strict=True):
                    if isinstance(value, str) and value and _try(connection, value, kind) is None:
                        what = {"timestamp": "a time", "int64": "a whole number"}.get(kind, "a number")
                        return TardiffError(f"{path}: row {row}: {column} is not {what}; correct or remove the row")
        except duckdb.Error as error:
            return unreadable_file(path, error)
        finally:
            connection.disconnect()
        return None

    def _find(self, name: str) -> Path:
        folder = self._folders[name]
        for place, spelling in product((self._raw / folder, self._raw), (name, name.lower())):
            for ending in ENDINGS:
                if (path := place / f"{spelling}{ending}").exists():
                    return path
        flat = f", nor in {self._raw} itself" if folder else ""
        raise TardiffError(
            f"{self._raw / folder / name}.csv.gz: no such file (nor .csv, .parquet{flat}); "
            f"--raw takes the publisher's folder; get it from {self._home}"
        )

    def _check(self, path: Path, columns: Sequence[str]) -> list[str]:
        header = _header(path)
        for column in columns:
            if column not in header:
                raise TardiffError(
                    f"{path}: the header has no column {column}; expected at least {', '.join(columns)}, separated by commas; "
                    f"get the file from {self._home}"
                )
        return header


class DatabaseTables:
    """Tables of a database: schema.table. The connection is the default backend of ibis.

    Args:
        schemas: the schema of each table.
        home: where to get the tables, for messages.
    """

    def __init__(self, schemas: Mapping[str, str], home: str) -> None:
        self._schemas, self._home = schemas, home

    def where(self, name: str) -> str:
        """See `Tables`."""
        return f"{self._schemas[name]}.{name}"

    def frame(self, name: str, columns: Sequence[str]) -> pd.DataFrame:
        """See `Tables`."""
        return as_text(self.table(name, columns))

    def table(self, name: str, columns: Sequence[str]) -> ibis.Table:
        """See `Tables`."""
        backend: Any = ibis.get_backend()
        try:
            table = backend.table(name, database=self._schemas[name])
        except Exception as error:  # each database has its own
            raise TardiffError(
                f"{self.where(name)}: no such table in the database; name the schemas with --schemas, or load it from {self._home}"
            ) from error
        for column in columns:
            if column not in table.columns:
                raise TardiffError(f"{self.where(name)}: the table has no column {column}; load it from {self._home}")
        selected: ibis.Table = table.select(*columns)
        return selected

    def rows(self, name: str) -> int | None:
        """See `Tables`."""
        return None

    def first(self, name: str) -> int | None:
        """See `Tables`."""
        return None


def unreadable_file(path: Path, error: Exception) -> TardiffError:
    """What DuckDB could not read, with the row if it names one; never the row's content."""
    message = without_values(error)
    if line := re.search(r"CSV Error on Line: (\d+)", message):
        columns = re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", message)
        what = f"has {columns[2]} columns, the header {columns[1]}" if columns else 'is not CSV separated by commas and quoted by "'
        return TardiffError(f"{path}: row {line[1]} {what}; correct the row or fetch the file again")
    return TardiffError(f"{path}: truncated or damaged ({message.partition(': /')[0][:200]}); fetch it again")


def distinct(frame: pd.DataFrame, column: str, where: str, first: int | None = None) -> pd.DataFrame:
    """The frame, if no two rows have the same `column`.

    Raises:
        TardiffError: two have, naming the second (`first` as in `columns.times`).
    """
    twice = frame[column].duplicated()
    if twice.any():
        raise TardiffError(f"{where}: {row_of(twice, first)}its {column} stands in more than one row; remove all but one")
    return frame


def without_values(error: Exception) -> str:
    """What another library says of records, in one line, without the values that it quotes: they may be a patient's."""
    return re.sub("""'.*'|(?<=format: )".*?\"""", "'...'", " ".join(str(error).split()))


def _read_whole(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Some columns of a small CSV file, as text. Arrow reads it, for it counts the columns of every row."""
    wrong: list[pa_csv.InvalidRow] = []

    def refuse(row: pa_csv.InvalidRow) -> str:
        wrong.append(row)
        return "error"

    kinds = dict.fromkeys(columns, pa.string())
    try:
        check_gzip(path)
        table = pa_csv.read_csv(
            path,
            pa_csv.ReadOptions(use_threads=False),  # else rows have no numbers
            pa_csv.ParseOptions(newlines_in_values=True, invalid_row_handler=refuse),
            pa_csv.ConvertOptions(column_types=kinds, include_columns=list(columns), strings_can_be_null=False),
        )
    except (pa.ArrowException, OSError, EOFError, zlib.error) as error:
        if wrong:
            found = f"row {wrong[0].number} has {wrong[0].actual_columns} columns, the header {wrong[0].expected_columns}"
            raise TardiffError(f"{path}: {found}; correct the row or fetch the file again") from error
        raise TardiffError(f"{path}: truncated or damaged ({without_values(error)[:200]}); fetch it again") from error
    frame: pd.DataFrame = table.to_pandas()
    return frame


def _try(connection: Any, value: str, kind: str) -> Any:
    result = connection.execute(ibis.literal(value).try_cast(kind))
    return None if pd.isna(result) else result


def as_text(table: ibis.Table) -> pd.DataFrame:
    """A table in memory, every column as text; missing is the empty text."""
    frame: pd.DataFrame = table.select(**{name: table[name].cast("string") for name in table.columns}).to_pandas()
    return frame.astype(object).where(frame.notna(), "").astype(str)


def text(column: ir.Column) -> Any:
    """A column as text; what is empty is missing."""
    return (column if column.type().is_string() else column.cast("string")).nullif("")


def number(column: ir.Column) -> Any:
    """A column of numbers, or of numbers written as text, as float64."""
    return (text(column) if column.type().is_string() else column).cast("float64")


def whole(column: ir.Column) -> Any:
    """A column of whole numbers, or of whole numbers written as text, as int64."""
    return (text(column) if column.type().is_string() else column).cast("int64")


def seconds(column: ir.Column) -> Any:
    """A column of times, or of times written as text, as whole seconds since 1970 (int64)."""
    return (text(column) if column.type().is_string() else column).cast("timestamp").epoch_seconds().cast("int64")


def among(column: ir.Column, items: Sequence[str]) -> Any:
    """Whether a column of whole numbers, possibly written as text, is one of `items`: compared as it is stored, for speed."""
    return column.isin(list(items) if column.type().is_string() else [int(item) for item in items])


def _parts(path: Path) -> list[Path]:
    return sorted(path.glob("*.parquet")) if path.is_dir() else [path]


def _header(path: Path) -> list[str]:
    """The names of the columns.

    Raises:
        TardiffError: the file cannot be read.
    """
    try:
        if path.suffix == ".parquet":
            return list(pq.read_schema(_parts(path)[0]).names)
        with (
            gzip.open(path, "rt", encoding="utf-8", newline="")
            if path.suffix == ".gz"
            else path.open(encoding="utf-8", newline="") as lines
        ):
            return next(csv.reader(lines), [])
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error, IndexError, pa.ArrowException) as error:
        raise TardiffError(f"{path}: truncated or not what its name says ({error}); fetch it again") from error
