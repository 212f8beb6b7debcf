"""How times are written: one grammar for every source, in columns of text and in columns of a table that is read later.

A time is `2150-01-31 08:00:00`, shorter or with decimals, with a space or a T. A zone is an offset from UTC (`+01:00`), Z or UTC. A
clock of 12 hours, and a zone by its name, are refused: where they are not understood they would be dropped.
"""

import datetime
import re
from typing import Any

import ibis
import ibis.expr.types as ir
import pandas as pd

from data_prep.sources.columns import refuse
from tardiff.errors import TardiffError

CLOCK = r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[ T](?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,9})?)?)?"
ZONE = r" ?(?:Z|UTC|[+-](?:0[0-9]|1[0-4])(?::?[0-5][0-9])?)"
EXAMPLE = {False: "a time such as 2150-01-31 08:00:00", True: "a time with a zone such as 2150-01-31 08:00:00+01:00"}
SECONDS = {"microseconds": 1e-6, "milliseconds": 1e-3, "seconds": 1.0, "minutes": 60.0, "hours": 3600.0, "days": 86400.0}
"""Units of times that are numbers."""
USUAL = "%Y-%m-%d %H:%M:%S"
"""The form of nearly all times."""


@ibis.udf.scalar.builtin
def try_strptime(text: str, form: str) -> datetime.datetime:  # type: ignore[empty-body]
    """The time that a text of just this form gives, in DuckDB; missing if it has another."""


def zoned(column: "pd.Series[str]") -> bool:
    """Whether the first time of a column has a zone."""
    written = column[column != ""]
    return len(written) > 0 and re.fullmatch(CLOCK + ZONE, written.iloc[0]) is not None


def times(column: "pd.Series[str]", where: str, name: str, first: int | None = None, zone: bool = False) -> "pd.Series[Any]":
    """Times; what is empty is missing.

    Args:
        column: the text.
        where: the file, for the message.
        name: the column's name, for the message.
        first: the number of the file's first row, if the column is still in the file's order.
        zone: every time must have a zone, and comes back in UTC; otherwise none may have one.

    Raises:
        TardiffError: a text is not such a time.
    """
    matches = column.str.fullmatch(CLOCK + ZONE * zone)
    if not zone and column.str.fullmatch(CLOCK + ZONE).any():
        raise TardiffError(f"{where}: {name} has times with a zone; write all times as local times without one")
    converted = pd.to_datetime(
        column.where(matches, None).str.replace(" ?UTC$", "Z", regex=True), errors="coerce", format="ISO8601", utc=zone
    )
    refuse(column, converted.isna(), where, name, EXAMPLE[zone], first)
    return converted.dt.tz_convert(None) if zone else converted


def seconds(column: ir.Column, zone: bool = False, where: str = "") -> Any:
    """A column of times, or of times written as text, as whole seconds since 1970 (int64); what is no time is missing.

    Args:
        column: of times, dates or text.
        zone: as in `times`.
        where: the file and the column, for the message.

    Raises:
        TardiffError: a column of times is of another type, or has a zone where it must not, or has none where it must.
    """
    kind = column.type()
    if kind.is_string():
        matches = column.re_search(f"^{CLOCK}{ZONE * zone}$")
        if zone:
            column = column.re_replace(" ?UTC$", "Z").replace(" +", "+").replace(" -", "-")
        read = matches.ifelse(column, None).try_cast("timestamp('UTC')" if zone else "timestamp").truncate("s")
        backend: Any = ibis.get_backend(column)
        if not zone and backend.name == "duckdb":  # without a search, which takes longer than all the rest
            read = ibis.coalesce(column.like("____-__-__ __:__:__").ifelse(try_strptime(column, USUAL), None), read)
        return read.epoch_seconds().cast("int64")
    if not (kind.is_timestamp() or kind.is_date()):
        raise TardiffError(f"{where}: is of type {kind}, not of times")
    if kind.is_timestamp() and (kind.timezone is not None) != zone:
        raise TardiffError(
            f"{where}: has times {'without' if zone else 'with'} a zone, and the stays have times {'with' if zone else 'without'} one"
        )
    return (column.truncate("s") if kind.is_timestamp() else column.cast("timestamp")).epoch_seconds().cast("int64")
