"""Synthetic data of any origin, read as a data set like the real one.

Files hold physical units; channels, units, steps and task are the real data set's. Whatever does not fit is refused in one line.
"""

import sys
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyarrow.lib import ArrowException

from tardiff.base.archives import check_gzip, check_zip
from tardiff.data.dataset import SPLITS, Dataset, Manifest, Split
from tardiff.errors import TardiffError
from tardiff.evaluate.pickles import read_pickle

COLUMNS = ("split", "stay_id", "label", "hour", "variable", "value")
NUMBERS = ("label", "hour", "value")
MISSING = ["", "NA", "NaN", "nan"]
TABLES = (".csv", ".csv.gz", ".parquet")
OUTSIDE = 0.1
"""Share of a channel's values outside its limits from which on the unit is doubted."""
KINDS = "a dataset folder, .csv, .csv.gz, .parquet, .npz, .npy, .pkl or .pickle"

Array = NDArray[Any]


def read_synthetic(path: str | Path, like: Dataset) -> Dataset:
    """Open synthetic data: a dataset folder, or a file of another generator, which is taken to have what the real data set has.

    - `.csv`, `.csv.gz`, `.parquet`: the long table that `Dataset.export` writes (what it wrote comes back the same).
    - `.npz`: `x` [N, C, T] or [N, T, C] in physical units, NaN = not observed; `label` [N]; `static` [N, S] if there is any.
    - `.npy`: `x` alone, with the labels next to it in `NAME.label.npy`.
    - `.pkl`, `.pickle`: x and label in a dict, tuple or list, as TarDiff's release writes them; see `pickles`.
    """
    path = Path(path)
    if path.is_dir():
        return Dataset.load(path)
    if not path.is_file():
        raise TardiffError(f"{path}: no such file or folder")
    manifest = msgspec.structs.replace(like.manifest, synthetic=True, attrition=(), settings={})
    if path.name.endswith(TABLES):
        splits = _from_table(_read_table(path), manifest, path)
    elif path.suffix in (".npz", ".npy"):
        splits = {"train": _from_arrays(_read_arrays(path), manifest, path)}
    elif path.suffix in (".pkl", ".pickle"):
        splits = {"train": _from_arrays(_named(read_pickle(path), path), manifest, path)}
    else:
        raise TardiffError(f"{path}: cannot be read; give {KINDS}")
    dataset = Dataset(manifest, splits).completed()
    dataset.check(str(path))
    _doubt_units(dataset, path)
    return dataset


def _doubt_units(data: Dataset, path: Path) -> None:
    """Warn of channels whose values do not fit their limits: Fahrenheit for Celsius, or normal scores for any unit."""
    doubted = []
    for c, channel in enumerate(data.manifest.channels):
        low, high = channel.limits
        values = np.concatenate([split.values[:, c] for split in data.splits.values()])
        outside = np.count_nonzero((values < low) | (values > high)) / max(1, np.isfinite(values).sum())
        if outside > OUTSIDE:
            doubted.append(f"{channel.name} ({outside:.0%} outside {low:g} to {high:g} {channel.unit})")
    if doubted:
        print(f"warning: {path}: values do not fit the real data's limits, as if in another unit: {', '.join(doubted)}", file=sys.stderr)


def _read_table(path: Path) -> pd.DataFrame:
    try:
        if path.suffix == ".parquet":
            frame = pd.read_parquet(path).reset_index(drop=True)
        else:  # a variable may well be called NA
            check_gzip(path)
            frame = pd.read_csv(path, low_memory=False, keep_default_na=False, na_values=dict.fromkeys(NUMBERS, MISSING))
    except (ValueError, OSError, EOFError, zlib.error, ArrowException) as error:
        raise TardiffError(f"{path}: cannot be read as a table ({error})") from error
    missing = [column for column in COLUMNS if column not in frame]
    if missing:
        wide = "; docs/how-to/evaluate.md makes a wide table long" if {"variable", "value"} <= {*missing} and frame.shape[1] > 1 else ""
        raise TardiffError(f"{path}: no column {missing[0]!r} (it has {', '.join(map(str, frame))}; needed are {', '.join(COLUMNS)}){wide}")
    return frame


