"""Data sets whose training split holds real and synthetic rows, marked as such."""

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from tardiff.data.dataset import Dataset, Split


def augmented(data: Dataset, synthetic: Split, settings: dict[str, Any] | None = None) -> Dataset:
    """The data set with synthetic rows after its real training rows; its other splits are carried over as they are.

    Args:
        data: real rows, or rows that were augmented before.
        synthetic: rows with the data set's channels and descriptors; they get stay and subject ids that no row has.
        settings: how they were made, for the manifest.
    """
    if not len(synthetic):
        return data
    used = max(int(array.max()) for split in data.splits.values() for array in (split.stay_id, split.subject_id) if len(array))
    number = used + 1 + np.arange(len(synthetic), dtype=np.int64)
    new = replace(synthetic, stay_id=number, subject_id=number, synthetic=np.ones(len(synthetic), np.uint8))
    manifest = msgspec.structs.replace(data.manifest, settings=data.manifest.settings | {"augment": settings or {}})
    return Dataset(manifest, {**data.splits, "train": Split.concatenate([data.train, new])}).completed()
