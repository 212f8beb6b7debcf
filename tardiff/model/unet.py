"""`TemporalUNet`: the denoiser, a U-Net over time."""

import math
from collections.abc import Iterator

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn import functional as F

from tardiff.data.resolution import ABSENT
from tardiff.model.sinusoids import sinusoids

NORM_GROUPS = 8
SMALL = 1e-4
"""A variance, in squared scores, below which records are alike."""
PERIODS = (2.0, 4.0, 8.0, 16.0, 32.0, 64.0)


class TemporalUNet(ModelMixin, ConfigMixin):
    """Predicts v = alpha * eps - sigma * x0 (Salimans & Ho, arXiv 2202.00512) from x_t, the step, the label and the chart.

    Entries where nothing is charted have no part: x_t is hidden there, and what is predicted means nothing.

    Any length and channel count: sequences are padded at the end to a multiple of the coarsest stride and cropped.
    Inside, time is the width of a one-row image in channels-last memory, the layout with the fastest convolutions
    on CPUs.

    Args:
        symbols: number of symbols of each channel's chart.
        classes: number of labels; the label `classes` stands for "unconditional".
        static_features: width of the encoded static descriptors, 0 for none.
        widths: channels of each level; every level after the first halves the time axis.
        blocks: residual blocks a level, in each direction.
        heads: of the self-attention after each block.
    """

    @register_to_config
    def __init__(
        self,
        symbols: tuple[int, ...],
        classes: int,
        static_features: int = 0,
        widths: tuple[int, ...] = (64, 128, 128),
        blocks: int = 1,
        heads: int = 4,
    ) -> None:
        super().__init__()
        width, channels = widths[0], len(symbols)
        features = 4 * width
        self.time = nn.Sequential(nn.Linear(width, features), nn.SiLU(), nn.Linear(features, features))
        self.label = nn.Embedding(classes + 1, features)
        self.static = nn.Linear(static_features, features) if static_features else None
        self.character = nn.Linear(3 * channels, features)
        self.enter = conv(5 * channels + sum(symbols) + 2 * len(PERIODS), width)

        self.down, self.shrink = nn.ModuleList(), nn.ModuleList()
        skips = []
        for level, out in enumerate(widths):
            for _ in range(blocks):
                self.down.append(Block(width, out, features, heads))
                width = out
                skips.append(width)
            if level < len(widths) - 1:
                self.shrink.append(nn.Conv2d(width, width, (1, 4), stride=(1, 2), padding=(0, 1)))
        self.middle = Block(width, width, features, heads)
        self.up, self.grow = nn.ModuleList(), nn.ModuleList()
        for level, out in reversed(list(enumerate(widths))):
            for _ in range(blocks):
                self.up.append(Block(width + skips.pop(), out, features, heads))
                width = out
            if level > 0:
                self.grow.append(conv(width, width))
        self.leave = nn.Sequential(nn.GroupNorm(NORM_GROUPS, width), nn.SiLU(), zeroed(conv(width, channels)))
        self.to(memory_format=torch.channels_last)

    def forward(self, x_t: Tensor, timestep: Tensor, label: Tensor, static: Tensor | None, chart: Tensor) -> Tensor:
        """Predicted v.

        Args:
            x_t: [batch, C, time].
            timestep: [batch], 0 .. 999, on any device; fractions are allowed.
            label: [batch], 0 .. classes.
            static: [batch, static_features], None where the model has none.
            chart: symbols, [batch, C, time].

        Returns:
            [batch, C, time].
        """
        length = x_t.shape[-1]
        context = self.time(sinusoids(timestep.to(x_t.device), self.config.widths[0])) + self.label(label)
        if self.static is not None:
            context = context + self.static(static)
        levels, blocks = len(self.config.widths), self.config.blocks
        charted = chart != ABSENT
        x_t = x_t * charted
        earlier, later = before(x_t, charted), before(x_t.flip(-1), charted.flip(-1)).flip(-1)
        context = F.silu(context + self.character(character(x_t, earlier, charted)))
        h = torch.cat([x_t, earlier, later, *self._charted(chart), positions(length, x_t)], dim=1)
        h = F.pad(h, (0, -length % 2 ** (levels - 1)), mode="replicate")
        h = self.enter(rearrange(h, "b c t -> b c 1 t").contiguous(memory_format=torch.channels_last))
        skips = []
        for level in range(levels):
            for block in self.down[level * blocks : (level + 1) * blocks]:
                h = block(h, context)
                skips.append(h)
            if level < levels - 1:
                h = self.shrink[level](h)
        h = self.middle(h, context)
        for level in range(levels):
            for block in self.up[level * blocks : (level + 1) * blocks]:
                h = block(torch.cat([h, skips.pop()], dim=1), context)
            if level < levels - 1:
                h = self.grow[level](repeat(h, "b c 1 t -> b c 1 (t two)", two=2))
        return rearrange(self.leave(h), "b c 1 t -> b c t")[..., :length]

    def _charted(self, chart: Tensor) -> Iterator[Tensor]:
        """The chart as the network reads it: each symbol as a channel, and how far the charted steps before and after are."""
        for c, size in enumerate(self.config.symbols):
            yield rearrange(F.one_hot(chart[:, c], size), "b t s -> b s t").float()
        yield distance_to_charted(chart)
        yield distance_to_charted(chart.flip(-1)).flip(-1)


