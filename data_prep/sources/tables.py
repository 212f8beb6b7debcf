"""The raw tables of a source that publishes several: files in a folder, or tables of a database."""

import csv
import gzip
import re
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Literal, Protocol

import duckdb
import ibis
import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from data_prep.sources.columns import TextTable
from tardiff.base.archives import check_gzip
from tardiff.errors import TardiffError

Encoding = Literal["utf-8", "latin-1", "utf-16"]
LARGEST_WHOLE = 2.0**53
SHOWN, LONGEST = 5, 30
"""How many names or words a message shows, and how much of each."""
WHOLE = r"^(-?\d+)\.0+$"
"""A whole number as tables have it that were merged."""
ENDINGS = (".parquet", ".csv", ".csv.gz")
"""How a table's file may end; of several, the first that is there is read."""


Try = tuple[str, str, Callable[[Any], Any] | None]
"""A column, what is said of it, and whether what it holds is so; None: it holds nothing."""


class Tables(Protocol):
    """Where a source's raw tables are."""

    def where(self, name: str) -> str:
        """The table's place, for messages."""

    def frame(self, name: str, columns: Sequence[str]) -> TextTable:
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
        return None

    def explain(self, names: Collection[str], column: str, error: Exception) -> TardiffError:
        """What to say of an error that the database raised while these tables were read, which all have the column."""
        message = without_values(error).partition(" LINE 1:")[0]
        return TardiffError(f"{', '.join(map(self.where, names))}: could not be read ({message[:300]})")


class FileTables(Tables):
    """Tables in a publisher's folder: Parquet (a file, or a folder of parts), CSV or gzipped CSV, in subfolders or flat.

    Args:
        raw: the publisher's folder.
        folders: the subfolder of each table.
        home: where to get the files, for messages.
        encoding: of CSV files.
    """

    def __init__(self, raw: Path, folders: Mapping[str, str], home: str, encoding: Encoding = "utf-8") -> None:
        self._raw, self._folders, self._home, self._encoding = raw, folders, home, encoding

    def where(self, name: str) -> str:
        """See `Tables`."""
        return str(self._find(name))

    def frame(self, name: str, columns: Sequence[str]) -> TextTable:
        """See `Tables`."""
        path = self._find(name)
        self._check(path, columns)
        if path.suffix == ".parquet":
            return TextTable(as_text(self.table(name, columns)), str(path))
        return TextTable(_read_whole(path, columns, self._encoding), str(path), 2)  # the header is row 1

    def table(self, name: str, columns: Sequence[str]) -> ibis.Table:
        """See `Tables`."""
        path = self._find(name)
        header = self._check(path, columns)
        backend: Any = ibis.get_backend()
        if path.suffix == ".parquet":
            table = backend.read_parquet([str(part) for part in _parts(path)])
        elif backend.name == "duckdb":
            table = _read_lines(backend, path, header, columns, self._encoding)
        else:
            table = backend.read_csv(
                str(path), header=True, inferSchema=False, quote='"', escape='"', multiLine=True, encoding=self._encoding
            )
        return table.select(*columns)

    def rows(self, name: str) -> int | None:
        """See `Tables`. Parquet says how many; CSV does not."""
        path = self._find(name)
        return sum(pq.read_metadata(part).num_rows for part in _parts(path)) if path.suffix == ".parquet" else None

    def explain(self, names: Collection[str], column: str, error: Exception) -> TardiffError:
        """See `Tables`. A row that cannot be read at all is named."""
        for name in names:
            try:
                self.row(name, column, None)
            except TardiffError as found:
                return found
        return super().explain(names, column, error)

    def first_of(self, name: str, tries: Iterable[Try], item: str = "", items: Sequence[str] = ()) -> str:
        """Where the first row of a table stands that one of `tries` finds, and what is wrong with it; `item` and `items` as in `row`."""
        found = [(self.row(name, column, wrong, item, items), column, said) for column, said, wrong in tries]
        row, column, said = min(each for each in found if each[0] is not None)
        return f"{self.where(name)}: row {row}: {column} {said}"

    def row(self, name: str, column: str, wrong: Callable[[Any], Any] | None, item: str = "", items: Sequence[str] = ()) -> int | None:
        """The number, as in its file, of the first row in which a column says something `wrong`, or without it says nothing.

        Args:
            name: the table.
            column: its column.
            wrong: of what the column says.
            item: a column, if only rows matter in which it is one of `items`.
            items: as `key` has them.

        Raises:
            TardiffError: a row cannot be read at all.
        """
        path = self._find(name)
        connection = ibis.duckdb.connect(preserve_insertion_order=True)
        try:
            if path.suffix == ".parquet":
                table, first = connection.read_parquet([str(part) for part in _parts(path)]), 1
            else:
                needed = [column, *([item] if item else [])]
                table, first = _read_lines(connection, path, self._check(path, needed), needed, self._encoding), 2
            numbered = table.mutate(row_of_file=ibis.row_number() + first)
            chosen = numbered.filter(key(numbered[item]).isin(list(items))) if item else numbered
            held = chosen[column]
            found = chosen.filter(holds(held) & wrong(held) if wrong else ~holds(held)).row_of_file.min().execute()
        except duckdb.Error as error:
            raise unreadable_file(path, error) from error
        finally:
            connection.disconnect()
        return None if pd.isna(found) else int(found)

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
        header = _header(path, self._encoding)
        for column in columns:
            if column not in header:
                raise TardiffError(
                    f"{path}: the header has no column {column}; expected at least {', '.join(columns)}, separated by commas; "
                    f"{self._advice}"
                )
            if header.count(column) > 1:
                raise TardiffError(f"{path}: the header has {header.count(column)} columns {column}; {self._advice}")
        return header

    @property
    def _advice(self) -> str:
        return f"get the file from {self._home}"


