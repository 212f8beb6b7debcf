"""tardiff's data sets as records, and back."""

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np

from experiments.peers.records import Records
from tardiff.data.dataset import Dataset, Manifest, Split
from tardiff.errors import InputError
from tardiff.evaluate.readers import read_synthetic


def without_descriptors(data: Dataset) -> Dataset:
    """No column of the table reads descriptors, and tools that take complete arrays cannot take them."""
    splits = {name: replace(split, static=split.static[:, :0]) for name, split in data.splits.items()}
    return Dataset(msgspec.structs.replace(data.manifest, statics=()), splits).completed()


def records_of(split: Split, manifest: Manifest) -> Records:
    """Stays of a split.

    Raises:
        InputError: a stay is shorter than the window; no peer knows of padding.
    """
    if (split.length < manifest.steps).any():
        raise InputError(f"stay {split.stay_id[np.argmin(split.length)]} is shorter than {manifest.steps} steps; peers take equal lengths")
    values = np.where(split.mask == 1, split.values, np.nan).astype(np.float32)
    return Records(values, split.label, manifest.channel_names, tuple(float(channel.normal) for channel in manifest.channels))


def dataset_of(path: Path, like: Dataset) -> Dataset:
    """The file of records that a peer wrote, as `tardiff evaluate` reads it.

    Args:
        path: .npz, with `x`, `label` and `channels`.
        like: the real data set, without descriptors.
    """
    return read_synthetic(path, like)
