"""Parts of the generator that are left out, one at a time, while it is trained and sampled: what each of them is for."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch

from tardiff.data import codec
from tardiff.data.resolution import FREE, Grid
from tardiff.model import charting, training, unet
from tardiff.model.diffusion import TIMESTEPS
from tardiff.settings import TrainSettings

Replaced = tuple[ModuleType | type, dict[str, Any]]

_character, _before, _attend, _uniform = unet.character, unet.before, unet.Attention.forward, training.uniform
_FINEST = TrainSettings().widths[0]

KNOCK_OUTS: Mapping[str, Replaced] = {
    "the record's character": (unet, {"character": lambda *read: torch.zeros_like(_character(*read))}),
    "charted neighbours": (
        unet,
        {
            "before": lambda x_t, charted: torch.zeros_like(x_t),
            "character": lambda x_t, earlier, charted: _character(x_t, _before(x_t, charted), charted),
        },
    ),
    "attention at the finest level": (
        unet.Attention,
        {"forward": lambda self, h: torch.zeros_like(h) if h.shape[1] == _FINEST else _attend(self, h)},
    ),
    "moved rows": (training, {"SHIFT": 0.0, "STRETCH": 0.0}),
    "more steps of low noise": (training, {"training_timesteps": lambda chance: (chance * TIMESTEPS).long()}),
    "preferred digits": (Grid, {"fitted": lambda self, value: self}),
    "grids": (codec, {"channel_grids": lambda value: (FREE,)}),
    "hidden units of charting": (training, {"HIDDEN": 0.0}),
    "charting of channels by each other": (
        charting.Within,
        {
            "forward": lambda self, symbols: symbols.new_zeros(*symbols.shape[:2], self.channels, self.out_features // self.channels),
            "of": lambda self, c, symbols: symbols.new_zeros(len(symbols), self.out_features // self.channels),
        },
    ),
    "charting's attention": (charting.ChartingModel, {"_context": lambda self, read, memory: self.enter(read)}),
}
"""By the part: where it stands, and what takes its place."""


@contextmanager
def without(part: str | None) -> Iterator[None]:
    """Leave a part out as long as the context lasts; None leaves none out."""
    where, replaced = KNOCK_OUTS[part] if part else (training, {})
    kept = {name: getattr(where, name) for name in replaced}
    try:
        for name, other in replaced.items():
            setattr(where, name, other)
        yield
    finally:
        for name, own in kept.items():
            setattr(where, name, own)