class DatabaseTables(Tables):
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

    def frame(self, name: str, columns: Sequence[str]) -> TextTable:
        """See `Tables`."""
        return TextTable(as_text(self.table(name, columns)), self.where(name))

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
        return table.select(*columns)


def unreadable_file(path: Path, error: Exception) -> TardiffError:
    """What DuckDB could not read, with the row if it names one; never the row's content."""
    message = without_values(error)
    if "not utf-8 encoded" in message:
        return not_utf8(path)
    if "invalid state" in message and _mixes_line_ends(path):
        return TardiffError(f"{path}: mixes line ends (CR LF and LF); write all alike")
    if line := re.search(r"CSV Error on Line: (\d+)", message):
        columns = re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", message)
        what = f"has {columns[2]} columns, the header {columns[1]}" if columns else 'is not CSV separated by commas and quoted by "'
        return TardiffError(f"{path}: row {line[1]} {what}; correct the row or fetch the file again")
    return TardiffError(f"{path}: truncated or damaged ({message.partition(': /')[0][:200]}); fetch it again")


def not_utf8(path: Path) -> TardiffError:
    """What to say of a file in another encoding."""
    return TardiffError(f"{path}: not UTF-8; save it as UTF-8 (of a table of your own, table.yaml may name another encoding)")


def without_values(error: Exception) -> str:
    """What another library says of records, in one line, without the values that it quotes: they may be a patient's."""
    return re.sub("""'.*'|(?<=format: )".*?\"""", "'...'", " ".join(str(error).split()))


def _read_lines(backend: Any, path: Path, header: Sequence[str], columns: Sequence[str], encoding: Encoding) -> ibis.Table:
    """A CSV file in DuckDB, every column as text; what is not needed may have any name, or none, or another's."""
    types = {name if name in columns else f"column {place}": "VARCHAR" for place, name in enumerate(header)}
    table: ibis.Table = backend.read_csv(
        path, header=True, auto_detect=False, columns=types, delim=",", quote='"', escape='"', strict_mode=True, encoding=encoding
    )
    return table


def _mixes_line_ends(path: Path) -> bool:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
        begin = lines.read(1 << 24)
    return 0 < begin.count(b"\r\n") < begin.count(b"\n")


def _read_whole(path: Path, columns: Sequence[str], encoding: Encoding) -> pd.DataFrame:
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
            pa_csv.ReadOptions(use_threads=False, encoding=encoding),  # without threads, else rows have no numbers
            pa_csv.ParseOptions(newlines_in_values=True, invalid_row_handler=refuse),
            pa_csv.ConvertOptions(column_types=kinds, include_columns=list(columns), strings_can_be_null=False),
        )
    except (pa.ArrowException, OSError, EOFError, zlib.error) as error:
        if wrong:
            found = f"row {wrong[0].number} has {wrong[0].actual_columns} columns, the header {wrong[0].expected_columns}"
            raise TardiffError(f"{path}: {found}; correct the row or fetch the file again") from error
        if "invalid UTF8" in str(error):
            raise not_utf8(path) from error
        raise TardiffError(f"{path}: truncated or damaged ({without_values(error)[:200]}); fetch it again") from error
    return table.to_pandas()


def as_text(table: ibis.Table) -> pd.DataFrame:
    """A table in memory, every column as text; missing is the empty text."""
    frame: pd.DataFrame = table.select(**{name: written(table[name]) for name in table.columns}).to_pandas()
    return frame.astype(object).where(frame.notna(), "").astype(str)


def written(column: ir.Column) -> Any:
    """A column as text as a CSV file would have it: whole numbers without decimals; not a number is missing."""
    if not column.type().is_floating():
        return column.cast("string")
    fits = (column == column.floor()) & column.between(-LARGEST_WHOLE, LARGEST_WHOLE)
    return ibis.cases((column.isnan(), ibis.null("string")), (fits, column.cast("int64").cast("string")), else_=column.cast("string"))