def before(x_t: Tensor, charted: Tensor) -> Tensor:
    """The charted entry before each step, 0 where there is none, [b, c, t]: neighbours in the chart may lie hours apart."""
    return F.pad(x_t, (1, 0)).gather(-1, last_charted(charted))


def last_charted(charted: Tensor) -> Tensor:
    """Number of the last charted step before each step, counted from 1, 0 where there is none, [b, c, t]."""
    step = torch.arange(1, charted.shape[-1] + 1, device=charted.device)
    return F.pad(torch.where(charted, step, 0).cummax(dim=-1).values, (1, -1))


def character(x_t: Tensor, earlier: Tensor, charted: Tensor) -> Tensor:
    """What kind of record it is: of each channel the mean, the log of the variance, and that of the squared change, [b, 3 C].

    Convolutions see a part of the record, and normalisation takes its scale away; stays differ in how restless they are.

    Args:
        x_t: 0 where nothing is charted, [b, C, t].
        earlier: the charted entry before each step (`before`).
        charted: [b, C, t].
    """
    count = charted.sum(-1).clamp(min=1)
    mean = x_t.sum(-1) / count
    variance = ((x_t - mean[..., None]).square() * charted).sum(-1) / count
    both = charted & (charted.cumsum(-1) > 1)
    change = ((x_t - earlier).square() * both).sum(-1) / both.sum(-1).clamp(min=1)
    return torch.cat([mean, (variance + SMALL).log(), (change + SMALL).log()], dim=1)


def distance_to_charted(chart: Tensor) -> Tensor:
    """Log of the steps since the last charted one before each step, [b, C, t]; before the first one, since one step ahead of the record."""
    step = torch.arange(1, chart.shape[-1] + 1, device=chart.device)
    return (step - last_charted(chart != ABSENT)).log() / 3


class Block(nn.Module):
    """Residual block modulated by step, label, statics and the record's character, then self-attention over time."""

    def __init__(self, width_in: int, width_out: int, features: int, heads: int) -> None:
        super().__init__()
        self.norm_in = nn.GroupNorm(NORM_GROUPS, width_in)
        self.conv_in = conv(width_in, width_out)
        self.modulation = nn.Linear(features, 2 * width_out)
        self.norm_out = nn.GroupNorm(NORM_GROUPS, width_out)
        self.conv_out = zeroed(conv(width_out, width_out))
        self.shortcut = nn.Conv2d(width_in, width_out, 1) if width_in != width_out else nn.Identity()
        self.attention = Attention(width_out, heads)

    def forward(self, h: Tensor, context: Tensor) -> Tensor:
        """[b, width_in, 1, t] and [b, features] to [b, width_out, 1, t]."""
        scale, shift = rearrange(self.modulation(context), "b (two c) -> two b c 1 1", two=2)
        inner = self.conv_in(F.silu(self.norm_in(h)))
        inner = self.conv_out(F.silu(self.norm_out(inner) * (1 + scale) + shift))
        h = self.shortcut(h) + inner
        return h + self.attention(h)


class Attention(nn.Module):
    """Multi-head self-attention over the time axis."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(NORM_GROUPS, width)
        self.project = nn.Conv2d(width, 3 * width, 1)
        self.merge = zeroed(nn.Conv2d(width, width, 1))

    def forward(self, h: Tensor) -> Tensor:
        """[b, c, 1, t] to the same."""
        q, k, v = rearrange(self.project(self.norm(h)), "b (three heads c) 1 t -> three b heads t c", three=3, heads=self.heads)
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.merge(rearrange(mixed, "b heads t c -> b (heads c) 1 t").contiguous(memory_format=torch.channels_last))


def conv(width_in: int, width_out: int) -> nn.Conv2d:
    """Three-tap convolution along time."""
    return nn.Conv2d(width_in, width_out, (1, 3), padding=(0, 1))


def zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    """The layer with zero weights, so that a new block starts as the identity."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def positions(length: int, like: Tensor) -> Tensor:
    """Where in the window a step lies: sines and cosines of `PERIODS` (in steps), [b, 2 len(PERIODS), length]."""
    angle = 2 * math.pi * torch.arange(length, device=like.device, dtype=like.dtype) / torch.tensor(PERIODS, device=like.device)[:, None]
    return torch.cat([angle.sin(), angle.cos()]).expand(len(like), -1, -1)
