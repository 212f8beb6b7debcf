"""RLSyn's setting: a record is its descriptors and a summary of its window, one number a variable."""

from dataclasses import replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from tardiff.data.dataset import Channel, Dataset, Split, Static


def collapse(data: Dataset) -> Dataset:
    """Each channel becomes its observed mean over the window; descriptors become channels; there is one step.

    Args:
        data: prepared with `--hours 48`, as RLSyn has it; other windows work as well.
    """
    manifest = data.manifest
    statics = tuple(_channel(static, known) for static, known in zip(manifest.statics, data.train.static.T, strict=True))
    changed = msgspec.structs.replace(
        manifest,
        channels=tuple(msgspec.structs.replace(channel, kind="numeric") for channel in manifest.channels) + statics,
        statics=(),
        steps=1,
        step_hours=manifest.step_hours * manifest.steps,
    )
    return Dataset(changed, {name: _collapsed(split) for name, split in data.splits.items()}).completed()


def _channel(static: Static, known: NDArray[np.float32]) -> Channel:
    """A missing descriptor is filled by the training rows' median."""
    usual = float(np.nanmedian(known))
    if static.kind == "categorical":
        return Channel(static.name, "", (0, max(1, len(static.categories) - 1)), "last", round(usual), kind="ordinal")
    return Channel(static.name, static.unit, static.limits or (-1e6, 1e6), "last", usual)


def _collapsed(split: Split) -> Split:
    mask = split.mask.any(axis=2)
    total = np.where(split.mask == 1, split.values, 0).sum(2, dtype=np.float64)
    mean = np.where(mask, total / np.maximum(split.mask.sum(2, dtype=np.int64), 1), np.nan)
    values: NDArray[np.float32] = np.concatenate([mean, split.static], axis=1).astype(np.float32)[:, :, None]
    return replace(
        split, values=values, mask=np.isfinite(values).astype(np.uint8), static=split.static[:, :0], length=np.ones(len(split), np.int32)
    )
