"""Columns of a raw table that were read as text, checked and converted; and which stay an entry belongs to."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from tardiff.errors import TardiffError

FAR = 2**60
"""Seconds since 1970 that no time reaches."""
FLAGS = {"1": 1.0, "true": 1.0, "yes": 1.0, "0": 0.0, "false": 0.0, "no": 0.0}


def numbers(column: "pd.Series[str]", where: str, name: str, first: int | None = None) -> "pd.Series[float]":
    """Numbers (float64); what is empty is NaN.

    Args:
        column: the text.
        where: the file, for the message.
        name: the column's name, for the message.
        first: the number of the file's first row, if the column is still in the file's order.

    Raises:
        TardiffError: a text is not a number.
    """
    converted = pd.to_numeric(column.replace("", np.nan), errors="coerce").astype("float64")
    refuse(column, converted.isna(), where, name, "a number", first)
    return converted


def flags(column: "pd.Series[str]", where: str, name: str, first: int | None = None) -> "pd.Series[float]":
    """1 or 0 (float64) for 1 and 0, true and false, yes and no; what is empty is NaN. For the rest see `numbers`."""
    converted = plain(column).str.lower().map(FLAGS).astype("float64")
    refuse(column, converted.isna(), where, name, "1, 0, true, false, yes or no", first)
    return converted


def whole(column: "pd.Series[str]", where: str, name: str, first: int | None = None) -> "pd.Series[float]":
    """Whole numbers (float64); what is empty is NaN. For the rest see `numbers`."""
    converted = numbers(column, where, name, first)
    refuse(column, converted % 1 != 0, where, name, "a whole number", first)
    return converted


def plain(column: "pd.Series[str]") -> "pd.Series[str]":
    """Keys, codes and labels without outer spaces, whole numbers without the ".0" that tables get when they are merged.

    True and false are in lower case, as Parquet has them.
    """
    text = column.str.strip().str.replace(r"^(-?\d+)\.0+$", r"\1", regex=True)
    return text.replace({word: word.lower() for word in ("True", "False", "TRUE", "FALSE")})


def ids(frame: pd.DataFrame, name: str, where: str, first: int | None = None) -> "pd.Series[int]":
    """A column of ids (int64), none of which may be missing. For the rest see `numbers`."""
    written = plain(frame[name])
    wrong = ~written.str.fullmatch(r"\d{1,18}")
    if wrong.any():
        raise TardiffError(f"{where}: {row_of(wrong, first)}{name} is not a whole number; correct or remove the row")
    return written.astype("int64")


def refuse(column: "pd.Series[str]", missing: "pd.Series[bool]", where: str, name: str, what: str, first: int | None = None) -> None:
    """Refuse a column that holds a text which gave nothing; `first` as in `numbers`. The text may be a patient's, and is not shown."""
    wrong = missing & column.notna() & (column != "")
    if wrong.any():
        raise TardiffError(f"{where}: {row_of(wrong, first)}{name} is not {what}; correct or remove the row")


def row_of(wrong: "pd.Series[bool]", first: int | None) -> str:
    """Where the first wrong row is; nothing if the rows are no longer, or never were, in the order of a file."""
    return "" if first is None else f"row {int(wrong.to_numpy().argmax()) + first}: "


def minutes_between(start: Any, end: Any) -> Any:
    """Minutes from one time to another."""
    return (end - start) / pd.Timedelta(minutes=1)


def within_stays(stays: pd.DataFrame, before: float, history: bool = False) -> pa.Table:
    """When each stay began, and the minutes between which the entries of its patient are read for it.

    An entry belongs to the stay during which it was taken; what was taken before a stay belongs to it unless an earlier stay was
    still going on.

    Args:
        stays: stay_id, subject_id, start, end; an unknown end is the next start, or never.
        before: how many minutes before the start count.
        history: what was taken during an earlier stay is also the history of a later one, if it lies in those minutes.

    Returns:
        Columns stay, subject_id, start (int64, seconds since 1970); since and until (float64), between which entries are read;
        stay_since (float64), before which they are an earlier stay's; and own_since and own_until (int64, seconds since 1970), between
        which every entry of a patient belongs to exactly one of the stays.
    """
    stays = stays.dropna(subset=["start"])
    stays = stays.assign(start=stays["start"].dt.floor("s"), end=stays["end"].dt.ceil("s"))  # as the times of entries are counted
    stays = stays.sort_values(["subject_id", "start", "stay_id"])
    patient = stays.groupby("subject_id")
    following = patient["start"].shift(-1)
    end = stays["end"].fillna(following)  # of a stay whose end is unknown
    last = np.minimum(end, following.fillna(end))
    until = minutes_between(stays["start"], last).fillna(np.inf)
    earlier = minutes_between(stays["start"], last.groupby(stays["subject_id"]).shift(1))
    since = pd.Series(earlier, stays.index, dtype=np.float64).clip(lower=-before).fillna(-before).clip(upper=0.0)
    began = epoch(stays["start"]).to_numpy(np.int64)
    subject = stays["subject_id"].to_numpy(np.int64)
    own_since = np.where(pd.Series(subject).duplicated(), began + np.rint(60 * since).to_numpy(np.int64), -FAR)
    own_until = np.where(np.append(subject[1:] == subject[:-1], False), np.append(own_since[1:], FAR), FAR)
    columns = {
        "stay": stays["stay_id"].to_numpy(np.int64),
        "subject_id": subject,
        "start": began,
        "since": np.full(len(stays), -before) if history else since.to_numpy(np.float64),
        "until": until.to_numpy(np.float64),
        "stay_since": since.to_numpy(np.float64),
        "own_since": own_since,
        "own_until": own_until,
    }
    return pa.table(columns)


def epoch(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """Whole seconds since 1970."""
    return (column - pd.Timestamp(0)) // pd.Timedelta(seconds=1)
