"""Stays as they cross from one Python environment to another: plain arrays in a file that `tardiff evaluate` reads, too.

A peer's environment has NumPy and pandas and not tardiff, so nothing here or in `shapes.py` imports tardiff.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Records:
    """Labelled stays.

    Attributes:
        values: float32 [N, C, T], physical units; NaN where nothing was charted.
        label: int64 [N], an index into the task's classes.
        channels: names, in order.
        normal: [C], what stands before the first charted value, as in the data set's manifest.
        folder: where they were read; tardiff's own rows find their dataset folder beside them.
    """

    values: NDArray[np.float32]
    label: NDArray[np.int64]
    channels: tuple[str, ...]
    normal: tuple[float, ...]
    folder: Path | None = None

    def __len__(self) -> int:
        return len(self.label)

    @property
    def charted(self) -> NDArray[np.bool_]:
        """What was charted, [N, C, T]."""
        return ~np.isnan(self.values)

    def first(self, stays: int | None) -> "Records":
        """The first so many stays; all for None."""
        return self.like(self.values[:stays], self.label[:stays])

    def like(self, values: NDArray[Any], label: NDArray[Any]) -> "Records":
        """Other stays with these channels.

        Raises:
            ValueError: they have other channels, other steps or more or fewer labels than stays.
        """
        if values.ndim != 3 or values.shape[1:] != self.values.shape[1:] or label.shape != values.shape[:1]:
            channels, steps = self.values.shape[1:]
            raise ValueError(f"values {values.shape} and labels {label.shape} are not [N, {channels}, {steps}] and [N]")
        return Records(values.astype(np.float32), label.astype(np.int64), self.channels, self.normal, self.folder)

    def save(self, path: Path) -> None:
        """Write them as an .npz file without pickles, whole or not at all; `tardiff evaluate` reads `x`, `label` and `channels`."""
        partial = path.with_name(f"{path.name}.partial")
        with partial.open("wb") as file:
            np.savez(file, x=self.values, label=self.label, channels=np.array(self.channels), normal=np.array(self.normal))
        partial.rename(path)

    @classmethod
    def load(cls, path: Path) -> "Records":
        """What `save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            channels, normal = tuple(map(str, file["channels"])), tuple(map(float, file["normal"]))
            return cls(file["x"], file["label"], channels, normal, path.parent)
