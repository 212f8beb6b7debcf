"""A stay as one row: its descriptors, and of each channel the mean and the worst value of its window (as in RLSyn, arXiv 2512.21395)."""

import warnings
from dataclasses import replace

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tardiff.data.dataset import Channel, Dataset, Split
from tardiff.data.resolution import WHOLE, Grid, fit_grids

MEAN, WORST = "_mean", "_worst"
"""What the names of a row's channels end in."""


def as_rows(data: Dataset) -> Dataset:
    """The data set with one step: of each channel the mean of its charted values and the worst one, which is furthest from normal.

    A mean is written at the resolution at which most of the channel's values are charted. A channel that is never charted in a
    window has neither. A data set of one step is returned as it is.
    """
    manifest = data.manifest
    if manifest.steps == 1:
        return data
    grids = [_grid(channel, data.train.values[:, c]) for c, channel in enumerate(manifest.channels)]
    changed = msgspec.structs.replace(
        manifest,
        channels=tuple(row for channel in manifest.channels for row in _channels(channel)),
        orderings=tuple(tuple(f"{name}{MEAN}" for name in chain) for chain in manifest.orderings),
        steps=1,
        step_hours=manifest.step_hours * manifest.steps,
    )
    return Dataset(changed, {name: _rows(split, manifest.channels, grids) for name, split in data.splits.items()}).completed()


def wide_table(data: Dataset) -> pd.DataFrame:
    """A data set of one step with a column a variable.

    Columns: split, stay_id, the descriptors (categories by name), the channels, label (by name); of an augmented data set also
    synthetic (1 = sampled). What is missing is empty.
    """
    manifest, frames = data.manifest, []
    for name, split in data.splits.items():
        columns: dict[str, object] = {"split": name, "stay_id": split.stay_id}
        for static, column in zip(manifest.statics, split.static.T, strict=True):
            columns[static.name] = pd.Categorical.from_codes(_codes(column), static.categories) if static.categories else column
        columns |= dict(zip(manifest.channel_names, split.values[:, :, 0].T, strict=True))
        columns["label"] = pd.Categorical.from_codes(split.label, manifest.task.classes)
        if data.train.synthetic is not None:
            columns["synthetic"] = 0 if split.synthetic is None else split.synthetic
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def _channels(channel: Channel) -> tuple[Channel, Channel]:
    mean = msgspec.structs.replace(channel, name=f"{channel.name}{MEAN}", aggregation="mean", kind="numeric")
    return mean, msgspec.structs.replace(channel, name=f"{channel.name}{WORST}", aggregation="worst")


def _grid(channel: Channel, values: NDArray[np.float32]) -> Grid:
    """The grid on which most of a channel's training values stand."""
    return WHOLE if channel.kind == "ordinal" else fit_grids(values[np.isfinite(values)].astype(np.float64))[0]


def _rows(split: Split, channels: tuple[Channel, ...], grids: list[Grid]) -> Split:
    columns = []
    for c, (channel, grid) in enumerate(zip(channels, grids, strict=True)):
        value = split.values[:, c].astype(np.float64)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Mean of empty slice")
            mean = np.nanmean(value, axis=1)
        columns.append(np.clip(grid.nearest(mean), *channel.limits))
        furthest = np.nan_to_num(np.abs(value - channel.normal), nan=-1.0).argmax(axis=1)
        columns.append(value[np.arange(len(value)), furthest])
    values = np.stack(columns, axis=1)[:, :, None].astype(np.float32)
    return replace(split, values=values, mask=np.isfinite(values).astype(np.uint8), length=np.ones(len(split), np.int32))


def _codes(column: NDArray[np.float32]) -> NDArray[np.int64]:
    return np.where(np.isfinite(column), column, -1).astype(np.int64)
