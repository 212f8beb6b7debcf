"""How times are written: one grammar for every source, in columns of text and in columns of a table that is read later.

A time is `2150-01-31 08:00:00`, shorter or with decimals, with a space or a T. A zone is an offset from UTC (`+01:00`), Z or UTC. A
clock of 12 hours, and a zone by its name, are refused: where they are not understood they would be dropped.
"""

import datetime
from typing import Any

import ibis
import ibis.expr.types as ir
import pandas as pd

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
    return any_zone(column[column != ""].iloc[:1])


def any_zone(column: "pd.Series[str]") -> bool:
    """Whether some time of a column has a zone."""
    return bool(column.str.fullmatch(CLOCK + ZONE).any())


def read_times(column: "pd.Series[str]", zone: bool = False) -> "pd.Series[Any]":
    """The times of a column of text; what is no time is missing.

    Args:
        column: the text.
        zone: every time must have a zone, and comes back in UTC; otherwise none may have one.
    """
    matches = column.str.fullmatch(CLOCK + ZONE * zone)
    converted = pd.to_datetime(
        column.where(matches, None).str.replace(" ?UTC$", "Z", regex=True), errors="coerce", format="ISO8601", utc=zone
    )
    return converted.dt.tz_convert(None) if zone else converted


def seconds(column: ir.Column, zone: bool = False, where: str = "") -> Any:
    """A column of times, or of times written as text, as whole seconds since 1970 (int64); what is no time is missing.

    Args:
        column: of times, dates or text.
        zone: as in `read_times`.
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
