"""Rows that are held out of a training split, to stop or to choose by."""

import numpy as np
from numpy.typing import NDArray

from tardiff.base.noise import stream
from tardiff.data.dataset import Dataset

HELD_OUT = 0.2


def held_out(label: NDArray[np.int64], seed: int) -> NDArray[np.bool_]:
    """A fifth of each class, at least one row, [n]: so that rare classes can be stopped on, too."""
    order = stream("held out", seed).permutation(len(label))
    held = np.zeros(len(label), dtype=bool)
    for value in np.unique(label):
        rows = order[label[order] == value]
        held[rows[: max(1, round(HELD_OUT * len(rows)))]] = True
    return held


def with_held_out(data: Dataset, seed: int) -> Dataset:
    """The training rows in two parts: `train` to learn from and, a fifth of the patients of each class, `validation` to stop on."""
    split = data.train
    _, first, member = np.unique(split.subject_id, return_index=True, return_inverse=True)
    held = held_out(split.label[first], seed)[member]
    return Dataset(data.manifest, {"train": split.take(~held), "validation": split.take(held)}).completed()
