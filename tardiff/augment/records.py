"""Arrays of records as a data set, so that everything else reads the same thing whatever the user handed in."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tardiff.data.dataset import Channel, Dataset, Manifest, Split, Task
from tardiff.errors import InputError

HAIR = 1e-6
MOST = float(np.finfo(np.float32).max)
UNEQUAL = "X: records have different lengths; pad the shorter ones with NaN"
MASKS = "X: a list of masked arrays would lose its masks; give one masked array, np.ma.stack(X)"


def checked_array(X: Any) -> NDArray[np.floating]:
    """X as floats [n, channels, time]; NaN is missing, and so is what a masked array masks."""
    array = _floats(X)
    if array.ndim != 3:
        raise InputError(f"X: has {array.ndim} dimensions; records are [n, channels, time] (Reshape your data: X[:, :, None] is one step)")
    if 0 in array.shape:
        raise InputError(f"X: shape {array.shape} has no rows, channels or steps")
    if np.isinf(array).any():
        raise InputError(f"X: {_place(np.isinf(array))} is infinite; missing values are NaN")
    with np.errstate(invalid="ignore"):
        if (large := np.abs(array) > MOST).any():
            raise InputError(f"X: {_place(large)} is {array[large][0]:g}, more than single precision holds ({MOST:.3g}); change the unit")
    return array


def _floats(X: Any) -> NDArray[np.floating]:
    if isinstance(X, np.ma.MaskedArray):
        kind = X.dtype if np.issubdtype(X.dtype, np.floating) else np.float64
        return np.ma.filled(X.astype(kind), np.nan)
    if isinstance(X, (list, tuple)) and any(isinstance(record, np.ma.MaskedArray) for record in X):
        raise InputError(MASKS)
    try:
        array = np.asarray(X)
        if array.dtype.kind == "O" and array.ndim == 1:  # a record an entry
            array = np.stack([np.asarray(record) for record in array])
    except ValueError as error:
        raise InputError(UNEQUAL) from error
    if array.dtype.kind == "O" and any(isinstance(entry, (list, tuple, np.ndarray)) for entry in array.flat):
        raise InputError(UNEQUAL)
    if array.dtype.kind in "cmMV":
        raise InputError(f"X: holds {array.dtype}, no numbers")
    try:
        return array if array.dtype.kind == "f" else array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"X: holds something that is no number ({error})") from error


def _place(wrong: NDArray[np.bool_]) -> str:
    row, channel, step = np.argwhere(wrong)[0]
    return f"row {row}, channel {channel}, step {step}"


def dataset_of(
    X: NDArray[np.floating],
    code: NDArray[np.int64],
    names: Sequence[str],
    channels: Sequence[str] | None = None,
    units: Sequence[str] | None = None,
    step_hours: float | None = None,
) -> Dataset:
    """A data set with a training split only; limits, normal values and whole-number channels are those of the rows themselves.

    Args:
        X: [n, C, T].
        code: [n], 0 .. classes - 1.
    """
    titles = [f"channel {c}" for c in range(X.shape[1])] if channels is None else list(channels)
    if len(titles) != X.shape[1] or len(set(titles)) < len(titles):
        raise InputError(f"channels: {len(set(titles))} different names for {X.shape[1]} channels")
    if units is not None and len(units) != len(titles):
        raise InputError(f"units: {len(units)} units for {len(titles)} channels")
    manifest = Manifest(
        source="array",
        source_version="",
        channels=tuple(_channel(title, X[:, c], units[c] if units else "") for c, title in enumerate(titles)),
        statics=(),
        step_hours=float(step_hours or 1.0),
        steps=X.shape[2],
        task=Task("target", "given with the rows", tuple(names)),
    )
    return Dataset(manifest, {"train": Split.of_values(X, code, 60 * X.shape[2])}).completed()


def _channel(name: str, values: NDArray[np.floating], unit: str) -> Channel:
    observed = values[np.isfinite(values)].astype(np.float32)
    if not len(observed):
        raise InputError(f"X: {name} is never observed in these rows (every value is NaN); leave it out")
    low, high = float(observed.min()), float(observed.max())
    air = HAIR * max(1.0, abs(low), abs(high)) if low == high else 0.0
    whole = bool((observed == np.rint(observed)).all())
    return Channel(name, unit, (low - air, high + air), "last", float(np.median(observed)), kind="ordinal" if whole else "numeric")
