"""Columns of a raw table that were read as text, checked and converted; and which stay an entry belongs to."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from data_prep.times import EXAMPLE, any_zone, read_times
from tardiff.errors import TardiffError

FAR = 2**60
"""Seconds since 1970 that no time reaches."""
FLAGS = {"1": 1.0, "true": 1.0, "yes": 1.0, "0": 0.0, "false": 0.0, "no": 0.0}


@dataclass(frozen=True)
class TextTable:
    """A raw table that was read as text, whose columns are checked and converted.

    Attributes:
        frame: the text.
        where: the file, for messages.
        first: the number of the file's first row, if the rows are still in the file's order.
    """

    frame: pd.DataFrame
    where: str
    first: int | None = None

    def numbers(self, name: str) -> "pd.Series[float]":
        """A column of numbers (float64); what is empty is NaN.

        Raises:
            TardiffError: a text is not a number.
        """
        return self._checked(name, pd.to_numeric(self.frame[name].replace("", np.nan), errors="coerce").astype("float64"), "a number")

    def flags(self, name: str) -> "pd.Series[float]":
        """1 or 0 (float64) for 1 and 0, true and false, yes and no; what is empty is NaN. Raises as `numbers`."""
        return self._checked(name, plain(self.frame[name]).str.lower().map(FLAGS).astype("float64"), "1, 0, true, false, yes or no")

    def times(self, name: str, zone: bool = False) -> "pd.Series[Any]":
        """Times; what is empty is missing. `zone` as in `data_prep.times.read_times`. Raises as `numbers`."""
        if not zone and any_zone(self.frame[name]):
            raise TardiffError(f"{self.where}: {name} has times with a zone; write all times as local times without one")
        return self._checked(name, read_times(self.frame[name], zone), EXAMPLE[zone])

    def ids(self, name: str) -> "pd.Series[int]":
        """A column of ids (int64), none of which may be missing. Raises as `numbers`."""
        written = plain(self.frame[name])
        refuse(~written.str.fullmatch(r"\d{1,18}"), self.where, f"{name} is not a whole number", self.first)
        return written.astype("int64")

    def distinct(self, name: str) -> "TextTable":
        """The table, if no two rows have the same `name`.

        Raises:
            TardiffError: two have, naming the second.
        """
        twice = plain(self.frame[name]).duplicated()
        if twice.any():
            raise TardiffError(f"{self.where}: {row_of(twice, self.first)}its {name} stands in more than one row; remove all but one")
        return self

    def _checked(self, name: str, converted: "pd.Series[Any]", what: str) -> "pd.Series[Any]":
        """A converted column, if every text gave something. The text may be a patient's, and is not shown."""
        column = self.frame[name]
        refuse(converted.isna() & column.notna() & (column != ""), self.where, f"{name} is not {what}", self.first)
        return converted


def refuse(wrong: "pd.Series[bool]", where: str | Path, what: str, first: int | None) -> None:
    """Refuse a table with a row that is wrong; `first` as in `TextTable`."""
    if wrong.any():
        raise TardiffError(f"{where}: {row_of(wrong, first)}{what}; correct or remove the row")


def row_of(wrong: "pd.Series[bool]", first: int | None) -> str:
    """Where the first wrong row is; nothing if the rows are no longer, or never were, in the order of a file."""
    return "" if first is None else f"row {int(wrong.to_numpy().argmax()) + first}: "


def plain(column: "pd.Series[str]") -> "pd.Series[str]":
    """Keys, codes and labels without outer spaces, whole numbers without the ".0" that tables get when they are merged.

    True and false are in lower case, as Parquet has them.
    """
    text = column.str.strip().str.replace(r"^(-?\d+)\.0+$", r"\1", regex=True)
    return text.replace({word: word.lower() for word in ("True", "False", "TRUE", "FALSE")})


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