def text(column: ir.Column) -> Any:
    """A column as text; what is empty is missing."""
    return (column if column.type().is_string() else written(column)).nullif("")


def key(column: ir.Column) -> Any:
    """A column of keys or item ids as text, as `columns.plain` has them."""
    if not column.type().is_string():
        return written(column)
    stripped = column.strip()
    return stripped.re_search(WHOLE).ifelse(stripped.re_extract(WHOLE, 1), stripped).nullif("")


def number(column: ir.Column) -> Any:
    """A column of numbers, or of numbers written as text, as float64; what is no number is missing.

    A number of 32 bits goes by way of its shortest text: 36.6 is 36.6 again, as in a CSV file.
    """
    if column.type().is_string():
        value = column.nullif("").try_cast("float64")
    else:
        value = (column.cast("string") if column.type().is_float32() else column).cast("float64")
    return value.nullif(float("nan"))


def cells(raw: ibis.Table, named: Mapping[str, str], items: Sequence[str]) -> ibis.Table:
    """A table with a column for each item as one with a row for each item: the columns `named`, item and charted.

    Args:
        raw: the table.
        named: the columns that stay, by their new names.
        items: the columns with values; those of several types as text.
    """
    values = {f"cell {item}": raw[item] for item in items}
    if len({column.type() for column in values.values()}) > 1:
        values = {cell: written(column) for cell, column in values.items()}
    wide = raw.select(**{role: raw[column] for role, column in named.items()}, **values)
    return wide.pivot_longer(ibis.selectors.cols(*values), names_to="item", names_pattern="^cell (.*)$", values_to="charted")


def most_frequent(rows: ibis.Table, *columns: str) -> str:
    """What some columns hold together, with how often, the most frequent first: 'clotted' of 'Lactate' (12) and 3 more.

    What occurs once may be about one patient, so it is counted and not shown.
    """
    counted = rows.group_by(columns).aggregate(times=rows.count())
    kinds = int(counted.count().execute())
    found = counted.filter(counted.times > 1).order_by(counted.times.desc(), *columns).limit(SHOWN).to_pyarrow().to_pylist()
    shown = [f"{' of '.join(repr(str(row[column])[:LONGEST]) for column in columns)} ({row['times']:,})" for row in found]
    more = kinds - len(found)
    return ", ".join(shown) + f" and {more:,} more" * bool(more) if shown else f"{more:,} of which none occurs twice"


def holds(column: ir.Column) -> Any:
    """Whether a column has anything to say; a NaN, or its name, says nothing."""
    if column.type().is_string():
        return column.notnull() & column.notin(["", "nan", "NaN", "NAN"])
    return column.notnull() & ~column.isnan() if column.type().is_floating() else column.notnull()


def whole(column: ir.Column) -> Any:
    """A column of whole numbers, or of whole numbers written as text, as int64; what is none is missing."""
    if column.type().is_integer():
        return column.cast("int64")
    value = number(column)
    fits = (value == value.floor()) & value.between(-LARGEST_WHOLE, LARGEST_WHOLE)
    decimal = fits.ifelse(value.cast("int64"), None)
    return column.contains(".").ifelse(decimal, column.nullif("").try_cast("int64")) if column.type().is_string() else decimal


def among(column: ir.Column, items: Sequence[str], few: bool = False) -> Any:
    """Whether a column of whole numbers, possibly written as text, is one of `items`: compared as it is stored, for speed.

    Args:
        column: the column.
        items: what it may be.
        few: the question is asked of few rows, in a later branch. DuckDB makes a join of every other one, over all rows.
    """
    chosen = list(items) if column.type().is_string() else [int(item) for item in items]
    return ibis.array(chosen).contains(column) if few else column.isin(chosen)


def _parts(path: Path) -> list[Path]:
    return sorted(path.glob("*.parquet")) if path.is_dir() else [path]


def _header(path: Path, encoding: Encoding) -> list[str]:
    """The names of the columns.

    Raises:
        TardiffError: the file cannot be read.
    """
    try:
        if path.suffix == ".parquet":
            return list(pq.read_schema(_parts(path)[0]).names)
        code = "utf-8-sig" if encoding == "utf-8" else encoding
        with gzip.open(path, "rt", encoding=code, newline="") if path.suffix == ".gz" else path.open(encoding=code, newline="") as lines:
            return next(csv.reader(lines), [])
    except UnicodeError as error:
        raise not_utf8(path) from error
    except (OSError, EOFError, zlib.error, csv.Error, IndexError, pa.ArrowException) as error:
        raise TardiffError(f"{path}: truncated or not what its name says ({error}); fetch it again") from error