def _from_table(frame: pd.DataFrame, manifest: Manifest, path: Path) -> dict[str, Split]:
    """The splits of a long table; row numbers in messages count from 1, after the head."""
    names = manifest.channel_names + manifest.static_names
    _check_rows(~frame["split"].isin(SPLITS), frame["split"], path, f"split {{}} is none of {', '.join(SPLITS)}")
    _check_rows(frame["stay_id"].isna() | (frame["stay_id"] == ""), frame["stay_id"], path, "stay_id names no stay")
    frame = frame.assign(variable=frame["variable"].fillna(""))
    silent = (frame["variable"] == "") & frame["hour"].isna() & frame["value"].isna()  # of a record of which nothing is known
    _check_rows(~frame["variable"].isin(names) & ~silent, frame["variable"], path, "the real data have no variable {}")
    frame = frame.assign(label=_codes(frame["label"].to_numpy(), manifest))
    numbers = {}
    for column in NUMBERS:
        numbers[column] = pd.to_numeric(frame[column], errors="coerce").astype(float)
        _check_rows(numbers[column].isna() & frame[column].notna(), frame[column], path, f"{column} is no number")
    _check_rows(np.isinf(numbers["value"]), frame["value"], path, "value is infinite")
    step = numbers["hour"] / manifest.step_hours
    dynamic = frame["variable"].isin(manifest.channel_names)
    off = dynamic & ~((step.round(6) % 1 == 0) & (0 <= step) & (step < manifest.steps))
    _check_rows(off, frame["hour"], path, f"hour is not the start of one of the {manifest.steps} steps of {manifest.step_hours:g} h")
    _check_rows(~_known(numbers["label"], manifest), frame["label"], path, f"label is none of {_classes(manifest)}")
    frame = frame.assign(**numbers, step=step.where(dynamic, 0).round().astype(int))
    twice = frame.duplicated(["split", "stay_id", "variable", "step"])
    _check_rows(twice, frame["variable"], path, "{} has a value at this stay and hour already")
    return {name: _split_of(frame[frame["split"] == name], manifest, path) for name in SPLITS if (frame["split"] == name).any()}


def _split_of(frame: pd.DataFrame, manifest: Manifest, path: Path) -> Split:
    row, stays = pd.factorize(frame["stay_id"], sort=True)
    first = np.unique(row, return_index=True)[1]
    label = frame["label"].to_numpy()
    _check_rows(label != label[first][row], frame["label"], path, "its label is not that of the first row of its stay")
    values = np.full((len(stays), len(manifest.channels), manifest.steps), np.nan)
    static = np.full((len(stays), len(manifest.statics)), np.nan)
    value, step, variable = (frame[name].to_numpy() for name in ("value", "step", "variable"))
    for names, target in ((manifest.channel_names, values), (manifest.static_names, static[..., None])):
        for c, name in enumerate(names):
            of = variable == name
            target[row[of], c, step[of]] = value[of]
    ids = stays.to_numpy() if pd.api.types.is_integer_dtype(stays.dtype) else None
    return replace(Split.of_values(values, label[first], manifest.window_minutes, ids), static=static.astype(np.float32))


def _read_arrays(path: Path) -> dict[str, Array]:
    """Arrays by name; objects, which NumPy would unpickle, are refused."""
    try:
        if path.suffix == ".npz":
            check_zip(path)
            with np.load(path, allow_pickle=False) as file:
                return dict(file)
        beside = path.with_name(f"{path.stem}.label.npy")
        if not beside.is_file():
            raise TardiffError(f"{path}: has no labels; save them next to it as {beside.name}, or both as x and label in an .npz file")
        return {"x": np.load(path, allow_pickle=False), "label": np.load(beside, allow_pickle=False)}
    except TardiffError:
        raise
    except Exception as error:  # an array's head is read by Python's own parser, which fails in any way
        raise TardiffError(f"{path}: not a file of plain NumPy arrays ({error})") from error


def _named(content: Any, path: Path) -> dict[str, Array]:
    """x and label of an unpickled dict, tuple or list: by these names, or as the only arrays with three axes and with one."""
    items = content if isinstance(content, Mapping) else dict(enumerate(content)) if isinstance(content, tuple | list) else {0: content}
    if {"x", "label"} <= set(items):
        return {name: items[name] for name in ("x", "label", "static", "channels") if name in items}
    arrays = [item for item in items.values() if isinstance(item, np.ndarray)]
    found = {"x": [a for a in arrays if a.ndim == 3], "label": [a for a in arrays if a.ndim in (1, 2) and a.size == len(a)]}
    for name, candidates in found.items():
        if len(candidates) != 1:
            raise TardiffError(f"{path}: {len(candidates)} arrays could be {name}; save a dict of x [N, C, T] and label [N]")
    return {name: candidates[0] for name, candidates in found.items()}


