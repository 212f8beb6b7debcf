"""Made-up records of any size, and an untrained generator for them: no clock notices what the numbers are."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tardiff.data.codec import Codec
from tardiff.data.dataset import Channel, Dataset, Manifest, Split, Static, Task
from tardiff.data.statics import StaticModel
from tardiff.model.diffusion import noise_schedule
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.model.training import new_networks, training_card
from tardiff.settings import TrainSettings

RARE = 0.15


def made_up(rows: int, channels: int = 7, steps: int = 24) -> Dataset:
    """Noise with a task, in a training split and a validation and a test split half as large."""
    manifest = Manifest(
        source="made up",
        source_version="1",
        channels=tuple(Channel(f"channel-{c}", "", (-1e6, 1e6), "mean", 0.0) for c in range(channels)),
        statics=(Static("age", "years", limits=(0, 120)),),
        step_hours=1.0,
        steps=steps,
        task=Task("death", "died", ("survived", "died")),
    )
    sizes = {"train": rows, "validation": rows // 2, "test": rows // 2}
    return Dataset(manifest, {name: split(n, channels, steps, seed) for seed, (name, n) in enumerate(sizes.items())}).completed()


def split(rows: int, channels: int, steps: int, seed: int) -> Split:
    """Records in which the dying have higher values."""
    random = np.random.default_rng(seed)
    label = (np.arange(rows) % round(1 / RARE) == 0).astype(np.int64)
    values = random.normal(0.5 * label[:, None, None], 1.0, (rows, channels, steps))
    mask = random.random(values.shape) < 0.7
    stay: NDArray[np.int64] = np.arange(rows, dtype=np.int64) + 10**6 * (seed + 1)
    return Split(
        values=np.where(mask, values, np.nan).astype(np.float32),
        mask=mask.astype(np.uint8),
        static=random.normal(60, 10, (rows, 1)).astype(np.float32),
        label=label,
        stay_id=stay,
        subject_id=stay,
        length=np.full(rows, steps, np.int32),
        origin_minute=np.full(rows, 60 * steps),
    )


def untrained(data: Dataset, settings: TrainSettings) -> TarDiffPipeline:
    """A pipeline that was never trained, with small weights where a new network has zeros."""
    codec, statics = Codec.fit(data.train, data.manifest), StaticModel.fit(data.train, data.manifest)
    networks = new_networks(codec, statics, settings)
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        for parameter in networks.parameters():
            if not parameter.any():
                nn.init.normal_(parameter, std=0.02)
    card = training_card(data, settings, [])
    return TarDiffPipeline(networks.unet.eval(), networks.charting.eval(), noise_schedule(), codec, statics, card)
