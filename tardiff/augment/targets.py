"""Targets of every kind as classes that a generator can be conditioned on, and back."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import column_or_1d

from tardiff.base.noise import stream
from tardiff.errors import InputError

FEWEST = 5
JITTER = 0.05  # standard deviations of the bin's targets
KEPT = -1

TargetKind = Literal["auto", "classification", "regression"]


@dataclass(frozen=True)
class Target:
    """A target as classes.

    Attributes:
        code: class of each row, [n]; `KEPT` for a row that is kept and never imitated.
        keys: what the user calls each class in `sampling_strategy`.
        given: the target in the form in which it came.
    """

    code: NDArray[np.int64]
    names: tuple[str, ...]
    keys: tuple[Any, ...]
    y: NDArray[Any]
    regression: bool = False
    given: Any = None

    def synthetic(self, code: NDArray[np.int64], seed: int) -> NDArray[Any]:
        """Targets of synthetic rows of the given classes, of the type of `y`.

        Of a class, its label (or row of labels). Of a bin, a real target of it, moved by a normal jitter of 5 % of the bin's
        standard deviation and kept between the bin's smallest and largest target.
        """
        if not self.regression:
            first = np.array([np.flatnonzero(self.code == c)[0] for c in range(len(self.names))])
            return self.y[first[code]]
        random = stream("synthetic targets", seed)
        drawn = np.empty(len(code))
        for c in np.unique(code):
            real = self.y[self.code == c].astype(np.float64)
            rows = code == c
            moved = random.choice(real, rows.sum()) + JITTER * real.std() * random.standard_normal(rows.sum())
            drawn[rows] = np.clip(moved, real.min(), real.max())
        return drawn.astype(self.y.dtype) if np.issubdtype(self.y.dtype, np.floating) else drawn


def read_target(y: Any, kind: TargetKind = "auto", bins: int | Sequence[float] | None = None) -> Target:
    """Classes of a target.

    Args:
        y: labels [n]; 0 and 1 [n, K] (each combination that occurs often enough is a class); or numbers [n] with `bins`.
        kind: "regression" cuts numbers into bins (five if `bins` is None).
        bins: number of quantile bins, or increasing inner edges.
    """
    if y is None:
        raise InputError("y: is None; every row needs a target")
    masked = np.ma.getmaskarray(y) if isinstance(y, np.ma.MaskedArray) else False
    return replace(_classes(np.asarray(y), masked, kind, bins), given=y)


def _classes(array: NDArray[Any], masked: NDArray[np.bool_] | bool, kind: TargetKind, bins: int | Sequence[float] | None) -> Target:
    missing = pd.isna(array) | masked | (np.isinf(array) if array.dtype.kind == "f" else False)
    if missing.any():
        raise InputError(f"y: row {np.argwhere(missing)[0][0]} is missing or not finite; every row needs a target")
    if kind == "regression" or (kind == "auto" and bins is not None):
        return _binned(column_or_1d(array), 5 if bins is None else bins)
    check_classification_targets(array)
    if type_of_target(array) == "multilabel-indicator":
        return _combinations(array)
    array = column_or_1d(array, warn=True)
    classes, code = np.unique(array, return_inverse=True)
    target = Target(code.astype(np.int64), tuple(map(str, classes)), tuple(classes.tolist()), array)
    return _checked(target)


def _combinations(y: NDArray[Any]) -> Target:
    rows, code, counts = np.unique(y, axis=0, return_inverse=True, return_counts=True)
    often = np.flatnonzero(counts >= FEWEST)[::-1]  # one-hot rows then come in the order of their classes
    new = np.full(len(rows), KEPT, dtype=np.int64)
    new[often] = np.arange(len(often))
    keys = tuple(tuple(row.tolist()) for row in rows[often])
    return _checked(Target(new[code.ravel()], tuple("".join(map(str, key)) for key in keys), keys, y))


def _binned(y: NDArray[Any], bins: int | Sequence[float]) -> Target:
    if y.dtype.kind not in "fiu":
        raise InputError("y: a regression target must be numbers")
    if isinstance(bins, (int, np.integer)):
        if bins < 2:
            raise InputError(f"bins {bins}: at least two are needed")
        edges = np.unique(np.quantile(y, np.linspace(0, 1, bins + 1)[1:-1]))
    else:
        edges = np.asarray(bins, dtype=np.float64)
        if edges.ndim != 1 or not len(edges) or (np.diff(edges) <= 0).any():
            raise InputError("bins: give a number of bins, or inner edges that increase")
    present, code = np.unique(np.searchsorted(edges, y, side="left"), return_inverse=True)
    ends = ["-inf", *(f"{edge:g}" for edge in edges), "inf"]
    names = tuple(f"({ends[b]}, {ends[b + 1]}]" for b in present)
    return _checked(Target(code.astype(np.int64), names, tuple(range(len(present))), y, regression=True))


def _checked(target: Target) -> Target:
    if len(target.names) < 2:
        what = "bin" if target.regression else "class"
        raise InputError(f"y: needs to have more than 1 {what}; all rows have one {what} only")
    counts = np.bincount(target.code[target.code != KEPT], minlength=len(target.names))
    if counts.min() < 2:
        raise InputError(f"y: class {target.names[int(counts.argmin())]} has one row; at least two are needed to imitate and to check it")
    return target