def _from_arrays(arrays: Mapping[str, Any], manifest: Manifest, path: Path) -> Split:
    for name in ("x", "label"):
        if name not in arrays:
            raise TardiffError(f"{path}: no array {name!r} (it has {', '.join(map(str, arrays)) or 'none'})")
    try:
        numeric = {name: np.asarray(arrays[name]) for name in ("x", "label", "static") if name in arrays}
        numeric["label"] = _codes(numeric["label"], manifest)
    except ValueError as error:  # lists of unequal length
        raise TardiffError(f"{path}: x and label are no arrays ({error})") from error
    for name, array in numeric.items():
        if name == "label" and array.dtype.kind in "UO":
            row = np.flatnonzero(~np.isin(array.astype(str).reshape(-1), manifest.task.classes))[0]
            raise TardiffError(f"{path}: label, row {row}: none of {_classes(manifest)}")
        if array.dtype.kind not in "fiub":
            raise TardiffError(f"{path}: {name} holds {array.dtype}, not numbers")
    if numeric["label"].ndim > 1 and numeric["label"].size != len(numeric["label"]):
        raise TardiffError(f"{path}: label has shape {numeric['label'].shape}; needed is [N], a class a row")
    if unread := [str(name) for name in arrays if name not in ("x", "label", "static", "channels")]:
        print(f"warning: {path}: not read: {', '.join(unread)} (only x, label, static and channels are)", file=sys.stderr)
    order = _channel_order(arrays["channels"], manifest, path) if "channels" in arrays else None
    x, label = numeric["x"].astype(np.float64), numeric["label"].reshape(-1).astype(np.float64)
    channels, steps = len(manifest.channels), manifest.steps
    if x.ndim == 3 and x.shape[1:] == (steps, channels) and (channels != steps or _lies_transposed(x, manifest, path)):
        x = x.transpose(0, 2, 1)
    if x.ndim != 3 or x.shape[1:] != (channels, steps):
        raise TardiffError(
            f"{path}: x has shape {x.shape}; needed is [N, {channels}, {steps}] ({', '.join(manifest.channel_names)}; "
            f"{steps} steps of {manifest.step_hours:g} h) or [N, {steps}, {channels}]"
        )
    if order is not None:
        x = x[:, order]
    if len(label) != len(x):
        raise TardiffError(f"{path}: x has {len(x)} rows, label {len(label)}")
    if not _known(label, manifest).all():
        row = np.flatnonzero(~_known(label, manifest))[0]
        raise TardiffError(f"{path}: label, row {row}: none of {_classes(manifest)}")
    static = numeric.get("static", np.full((len(x), len(manifest.statics)), np.nan))
    if static.shape != (len(x), len(manifest.statics)):
        raise TardiffError(f"{path}: static has shape {static.shape}; needed is {(len(x), len(manifest.statics))}")
    if np.isinf(x).any():
        row, channel, step = np.argwhere(np.isinf(x))[0]
        raise TardiffError(f"{path}: x, row {row}, {manifest.channel_names[channel]}, step {step} is infinite; NaN means not observed")
    return replace(Split.of_values(x, label, manifest.window_minutes), static=static.astype(np.float32))


def _lies_transposed(x: Array, manifest: Manifest, path: Path) -> bool:
    """Of as many channels as steps: whether the limits speak for [N, T, C]; a warning says how x is read."""
    low, high = np.array([channel.limits for channel in manifest.channels]).T
    observed = np.isfinite(x)

    def fits(low: Array, high: Array) -> float:
        return float(((x >= low) & (x <= high) & observed).sum() / max(1, observed.sum()))

    transposed = fits(low, high) > fits(low[:, None], high[:, None])
    layout = "[N, steps, channels]" if transposed else "[N, channels, steps]"
    print(f"warning: {path}: x has as many channels as steps; read as {layout}, which fits the channels' limits best", file=sys.stderr)
    return transposed


def _channel_order(given: Any, manifest: Manifest, path: Path) -> list[int]:
    """Where each channel of the real data stands among the file's, which names them."""
    names = [str(name) for name in np.asarray(given).reshape(-1)]
    if sorted(names) != sorted(manifest.channel_names):
        raise TardiffError(f"{path}: channels are {', '.join(names)}; the real data have {', '.join(manifest.channel_names)}")
    return [names.index(name) for name in manifest.channel_names]


def _codes(label: Array, manifest: Manifest) -> Array:
    """Labels given as the names of classes, as their numbers; others as they are."""
    classes = manifest.task.classes
    if label.dtype.kind not in "UO" or not np.isin(label, classes).all():
        return label
    return np.array([classes.index(str(name)) for name in label.reshape(-1)])


def _known(label: Any, manifest: Manifest) -> Any:
    return np.isin(label, np.arange(len(manifest.task.classes)))


def _classes(manifest: Manifest) -> str:
    return ", ".join(f"{k} ({name})" for k, name in enumerate(manifest.task.classes))


def _check_rows(wrong: Any, values: pd.Series, path: Path, text: str) -> None:
    """Refuse the first row that is wrong; `text` says what is, with {} where the value may be shown, for it names no patient."""
    if wrong.any():
        first = values.index[np.flatnonzero(wrong)[0]]
        raise TardiffError(f"{path}: row {first + 1}: {text.replace('{}', str(values[first]), 1)}")
