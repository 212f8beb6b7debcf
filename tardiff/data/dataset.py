"""The dataset folder: the only thing that crosses from `data_prep` to `tardiff`, real and synthetic alike.

A folder holds `manifest.json` and one safetensors file a split. Opening one checks all of it.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors import SafetensorError

from tardiff.base.files import new_file, new_folder, read_struct, refuse_existing, replace_file, write_arrays, write_struct
from tardiff.base.folders import DATASET
from tardiff.base.markdown import CARD
from tardiff.data.data_card import data_card
from tardiff.errors import TardiffError

SCHEMA = 2
SPLITS = ("train", "validation", "test")
DTYPES = {
    "values": np.float32,
    "mask": np.uint8,
    "static": np.float32,
    "label": np.int64,
    "stay_id": np.int64,
    "subject_id": np.int64,
    "length": np.int32,
    "origin_minute": np.int64,
}
OPTIONAL = {"synthetic": np.uint8}


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of the manifest's records: immutable, and a misspelt field is an error."""


class Channel(_Strict, frozen=True):
    """One variable over time."""

    name: str
    unit: str
    limits: tuple[float, float]
    """Plausible range in `unit`; values outside are missing when prepared, and decoding clamps to it."""
    aggregation: Literal["mean", "last", "sum", "max", "worst"]
    """What stands for the entries of one step; `worst` is the one furthest from normal (`tardiff.data.rows`)."""
    normal: float
    """The value that stands before the first observation, in `unit`."""
    kind: Literal["numeric", "ordinal"] = "numeric"
    """`ordinal` takes whole numbers only (GCS, a flag)."""


class Static(_Strict, frozen=True):
    """One descriptor of a stay. Categories are stored as their index; missing is NaN."""

    name: str
    unit: str = ""
    kind: Literal["numeric", "categorical"] = "numeric"
    limits: tuple[float, float] | None = None
    categories: tuple[str, ...] = ()


class Task(_Strict, frozen=True):
    """What the label means."""

    name: str
    rule: str
    classes: tuple[str, ...]


UNLABELLED = Task("unlabelled", "no label was read", ("any",))


class SplitInfo(_Strict, frozen=True):
    """Size of a split, and how many rows each class has."""

    rows: int
    classes: tuple[int, ...]


class AttritionStep(_Strict, frozen=True):
    """How many stays and patients remain after a rule."""

    rule: str
    stays: int
    subjects: int
    looks_ahead: bool = False
    """True if the rule uses what is known only after the prediction time."""


class TableAccount(_Strict, frozen=True):
    """What became of the entries of a raw table: read = kept + all that were lost."""

    table: str
    read: int
    kept: int
    """Entries that stand in a step of a row, or that a better one of the same step has replaced."""
    lost: dict[str, int]
    """By reason, how many entries are not in the data set."""


