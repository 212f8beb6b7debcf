"""The label that comes with the records: which class a written value is, and which of a stay's labels have a row."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from data_prep.sources.columns import FLAGS, plain
from data_prep.tasks import Value
from tardiff.errors import TardiffError

BINARY = {"0": 0.0, "1": 1.0, "false": 0.0, "true": 1.0}
"""What labels may be if nobody lists the classes."""
SHOWN = 5
"""Values that a message shows."""


def class_codes(given: "pd.Series[str]", classes: Sequence[Value], where: str) -> tuple["pd.Series[float]", tuple[str, ...]]:
    """The class of each label, and the names of the classes in order.

    Numbers are the same however they are written (1, 1.0), and so are true and false.

    Args:
        given: labels as written; the empty text is unknown.
        classes: the values in order; empty for 0 and 1 (or false and true).
        where: the file, for the message.

    Returns:
        The index of each label's class (float64, NaN unknown) and the names.

    Raises:
        TardiffError: a label is none of the classes, naming what was found.
    """
    names = tuple(plain(pd.Series([str(value)]))[0] for value in classes)
    if classes and (len(names) < 2 or len(set(names)) < len(names)):
        raise TardiffError(f"{where}: classes {', '.join(names)}: give two or more, each once")
    code_of = {name: float(code) for code, name in enumerate(names)} or BINARY
    written = plain(given)
    codes = written.map(code_of).astype("float64")
    unlisted = codes.isna() & (written != "")
    if unlisted.any():
        found = sorted(set(written[written != ""]))
        wanted = f"none but {', '.join(names)} are listed as classes" if names else "not 0 and 1"
        number = pd.to_numeric(pd.Series(found), errors="coerce")
        if (number % 1 != 0).any() and number.notna().all():
            hint = "for a number to predict write a task with a limit, label: {column: given, above: LIMIT} (docs/reference/tasks.md)"
        else:
            hint = "list all values in order as classes, in table.yaml or in a task of your own (docs/reference/tasks.md)"
        raise TardiffError(f"{where}: the labels are {shown(found)}: {wanted}; {hint}")
    return codes, names or ("0", "1")


def shown(values: Sequence[str]) -> str:
    """A few of them, for a message."""
    return ", ".join(value[:40] for value in values[:SHOWN]) + ", ..." * (len(values) > SHOWN)


def readable(given: "pd.Series[str]") -> "pd.Series[float] | pd.Series[str]":
    """Labels as numbers (float64) if each of them is one, true or false; else as written."""
    written = plain(given)
    number = pd.to_numeric(written.replace("", np.nan), errors="coerce").fillna(written.map(FLAGS)).astype("float64")
    return given if (number.isna() & (written != "")).any() else number


def chosen_labels(stays: pd.DataFrame, which: Literal["first", "last", "all"]) -> pd.DataFrame:
    """One row a label: of the labels of one stay the first or the last in time, or all.

    Args:
        stays: stay_id, given and given_minute; a stay with several labels has several rows.
        which: the rule. With `all`, rows are numbered anew where a stay has several: each counts as a stay of its own, and
            `events_of` names the stay whose records it reads.

    Raises:
        TardiffError: two labels of a stay at one time differ.
    """
    if not stays["stay_id"].duplicated().any():
        return stays
    stays = stays.drop_duplicates(["stay_id", "given_minute", "given"], ignore_index=True)
    if stays.duplicated(["stay_id", "given_minute"]).any():
        raise TardiffError("labels: a stay has two labels at one time, and they differ; remove one")
    by_time = stays.sort_values(["stay_id", "given_minute"], kind="stable")
    if which == "all":
        return by_time.assign(events_of=by_time["stay_id"], stay_id=np.arange(1, len(by_time) + 1)).reset_index(drop=True)
    return by_time.drop_duplicates("stay_id", keep=which).reset_index(drop=True)
