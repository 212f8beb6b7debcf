"""Records with the channels and descriptors of a model: those they lack as never observed, without those the model does not know.

Only a model that goes on learning from the records, or guidance that serves them, may meet them so; everywhere else they must match
(`tardiff.data.contract`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from tardiff.data.dataset import Channel, Dataset, Static
from tardiff.errors import InputError


@dataclass(frozen=True)
class Padded:
    """Padded records.

    Attributes:
        data: channels and descriptors by name those of the model, in any order.
        lacking: names that were not there, or of which no training row has a value.
        left_out: names that the model does not know.
    """

    data: Dataset
    lacking: tuple[str, ...]
    left_out: tuple[str, ...]


def padded(data: Dataset, channels: Sequence[Channel], statics: Sequence[Static], what: str) -> Padded:
    """Add what is lacking as never observed, and leave out what is unknown."""
    manifest = data.manifest
    ours = (*(channel.name for channel in channels), *(static.name for static in statics))
    wanted = set(ours)
    kept = [[c for c, name in enumerate(names) if name in wanted] for names in (manifest.channel_names, manifest.static_names)]
    new_channels = [channel for channel in channels if channel.name not in manifest.channel_names]
    new_statics = [static for static in statics if static.name not in manifest.static_names]
    splits = {}
    for name, split in data.splits.items():
        shape = (len(split), len(new_channels), split.values.shape[-1])
        splits[name] = replace(
            split,
            values=np.concatenate([split.values[:, kept[0]], np.full(shape, np.nan, np.float32)], axis=1),
            mask=np.concatenate([split.mask[:, kept[0]], np.zeros(shape, np.uint8)], axis=1),
            static=np.concatenate([split.static[:, kept[1]], np.full((len(split), len(new_statics)), np.nan, np.float32)], axis=1),
        )
    changed = msgspec.structs.replace(
        manifest,
        channels=(*(manifest.channels[c] for c in kept[0]), *new_channels),
        statics=(*(manifest.statics[s] for s in kept[1]), *new_statics),
        orderings=tuple(chain for chain in manifest.orderings if wanted.issuperset(chain)),
    )
    train = splits["train"]
    there = np.concatenate([train.mask.any(axis=(0, 2)), np.isfinite(train.static).any(axis=0)])
    observed = dict(zip((*changed.channel_names, *changed.static_names), there.tolist(), strict=True))
    if not any(observed[channel.name] for channel in channels):
        names = ", ".join(manifest.channel_names)
        raise InputError(
            f"{what}: no channel of RUN is ever observed here (it has {', '.join(c.name for c in channels)}; here are {names})"
        )
    result = Dataset(changed, splits).completed() if changed != manifest else data
    left_out = tuple(name for name in (*manifest.channel_names, *manifest.static_names) if name not in wanted)
    return Padded(result, tuple(name for name in ours if not observed[name]), left_out)
