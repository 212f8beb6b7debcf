"""The two shapes that peers take, and the way back: tables of one row a stay and hour, and complete arrays.

Values and charting come back as they were; the tests hold that.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments.peers.records import Records

STAY, LABEL = "stay", "label"
Shape = Literal["standard", "unit"]


def stays_table(label: NDArray[np.int64]) -> pd.DataFrame:
    """One row a stay: its number and, as a category, its label; the context of the long table."""
    return pd.DataFrame({STAY: np.arange(len(label)), LABEL: label.astype(str)})


def long_table(records: Records) -> pd.DataFrame:
    """One row a stay and hour, in their order; a column a channel, NaN where nothing was charted."""
    stays, _, steps = records.values.shape
    cells = records.values.transpose(0, 2, 1).reshape(stays * steps, -1).astype(np.float64)
    return pd.DataFrame({STAY: np.repeat(np.arange(stays), steps), **dict(zip(records.channels, cells.T, strict=True))})


def from_long_table(table: pd.DataFrame, label: NDArray[np.int64], like: Records) -> Records:
    """Stays of a long table, whose rows of one stay stand in the order of their hours, not necessarily together.

    A stay with fewer rows than hours was charted no more after them, and one without any was never charted; rows beyond the last hour
    are left out.

    Args:
        table: with the columns of `long_table`, of stays 0 .. N - 1.
        label: of each stay, [N].
        like: stays with these channels and hours.

    Raises:
        ValueError: the table has a stay that has no label.
    """
    _, channels, steps = like.values.shape
    stay = table[STAY].astype(np.int64).to_numpy()
    if len(stay) and not 0 <= stay.min() <= stay.max() < len(label):
        raise ValueError(f"stays {stay.min()} to {stay.max()} of the table, {len(label)} labels")
    hour = table.groupby(STAY, sort=False).cumcount().to_numpy()
    values = np.full((len(label), channels, steps), np.nan)
    kept = hour < steps
    for c, name in enumerate(like.channels):
        values[stay[kept], c, hour[kept]] = pd.to_numeric(table[name]).to_numpy(np.float64, na_value=np.nan)[kept]
    return like.like(values, label)


def filled(records: Records) -> NDArray[np.float64]:
    """Values carried forward, [N, C, T]; the channel's normal value stands before the first one."""
    charted = records.charted
    last = np.maximum.accumulate(np.where(charted, np.arange(charted.shape[2]), -1), axis=2)
    carried = np.take_along_axis(records.values, np.maximum(last, 0), axis=2).astype(np.float64)
    return np.where(last >= 0, carried, np.array(records.normal)[:, None])


@dataclass(frozen=True)
class Complete:
    """Complete arrays [N, T, 2 C] for tools that take no gaps: values carried forward, then the mask as further channels.

    Attributes:
        shift, scale: of each channel's values, [C], fitted on training stays.
        low, high: what stands for not charted and charted; between them the border is half way.
    """

    shift: NDArray[np.float64]
    scale: NDArray[np.float64]
    low: float
    high: float

    @classmethod
    def fit(cls, records: Records, shape: Shape) -> "Complete":
        """Values of mean 0 and deviation 1 with a mask of -1 and 1 (`standard`), or everything between 0 and 1 (`unit`)."""
        values = filled(records)
        if shape == "standard":
            shift, scale, low = values.mean((0, 2)), values.std((0, 2)), -1.0
        else:
            shift, scale, low = values.min((0, 2)), np.ptp(values, (0, 2)), 0.0
        return cls(shift, np.where(scale > 0, scale, 1.0), low, 1.0)

    def encode(self, records: Records) -> NDArray[np.float32]:
        """Stays as complete arrays, [N, T, 2 C]."""
        values = (filled(records) - self.shift[:, None]) / self.scale[:, None]
        mask = np.where(records.charted, self.high, self.low)
        return np.concatenate([values, mask], axis=1).transpose(0, 2, 1).astype(np.float32)

    def decode(self, cube: NDArray[np.floating], label: NDArray[np.int64], like: Records) -> Records:
        """Complete arrays [N, T, 2 C] as stays: values where the mask's channel is nearer to charted."""
        values, mask = np.split(np.asarray(cube, np.float64).transpose(0, 2, 1), 2, axis=1)
        charted = mask > (self.low + self.high) / 2
        return like.like(np.where(charted, values * self.scale[:, None] + self.shift[:, None], np.nan), label)
