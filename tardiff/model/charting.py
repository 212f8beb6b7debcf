"""`ChartingModel`: what is charted, hour by hour, before any value is drawn.

A chart [batch, C, time] is a table of symbols (`tardiff.data.resolution`): nothing, a repeat, a new value on one of the channel's
grids. The model draws the steps in order and, in a step, the channels in order:

    p(chart | label, descriptors) = product over t, c of p(symbol[c, t] | chart[:, < t], chart[< c, t], label, descriptors)

What it reads of the steps before are sums that forget at several rates, the time since each channel was charted, and the gap before
that; and, by causal self-attention, what it read at each step before (Vaswani et al., arXiv 1706.03762), so that every step of a record is
learnt at once. A channel also reads its own last `LAGS` steps one by one, since rounds come at fixed hours: what a channel knows of its own
rhythm needs no place in the units that all channels share, so these can be few, and few units learn no row by heart. Within a step, masked
weights let a channel read the channels before it alone (MADE, Germain et al., arXiv 1502.03509).
"""

import math
from collections.abc import Sequence

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from tardiff.base.noise import uniform
from tardiff.data.resolution import ABSENT
from tardiff.model.sampling import in_chunks
from tardiff.model.unet import PERIODS, last_charted, positions

LEAST = -1e3
"""Log-probability of a symbol that training never saw, for a row that has it all the same."""
KEEP = (0.0, 0.5, 0.8, 0.95)
"""Share of a sum that outlives a step."""
HEADS = 4
LAGS = 24
"""Steps back that a channel reads of itself."""
GAPS = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0)
"""Between these, in steps, gaps count as one: what is charted every four hours is charted after four, not three."""


class ChartingModel(ModelMixin, ConfigMixin):
    """Predicts each symbol of a chart from what is charted before it.

    Args:
        symbol_rate: share of each symbol in training, by channel; a symbol of share 0 is never drawn.
        classes: number of labels; the label `classes` stands for "unconditional".
        static_features: width of the encoded static descriptors, 0 for none.
        width: units that read the past, and units of a step.
    """

    first: Tensor
    possible: Tensor

    @register_to_config
    def __init__(
        self,
        symbol_rate: tuple[tuple[float, ...], ...],
        classes: int,
        static_features: int = 0,
        width: int = 64,
    ) -> None:
        super().__init__()
        sizes = [len(rate) for rate in symbol_rate]
        channels, symbols = len(sizes), sum(sizes)
        self.sizes = sizes
        self.past = nn.Linear((len(KEEP) + 1) * symbols + 2 * (len(GAPS) + 1) * channels + 2 * len(PERIODS), width)
        self.label = nn.Embedding(classes + 1, width)
        self.static = nn.Linear(static_features, width) if static_features else None
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.memory = nn.Linear(width, 2 * width)
        self.merge = nn.Linear(width, width)
        self.mix = nn.Linear(width, width)
        self.enter = nn.Linear(width, width)
        self.rhythm = ByChannel(channels, LAGS, width)
        self.within = Within(sizes, width)
        self.leave = ByChannel(channels, width, max(sizes))
        first = torch.tensor([0, *sizes]).cumsum(0)[:-1]
        possible = nn.utils.rnn.pad_sequence([torch.tensor(rate) > 0 for rate in symbol_rate], batch_first=True)
        self.register_buffer("first", first, persistent=False)
        self.register_buffer("possible", possible, persistent=False)

    def forward(self, chart: Tensor, label: Tensor, static: Tensor | None = None, keep: Tensor | None = None) -> Tensor:
        """Negative log-likelihood of charts, nats an entry, [batch].

        Args:
            chart: [batch, C, time].
            label: [batch], 0 .. classes.
            static: [batch, static_features], None where the model has none.
            keep: factors of the units that read the past, [batch, width]: 0 hides one (dropout); None keeps all.
        """
        symbols = self._one_hot(chart)
        read = self._read(self._past(chart, symbols, 0), label, static)
        if keep is not None:
            read = read * keep[:, None]
        context = self._context(read, self.memory(self.norm(read)))
        logits = self.leave(F.silu(context[:, :, None] + self.rhythm(_lags(chart, 0)) + self.within(symbols)))
        logits = rearrange(logits, "b t c s -> b c s t")
        chance = logits.masked_fill(~self.possible[:, :, None], -math.inf).log_softmax(dim=2)
        return -chance.gather(2, chart[:, :, None]).clamp(min=LEAST).mean(dim=(1, 2, 3))

    @torch.no_grad()
    def sample(self, label: Tensor, seeds: Sequence[int], steps: int, static: Tensor | None = None) -> Tensor:
        """Draw one chart a seed, int64 [N, C, steps]; chart i depends on label[i], static[i] and seeds[i] alone."""
        chance = uniform("chart", seeds, 0, (len(self.sizes), steps), label.device).float()
        (chart,) = in_chunks(lambda *arguments: (self._drawn(*arguments),), label, chance, static)
        return chart

    def _drawn(self, label: Tensor, chance: Tensor, static: Tensor | None) -> Tensor:
        """Charts of one chunk from uniform numbers [batch, C, steps], by the inverse distribution function."""
        chart = torch.zeros(chance.shape, dtype=torch.int64, device=chance.device)
        symbols = torch.zeros(len(chance), chance.shape[2], self.within.in_features, device=chance.device)
        memory = torch.empty(len(chance), 0, 2 * self.config.width, device=chance.device)
        last = [max(symbol for symbol, share in enumerate(rate) if share > 0) for rate in self.config.symbol_rate]
        for t in range(chance.shape[2]):
            read = self._read(self._past(chart[..., : t + 1], symbols[:, : t + 1], t), label, static)
            memory = torch.cat([memory, self.memory(self.norm(read))], dim=1)
            before = self._context(read, memory) + self.rhythm(_lags(chart[..., : t + 1], t))[:, 0]
            for c in range(len(self.sizes)):
                logits = self.leave.of(c, F.silu(before[:, c] + self.within.of(c, symbols[:, t])))
                above = logits.masked_fill(~self.possible[c], -math.inf).softmax(dim=1).cumsum(dim=1) < chance[:, c, t, None]
                chart[:, c, t] = above.sum(dim=1).clamp(max=last[c])
                symbols[:, t] += F.one_hot(self.first[c] + chart[:, c, t], symbols.shape[2])
        return chart

    def _one_hot(self, chart: Tensor) -> Tensor:
        """[batch, C, time] to [batch, time, symbols of all channels]."""
        return F.one_hot(chart + self.first[:, None], self.within.in_features).sum(dim=1).float()

    @torch.no_grad()
    def _past(self, chart: Tensor, symbols: Tensor, start: int) -> Tensor:
        """What is known before each step from `start` on, [batch, time - start, features], of a chart and its symbols."""
        steps = torch.arange(chart.shape[2], device=chart.device)
        asked = steps[start:, None]
        age = (asked - 1 - steps).clamp(min=0)
        shares = torch.stack([*((1 - keep) * keep**age for keep in KEEP), 1 / asked.clamp(min=1).expand_as(age)]) * (steps < asked)
        sums = rearrange(torch.einsum("kts,bsn->bktn", shares, symbols), "b k t n -> b t (k n)")
        last = last_charted(chart != ABSENT)
        since = steps + 1 - last
        gap = F.pad(since, (1, 0), value=1).gather(-1, last)
        length = torch.bucketize(torch.stack([since, gap], dim=1)[..., start:].contiguous(), torch.tensor(GAPS, device=chart.device))
        gaps = rearrange(F.one_hot(length, len(GAPS) + 1), "b two c t n -> b t (two c n)")
        where = rearrange(positions(len(steps), sums[:, 0, :, None])[..., start:], "b p t -> b t p")
        return torch.cat([sums, gaps, where], dim=2)

    def _read(self, past: Tensor, label: Tensor, static: Tensor | None) -> Tensor:
        """[batch, time, features] to [batch, time, width]."""
        condition = self.label(label)
        if self.static is not None:
            condition = condition + self.static(static)
        return F.silu(self.past(past) + condition[:, None])

    def _context(self, read: Tensor, memory: Tensor) -> Tensor:
        """What each step takes from itself and those before: [batch, time, width] and [batch, steps, 2 width] to [batch, time, width]."""
        parts = (self.query(self.norm(read)), *memory.chunk(2, dim=2))
        query, key, value = (rearrange(part, "b t (h c) -> b h t c", h=HEADS) for part in parts)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=read.shape[1] > 1)
        h = read + self.merge(rearrange(mixed, "b h t c -> b t (h c)"))
        return self.enter(h + F.silu(self.mix(h)))


