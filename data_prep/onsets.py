"""The user's own table of onsets (of sepsis, say): a CSV or Parquet file with one row a stay."""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pyarrow.lib import ArrowException

from data_prep.sources.columns import refuse, row_of
from tardiff.base.archives import check_gzip
from tardiff.errors import TardiffError


def read_onsets(path: str | Path, stays: pd.DataFrame) -> "pd.Series[float]":
    """Minutes from the start of each stay to its onset, NaN for a stay without one; indexed as `stays`.

    The file has a column stay_id and either onset_minute (since the start of the stay) or onset_time. An empty onset is none; rows
    of stays that the source does not have are passed over.

    Args:
        path: a .csv, .csv.gz or .parquet file.
        stays: columns stay_id, and start (a time) if the file gives times.

    Raises:
        TardiffError: the file cannot be read, naming its column or row that is wrong.
    """
    table = _read(Path(path))
    name = next((name for name in ("onset_minute", "onset_time") if name in table), None)
    if "stay_id" not in table or name is None:
        raise TardiffError(f"{path}: has the columns {', '.join(map(str, table))}; expected stay_id and onset_minute or onset_time")
    first = 1 if Path(path).suffix == ".parquet" else 2  # in CSV the header is row 1
    ids = pd.to_numeric(table["stay_id"], errors="coerce")
    refuse(ids.isna() | (ids % 1 != 0), path, "stay_id is not a whole number", first)
    if ids.duplicated().any():
        raise TardiffError(f"{path}: {row_of(ids.duplicated(), first)}the stay has a row already; give one onset a stay")
    known = ids.isin(stays["stay_id"])
    if not known.any():
        raise TardiffError(f"{path}: holds no stay of this source; is it made from the same release?")
    given = table[name].where(known)

    def by_stay(column: "pd.Series[Any]") -> "pd.Series[Any]":
        return column.set_axis(ids.astype("int64")).reindex(stays["stay_id"]).set_axis(stays.index)

    if name == "onset_minute":
        minutes = pd.to_numeric(given, errors="coerce").astype("float64")
        refuse(minutes.isna() & given.notna() | np.isinf(minutes), path, f"{name} is not a number of minutes", first)
        return by_stay(minutes)
    if "start" not in stays:
        raise TardiffError(f"{path}: gives onset_time, but this source has no times of day; give onset_minute since the start of the stay")
    times = pd.to_datetime(given, errors="coerce", format=None if given.dtype.kind == "M" else "ISO8601")
    refuse(times.isna() & given.notna(), path, f"{name} is not a time such as 2150-01-31 12:30:00", first)
    return (by_stay(times) - stays["start"]) / pd.Timedelta(minutes=1)


def _read(path: Path) -> pd.DataFrame:
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        if path.name.endswith((".csv", ".csv.gz")):
            check_gzip(path)
            return pd.read_csv(path)
    except FileNotFoundError as error:
        raise TardiffError(f"{path}: no such file; --onset takes a table with stay_id and onset_minute or onset_time") from error
    except (OSError, ValueError, EOFError, zlib.error, ArrowException) as error:
        raise TardiffError(f"{path}: cannot be read ({' '.join(str(error).split())[:200]})") from error
    raise TardiffError(f"{path}: the name must end in .csv, .csv.gz or .parquet")
