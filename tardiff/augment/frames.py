"""Long tables, as `tardiff export` writes them, as a data set and back."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tardiff.augment.records import dataset_of
from tardiff.data.dataset import Dataset, Split, Static
from tardiff.errors import InputError

COLUMNS = ("stay_id", "hour", "variable", "value")
MOST_CATEGORIES = 12


def stays_and_labels(frame: pd.DataFrame, y: Any) -> tuple[NDArray[Any], Any]:
    """The stays, in the order in which they appear, and their targets, in that order and the form in which they came.

    Args:
        frame: columns stay_id, hour (NaN for a descriptor), variable, value; and label, unless `y` is given.
        y: a Series or DataFrame indexed by stay_id with one row a stay, or an array in the order of the stays.
    """
    missing = [name for name in (*COLUMNS, *(["label"] if y is None else [])) if name not in frame.columns]
    if missing:
        raise InputError(f"X: the table has no column {missing[0]!r} (columns as `tardiff export` writes them)")
    if not pd.api.types.is_integer_dtype(frame["stay_id"]):
        raise InputError("X: stay_id must be whole numbers, because synthetic stays get the next ones")
    stays = frame["stay_id"].unique()
    if y is None:
        labels = frame[["stay_id", "label"]].drop_duplicates()
        twice = labels["stay_id"][labels["stay_id"].duplicated()]
        if len(twice):
            raise InputError(f"X: stay {twice.iloc[0]} has two labels")
        return stays, labels["label"]
    if len(y) != len(stays):
        raise InputError(f"y: {len(y):,} targets for {len(stays):,} stays; give one a stay, as a Series indexed by stay_id")
    if not isinstance(y, (pd.Series, pd.DataFrame)):
        return stays, y
    absent = np.setdiff1d(stays, y.index)
    if len(absent):
        raise InputError(f"y: stay {absent[0]} of the table has no target; index y by stay_id")
    return stays, y.loc[stays]


def dataset_of_frame(frame: pd.DataFrame, stays: NDArray[Any], code: NDArray[np.int64], names: Sequence[str]) -> Dataset:
    """A data set with a training split only, one row a stay.

    The step is the smallest distance of two hours; a descriptor of few whole numbers is a category.
    """
    row = pd.Index(stays).get_indexer(frame["stay_id"])
    timed = frame["hour"].notna().to_numpy()
    silent = frame["value"].isna() & (frame["variable"].isna() | frame["variable"].eq(""))  # the one row of a stay without any entry
    described = ~timed & ~silent.to_numpy()
    hour = frame["hour"].to_numpy(dtype=np.float64)[timed]
    if not len(hour):
        raise InputError("X: no row has an hour; there is no time series")
    if hour.min() < 0:
        raise InputError(f"X: hour {hour.min():g} is before the start of the stay")
    gaps = np.diff(np.unique(np.append(hour, 0.0)))
    width = float(gaps.min()) if len(gaps) else 1.0
    step = np.rint(hour / width).astype(int)
    if np.abs(step * width - hour).max() > 1e-6 * max(1.0, float(hour.max())):
        raise InputError(f"X: hours do not lie on a grid of {width:g}; aggregate them to equal steps first")
    variables, channel = np.unique(frame["variable"].to_numpy(dtype=str)[timed], return_inverse=True)
    X = np.full((len(stays), len(variables), step.max() + 1), np.nan)
    place = (row[timed], channel, step)
    _refuse_twice(np.ravel_multi_index(place, X.shape), frame[timed])
    X[place] = frame["value"].to_numpy(dtype=np.float64)[timed]
    data = dataset_of(X, code, names, channels=variables.tolist())
    titles, column = np.unique(frame["variable"].to_numpy(dtype=str)[described], return_inverse=True)
    static = np.full((len(stays), len(titles)), np.nan, np.float32)
    static[row[described], column] = frame["value"].to_numpy(dtype=np.float32)[described]
    manifest = msgspec.structs.replace(
        data.manifest, statics=tuple(_static(t, static[:, s]) for s, t in enumerate(titles.tolist())), step_hours=width, source="table"
    )
    return Dataset(manifest, {"train": replace(data.train, static=static)}).completed()


def joined(frame: pd.DataFrame, data: Dataset, rows: Split, first: int, target: NDArray[Any]) -> pd.DataFrame:
    """The table, then the synthetic rows; columns keep their types, and are missing where synthetic rows cannot have them.

    Args:
        data: the data set that it was read as.
        first: their stays are numbered from here.
        target: of the synthetic rows, for a column `label`.
    """
    made = Dataset(data.manifest, {"train": rows}).frame()
    if target.ndim == 1:
        made["label"] = target[made["stay_id"].to_numpy()]
    else:  # several labels stand beside the table
        del made["label"]
    made["stay_id"] += first
    names = [name for name in made.columns if name in frame.columns]
    both = pd.concat([frame, pd.DataFrame({name: _like(made[name], frame[name]) for name in names})], ignore_index=True)
    both.attrs = dict(frame.attrs)
    return both


def _like(made: pd.Series, column: pd.Series) -> pd.Series:
    whole = pd.api.types.is_integer_dtype(column.dtype) and pd.api.types.is_float_dtype(made.dtype)
    return (made.round() if whole else made).astype(column.dtype)


def _refuse_twice(place: NDArray[np.intp], frame: pd.DataFrame) -> None:
    first, count = np.unique(place, return_index=True, return_counts=True)[1:]
    if (count > 1).any():
        row = frame.iloc[first[count > 1][0]]
        raise InputError(f"X: stay {row['stay_id']} has two values of {row['variable']} at hour {row['hour']:g}")


def _static(name: str, column: NDArray[np.float32]) -> Static:
    known = column[np.isfinite(column)]
    whole = len(known) and (known == np.rint(known)).all() and 0 <= known.min() and known.max() < MOST_CATEGORIES
    if whole:
        return Static(name, kind="categorical", categories=tuple(str(k) for k in range(int(known.max()) + 1)))
    return Static(name)
