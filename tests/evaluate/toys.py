"""Small data sets with known answers."""

import numpy as np
from numpy.typing import NDArray

from tardiff.data.dataset import Channel, Dataset, Manifest, Split, Task

CHANNELS = (
    Channel("hr", "bpm", (0.0, 300.0), "mean", 80.0),
    Channel("dbp", "mmHg", (0.0, 200.0), "mean", 60.0),
    Channel("sbp", "mmHg", (0.0, 300.0), "mean", 120.0),
)
MEAN = np.array([80.0, 60.0, 120.0])[:, None]
MANIFEST = Manifest("toy", "1", CHANNELS, (), 1.0, 6, Task("death", "a coin", ("survived", "died")), orderings=(("dbp", "sbp"),))


def rows(n: int, seed: int, shift: float = 15.0, observed: float = 0.8, positive: float = 0.4) -> Split:
    """Records whose heart rate is `shift` bpm higher for label 1; a row is a patient."""
    random = np.random.default_rng(seed)
    label = (random.random(n) < positive).astype(np.int64)
    label[:4] = (0, 1, 0, 1)
    values = MEAN + random.normal(0, 8, (n, 3, 1)) + random.normal(0, 4, (n, 3, 6))
    values[:, 0] += shift * label[:, None]
    mask = random.random(values.shape) < observed
    return split(np.where(mask, values, np.nan), label, first=1_000_000 * seed)


def split(values: NDArray[np.floating], label: NDArray[np.int64], first: int = 0) -> Split:
    n = len(label)
    ids = first + np.arange(n, dtype=np.int64)
    mask = np.isfinite(values).astype(np.uint8)
    length = np.full(n, values.shape[2], np.int32)
    return Split(values.astype(np.float32), mask, np.zeros((n, 0), np.float32), label, ids, ids, length, 60 * length.astype(np.int64))


def real(n: int = 240, shift: float = 15.0) -> Dataset:
    return Dataset(MANIFEST, {"train": rows(n, 1, shift), "validation": rows(n // 2, 2, shift), "test": rows(n, 3, shift)})


def synthetic(part: Split) -> Dataset:
    return Dataset(MANIFEST, {"train": part})