class Manifest(_Strict, frozen=True):
    """What a dataset folder says of itself. It holds no clock time and no absolute path."""

    source: str
    source_version: str
    channels: tuple[Channel, ...]
    statics: tuple[Static, ...]
    step_hours: float
    steps: int
    task: Task
    splits: dict[str, SplitInfo] = {}
    orderings: tuple[tuple[str, ...], ...] = ()
    """Chains of channel names whose values never decrease along the chain (diastolic, mean, systolic)."""
    attrition: tuple[AttritionStep, ...] = ()
    settings: dict[str, Any] = {}
    account: tuple[TableAccount, ...] | msgspec.UnsetType = msgspec.UNSET
    """What became of the entries of each raw table; of a prepared data set only."""
    synthetic: bool = False
    content_hash: str = ""
    schema: int = SCHEMA

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Names of the channels, in order."""
        return tuple(channel.name for channel in self.channels)

    @property
    def static_names(self) -> tuple[str, ...]:
        """Names of the static descriptors, in order."""
        return tuple(static.name for static in self.statics)

    @property
    def window_minutes(self) -> int:
        """Length of the observation window, to the minute."""
        return round(60 * self.step_hours * self.steps)


@dataclass(frozen=True)
class Split:
    """Rows of one split, in physical units.

    Attributes:
        values: float32 [N, C, T]; NaN where nothing was observed.
        mask: uint8 [N, C, T]; 1 = observed.
        static: float32 [N, S]; NaN where missing.
        label: int64 [N], an index into the task's classes.
        stay_id, subject_id: int64 [N].
        length: int32 [N], valid steps (the rest is padding).
        origin_minute: int64 [N], end of the row's observation window since the start of the stay: when the prediction is made.
        synthetic: uint8 [N], 1 = sampled, in an augmented training split; None where the rows are all of one kind.
    """

    values: NDArray[np.float32]
    mask: NDArray[np.uint8]
    static: NDArray[np.float32]
    label: NDArray[np.int64]
    stay_id: NDArray[np.int64]
    subject_id: NDArray[np.int64]
    length: NDArray[np.int32]
    origin_minute: NDArray[np.int64]
    synthetic: NDArray[np.uint8] | None = None

    @classmethod
    def of_values(cls, values: NDArray[Any], label: NDArray[Any], minutes: int, number: NDArray[Any] | None = None) -> "Split":
        """Full rows [N, C, T] of a window of so many minutes, without descriptors; each row, by its number, is a patient of its own."""
        number = (np.arange(len(label)) if number is None else number).astype(np.int64)
        length, origin = np.full(len(label), values.shape[2], np.int32), np.full(len(label), minutes, np.int64)
        known, static = np.isfinite(values).astype(np.uint8), np.zeros((len(label), 0), np.float32)
        return cls(values.astype(np.float32), known, static, label.astype(np.int64), number, number, length, origin)

    def __len__(self) -> int:
        return len(self.label)

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Whether a step is one of the row's, and no padding, [N, T]."""
        return np.arange(self.mask.shape[2]) < self.length[:, None]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays by name, as they are stored."""
        names = (*DTYPES, *(name for name in OPTIONAL if getattr(self, name) is not None))
        return {name: getattr(self, name) for name in names}

    def take(self, rows: NDArray[Any] | slice) -> "Split":
        """The rows given by an index or a boolean array; a slice copies nothing."""
        return Split(**{name: array[rows] for name, array in self.arrays().items()})

    @staticmethod
    def concatenate(splits: "list[Split]") -> "Split":
        """All rows of several splits, one after the other."""
        if any(split.synthetic is not None for split in splits):
            splits = [s if s.synthetic is not None else replace(s, synthetic=np.zeros(len(s), np.uint8)) for s in splits]
        return Split(**{name: np.concatenate([getattr(split, name) for split in splits]) for name in splits[0].arrays()})


@dataclass(frozen=True)
class Dataset:
    """A dataset folder in memory: `manifest` and its splits by name; and the folder, if its files are mapped."""

    manifest: Manifest
    splits: Mapping[str, Split]
    folder: Path | None = None

    @property
    def train(self) -> Split:
        """The training split."""
        return self.splits["train"]

    def split(self, name: str) -> Split:
        """A split by name.

        Raises:
            TardiffError: the data set has no such split.
        """
        if name not in self.splits:
            raise TardiffError(f"{self.folder or 'data set'}: has no {name} split (it has {', '.join(self.splits)})")
        return self.splits[name]

    @classmethod
    def load(cls, path: str | Path, strict: bool = True) -> "Dataset":
        """Open a dataset folder and check everything in it.

        Args:
            path: the folder.
            strict: also refuse leaks (a patient in two splits, values in the padding); an audit counts them instead.

        Raises:
            TardiffError: naming the file and the field that is wrong.
        """
        path = Path(path)
        manifest = _read_manifest(path / "manifest.json")
        splits = {}
        for name in manifest.splits:
            if name not in SPLITS:
                raise TardiffError(f"{path / 'manifest.json'}: unknown split {name!r} (known: {', '.join(SPLITS)})")
            splits[name] = _read_split(path / f"{name}.safetensors")
        dataset = cls(manifest, splits, path)
        dataset.check(str(path), strict)
        if manifest.content_hash != dataset._content_hash():
            raise TardiffError(f"{path}: the arrays do not match manifest.json's content_hash; prepare the folder again")
        return dataset

    def save(self, path: str | Path) -> "Dataset":
        """Check, then write to `path`, whole or not at all; returns the data set with its manifest completed.

        Raises:
            TardiffError: `path` exists or cannot be written, or the data break the contract.
        """
        complete = self.completed()
        complete.check(str(path))
        with new_folder(path) as folder:
            for name, split in complete.splits.items():
                write_arrays(folder / f"{name}.safetensors", split.arrays())
            if complete.manifest.synthetic:
                replace_file(folder / CARD, data_card(complete))
            write_struct(folder / "manifest.json", complete.manifest)
        return complete

    def unlabelled(self) -> "Dataset":
        """The same rows, whose labels are gone: one class that says nothing, so that one generator can serve many tasks."""
        splits = {name: replace(split, label=np.zeros_like(split.label)) for name, split in self.splits.items()}
        return replace(Dataset(msgspec.structs.replace(self.manifest, task=UNLABELLED), splits).completed(), folder=self.folder)

    def without_training_rows(self) -> "Dataset":
        """The held-out rows, and of the manifest what does not count training rows."""
        held = {name: split for name, split in self.splits.items() if name != "train"}
        return Dataset(msgspec.structs.replace(self.manifest, attrition=(), account=msgspec.UNSET), held).completed()

    def known_as(self) -> set[str]:
        """Content hashes by which models know these rows: with labels or without, and, of private training, without training rows."""
        forms = (self.completed(), self.unlabelled())
        return {data.manifest.content_hash for form in forms for data in (form, form.without_training_rows())}

    def frame(self) -> pd.DataFrame:
        """Every known descriptor and every observed value as one row of a long table.

        Columns: split, stay_id, label, hour (start of the step; NaN for a descriptor), variable, value (physical units; the
        index of a category); of an augmented data set also synthetic (1 = sampled). A record of which nothing is known has one row,
        with an empty variable and no value.
        """
        frames = []
        for name, split in self.splits.items():
            stay, static = np.nonzero(np.isfinite(split.static))
            row, channel, step = np.nonzero(split.mask)
            silent = np.setdiff1d(np.arange(len(split)), np.concatenate([stay, row]))
            nothing = np.full(len(silent), np.nan)
            rows = np.concatenate([stay, row, silent])
            frames.append(
                pd.DataFrame(
                    {
                        "split": name,
                        "stay_id": split.stay_id[rows],
                        "label": split.label[rows],
                        "hour": np.concatenate([np.full(len(stay), np.nan), step * self.manifest.step_hours, nothing]),
                        "variable": np.array((*self.manifest.static_names, *self.manifest.channel_names, ""))[
                            np.concatenate([static, channel + len(self.manifest.statics), np.full(len(silent), -1)])
                        ],
                        "value": np.concatenate([split.static[stay, static], split.values[row, channel, step], nothing.astype(np.float32)]),
                    }
                    | ({} if self.train.synthetic is None else {"synthetic": 0 if split.synthetic is None else split.synthetic[rows]})
                )
            )
        return pd.concat(frames, ignore_index=True)

    def export(self, path: str | Path) -> int:
        """Write `frame` to a .csv, .csv.gz or .parquet file, whole or not at all; returns the number of rows.

        Raises:
            TardiffError: the file exists, or its name ends otherwise.
        """
        return write_table(self.frame, path)

    def completed(self) -> "Dataset":
        """The data set with split sizes and content hash in its manifest, as saving would write it."""
        classes = len(self.manifest.task.classes)
        info = {
            name: SplitInfo(len(split), tuple(int(n) for n in np.bincount(split.label, minlength=classes)))
            for name, split in self.splits.items()
        }
        manifest = msgspec.structs.replace(self.manifest, splits=info, content_hash="")
        # Through JSON and back, for the hash must be that of the manifest as it is read (1 and 1.0 differ).
        manifest = msgspec.json.decode(msgspec.json.encode(manifest), type=Manifest)
        sized = Dataset(manifest, self.splits)
        return Dataset(msgspec.structs.replace(sized.manifest, content_hash=sized._content_hash()), self.splits)

    def _content_hash(self) -> str:
        digest = hashlib.sha256()
        digest.update(msgspec.json.encode(msgspec.structs.replace(self.manifest, content_hash="")))
        for name, split in self.splits.items():
            for key, array in split.arrays().items():
                digest.update(f"{name}/{key}{array.shape}".encode())
                digest.update(np.ascontiguousarray(array).data)
        return f"sha256:{digest.hexdigest()}"

    def refuse_changed(self) -> None:
        """Check, before a result says what it was made from, that nobody has written to the folder's files since they were opened.

        Raises:
            TardiffError: somebody has.
        """
        if self.folder is not None and self.manifest.content_hash != self._content_hash():
            raise TardiffError(f"{self.folder}: overwritten while this command read it; start again, with another --out")

    def check(self, where: str, strict: bool = True) -> None:
        """Check the contract, as `load` does; messages begin with `where`.

        Raises:
            TardiffError: naming what is wrong.
        """
        manifest = self.manifest
        for name, split in self.splits.items():
            _check_split(split, manifest, f"{where}: {name}")
            if name in manifest.splits and manifest.splits[name].rows != len(split):
                raise TardiffError(f"{where}: manifest says {manifest.splits[name].rows} {name} rows, the file has {len(split)}")
            if name != "train" and split.synthetic is not None and split.synthetic.any():
                raise TardiffError(f"{where}: {name}.synthetic: only the training split may hold synthetic rows")
        if "train" not in self.splits or len(self.train) == 0:
            raise TardiffError(f"{where}: the training split is empty; loosen the cohort's rules")
        if not manifest.synthetic:
            absent = [c for i, c in enumerate(manifest.task.classes) if not np.any(self.train.label == i)]
            if absent:
                raise TardiffError(f"{where}: no training row has class {absent[0]!r} of task {manifest.task.name}")
        if strict:
            _refuse_leaks(self, where)
        if not self.train.mask.any():
            raise TardiffError(f"{where}: nothing is observed in the training split (every value is missing)")


def write_table(table: Callable[[], pd.DataFrame], path: str | Path) -> int:
    """Write a table to a .csv, .csv.gz or .parquet file, whole or not at all; returns the number of rows.

    Raises:
        TardiffError: the file exists, or its name ends otherwise; before the table is made.
    """
    path = Path(path)
    if not path.name.endswith((".csv", ".csv.gz", ".parquet")):
        raise TardiffError(f"{path}: the name must end in .csv, .csv.gz or .parquet")
    refuse_existing(path)
    frame = table()
    with new_file(path) as temporary:
        if path.suffix == ".parquet":
            frame.to_parquet(temporary, index=False)
        else:
            frame.to_csv(temporary, index=False)
    return len(frame)


def _read_manifest(path: Path) -> Manifest:
    DATASET.check(path.parent)
    manifest = read_struct(path, Manifest)
    if manifest.schema != SCHEMA:
        raise TardiffError(f"{path}: schema {manifest.schema} is not readable by this version (it reads {SCHEMA})")
    if manifest.steps < 1 or not 0 < manifest.step_hours < np.inf or not manifest.channels or not manifest.task.classes:
        raise TardiffError(f"{path}: steps, step_hours, channels and task.classes must not be empty or below 0")
    names = manifest.channel_names + manifest.static_names
    for name in names:
        if names.count(name) > 1:
            raise TardiffError(f"{path}: two channels or statics are named {name!r}")
    for channel in manifest.channels:
        if not channel.limits[0] < channel.limits[1]:
            raise TardiffError(f"{path}: channel {channel.name}: limits {channel.limits} are not increasing")
        if not channel.limits[0] <= channel.normal <= channel.limits[1]:
            raise TardiffError(f"{path}: channel {channel.name}: normal {channel.normal:g} is outside of its limits {channel.limits}")
    for chain in manifest.orderings:
        for name in chain:
            if name not in manifest.channel_names:
                raise TardiffError(f"{path}: orderings name an unknown channel {name!r}")
    return manifest


def _read_split(path: Path) -> Split:
    """The arrays stay on disk and are read where they are touched: PyTorch's reader maps the file, NumPy's copies it."""
    from safetensors.torch import load_file

    try:
        arrays = {name: tensor.numpy() for name, tensor in load_file(path).items()}
    except FileNotFoundError as error:
        raise TardiffError(f"{path}: missing, though the manifest lists the split") from error
    except (SafetensorError, OSError, TypeError) as error:  # TypeError: a type that NumPy has not
        raise TardiffError(f"{path}: damaged ({error}); prepare the folder again") from error
    if set(arrays) - set(OPTIONAL) != set(DTYPES):
        raise TardiffError(f"{path}: holds {sorted(arrays)}, expected {sorted(DTYPES)}")
    return Split(**arrays)


def _check_split(split: Split, manifest: Manifest, where: str) -> None:
    rows, channels, steps = len(split), len(manifest.channels), manifest.steps
    shapes = {"values": (rows, channels, steps), "mask": (rows, channels, steps), "static": (rows, len(manifest.statics))}
    for name, array in split.arrays().items():
        if array.dtype != (DTYPES | OPTIONAL)[name]:
            raise TardiffError(f"{where}.{name}: dtype {array.dtype}, expected {np.dtype((DTYPES | OPTIONAL)[name])}")
        if array.shape != shapes.get(name, (rows,)):
            raise TardiffError(f"{where}.{name}: shape {array.shape}, expected {shapes.get(name, (rows,))}")
    if split.mask.size and split.mask.max() > 1:
        raise TardiffError(f"{where}.mask: holds {split.mask.max()}, expected 0 and 1 only")
    if split.synthetic is not None and split.synthetic.size and split.synthetic.max() > 1:
        raise TardiffError(f"{where}.synthetic: holds {split.synthetic.max()}, expected 0 and 1 only")
    for first in range(0, rows, 4096):  # a part at a time, for the arrays may fill the memory
        part = slice(first, first + 4096)
        wrong = np.isfinite(split.values[part]) != (split.mask[part] == 1)
        if wrong.any():
            row, channel, step = np.argwhere(wrong)[0]
            raise TardiffError(
                f"{where}.values: row {first + row}, channel {manifest.channels[channel].name}, step {step}: "
                "observed entries must be finite and unobserved ones NaN"
            )
    if np.isinf(split.static).any():
        raise TardiffError(f"{where}.static: row {np.argwhere(np.isinf(split.static))[0][0]} is infinite")
    for s, static in enumerate(manifest.statics):
        column = split.static[:, s]
        if static.kind == "categorical" and not np.isin(column[~np.isnan(column)], np.arange(len(static.categories))).all():
            raise TardiffError(f"{where}.static: {static.name} must be 0..{len(static.categories) - 1}, the index of a category, or NaN")
    if rows and not (0 <= split.label.min() and split.label.max() < len(manifest.task.classes)):
        raise TardiffError(f"{where}.label: outside 0..{len(manifest.task.classes) - 1}")
    if rows and not (1 <= split.length.min() and split.length.max() <= steps):
        raise TardiffError(f"{where}.length: outside 1..{steps}")
    if rows and split.origin_minute.min() < 1:
        raise TardiffError(f"{where}.origin_minute: holds {split.origin_minute.min()}, an observation window ends after the stay's start")


def _refuse_leaks(dataset: Dataset, where: str) -> None:
    split_of: dict[int, str] = {}
    for name, split in dataset.splits.items():
        if (split.mask.astype(bool) & ~split.valid[:, None]).any():
            raise TardiffError(f"{where}: {name}.mask: an entry beyond a row's length is marked as observed")
        if dataset.manifest.synthetic:
            continue  # its patients are numbers
        for subject in np.unique(split.subject_id).tolist():
            if subject in split_of:
                raise TardiffError(f"{where}: one patient is in both the {split_of[subject]} and the {name} split")
            split_of[subject] = name