def _lags(chart: Tensor, start: int) -> Tensor:
    """Whether each channel was charted 24, 23, .. 1 steps before each step from `start` on, [batch, time - start, C, LAGS]."""
    charted = F.pad((chart != ABSENT).float(), (LAGS, -1))
    return rearrange(charted.unfold(2, LAGS, 1)[:, :, start:], "b c t lag -> b t c lag")


class Within(nn.Linear):
    """What the symbols of a step tell each channel: those of the channels before it alone.

    Args:
        sizes: symbols of each channel.
        hidden: units of a channel.
    """

    def __init__(self, sizes: Sequence[int], hidden: int) -> None:
        super().__init__(sum(sizes), len(sizes) * hidden)
        self.sizes, self.channels = tuple(sizes), len(sizes)
        nn.init.normal_(self.weight, std=0.3)

    def forward(self, symbols: Tensor) -> Tensor:
        """[batch, time, symbols] to [batch, time, C, hidden]."""
        channel = torch.arange(self.channels, device=self.weight.device)
        sizes = torch.tensor(self.sizes, device=channel.device)
        allowed = channel.repeat_interleave(sizes, output_size=self.in_features) < channel[:, None]
        weight = self.weight * allowed.repeat_interleave(self.out_features // self.channels, dim=0)
        return rearrange(F.linear(symbols, weight, self.bias), "b t (c h) -> b t c h", c=self.channels)

    def of(self, c: int, symbols: Tensor) -> Tensor:
        """The same for one channel and step: [batch, symbols], of which those before `c` are set, to [batch, hidden]."""
        return F.linear(symbols, self.weight.chunk(self.channels)[c], self.bias.chunk(self.channels)[c])


class ByChannel(nn.Module):
    """A linear layer for each channel."""

    def __init__(self, channels: int, width_in: int, width_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, width_in, width_out) / width_in**0.5)
        self.bias = nn.Parameter(torch.zeros(channels, width_out))

    def forward(self, h: Tensor) -> Tensor:
        """[batch, time, C, width_in] to [batch, time, C, width_out]."""
        return torch.einsum("btci,cio->btco", h, self.weight) + self.bias

    def of(self, c: int, h: Tensor) -> Tensor:
        """The same for one channel and step, [batch, width_in] to [batch, width_out]."""
        return h @ self.weight[c] + self.bias[c]
