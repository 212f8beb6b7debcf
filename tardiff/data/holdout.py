"""Rows that are held out of a training split, to stop or to choose by."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

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


def folds(
    label: NDArray[np.int64], subject: NDArray[np.int64], count: int, random_state: int
) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Rows inside and outside of each of `count` folds, [N]; a patient is on one side. Folds that lack a class on a side are left out."""
    classes = len(np.unique(label))
    for _, outside in StratifiedGroupKFold(count, shuffle=True, random_state=random_state).split(label, label, subject):
        held = np.isin(np.arange(len(label)), outside)
        if all(len(np.unique(label[side])) == classes for side in (held, ~held)):
            yield ~held, held
