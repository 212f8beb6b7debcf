"""`ChartingModel`: what is charted, hour by hour, before any value is drawn.

A chart [batch, C, time] is a table of symbols (`tardiff.data.resolution`): nothing, a repeat, a new value on one of the channel's
grids. The model draws the steps in order and, in a step, the channels in order:

    p(chart | label, descriptors) = product over t, c of p(symbol[c, t] | chart[:, < t], chart[< c, t], label, descriptors)

What it reads of the steps before are sums that forget at several rates, the time since each channel was charted, and the gap before that,
so that it needs no recurrence and every step of a record is learnt at once. Within a step it is a neural autoregressive distribution
estimator (NADE, Larochelle & Murray 2011).
"""

import math
from collections.abc import Iterator, Sequence

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from tardiff.base.noise import normal
from tardiff.data.resolution import ABSENT
from tardiff.model.sampling import in_chunks
from tardiff.model.unet import PERIODS, positions

LEAST = -1e3
"""Log-probability of a symbol that training never saw, for a row that has it all the same."""
KEEP = (0.0, 0.5, 0.8, 0.95)
"""Share of a sum that outlives a step."""
GAPS = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0)
"""Between these, in steps, gaps count as one: what is charted every four hours is charted after four, not three."""


class ChartingModel(ModelMixin, ConfigMixin):
    """Predicts each symbol of a chart from what is charted before it.

    Args:
        symbol_rate: share of each symbol in training, by channel; a symbol of share 0 is never drawn.
        classes: number of labels; the label `classes` stands for "unconditional".
        static_features: width of the encoded static descriptors, 0 for none.
        width, hidden: units that read the past, and a step.
    """

    first: Tensor
    possible: Tensor

    @register_to_config
    def __init__(
        self,
        symbol_rate: tuple[tuple[float, ...], ...],
        classes: int,
        static_features: int = 0,
        width: int = 128,
        hidden: int = 64,
    ) -> None:
        super().__init__()
        sizes = [len(rate) for rate in symbol_rate]
        channels, symbols = len(sizes), sum(sizes)
        self.sizes = sizes
        self.past = nn.Linear((len(KEEP) + 1) * symbols + 2 * (len(GAPS) + 1) * channels + 2 * len(PERIODS), width)
        self.label = nn.Embedding(classes + 1, width)
        self.static = nn.Linear(static_features, width) if static_features else None
        self.mix = nn.Linear(width, width)
        self.enter = nn.Linear(width, hidden)
        self.channel = nn.Embedding(channels, hidden)
        self.symbol = nn.Embedding(symbols, hidden)
        self.leave = nn.Conv1d(channels * hidden, channels * max(sizes), 1, groups=channels)  # each channel has its own symbols
        nn.init.normal_(self.channel.weight, std=0.3)
        nn.init.normal_(self.symbol.weight, std=0.3)
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
        number = self._number(chart)
        with torch.no_grad():
            past = torch.stack([features for features, _ in self._steps(number)], dim=1)
        embedded = self.symbol(number.transpose(1, 2))
        earlier = embedded.cumsum(dim=2) - embedded
        h = F.silu(self._context(past, label, static, keep)[:, :, None] + earlier + self._channels(len(chart))[:, None])
        logits = rearrange(self.leave(rearrange(h, "b t c h -> b (c h) t")), "b (c s) t -> b c s t", c=len(self.sizes))
        chance = logits.masked_fill(~self.possible[:, :, None], -math.inf).log_softmax(dim=2)
        return -chance.gather(2, chart[:, :, None]).clamp(min=LEAST).mean(dim=(1, 2, 3))

    @torch.no_grad()
    def sample(self, label: Tensor, seeds: Sequence[int], steps: int, static: Tensor | None = None) -> Tensor:
        """Draw one chart a seed, int64 [N, C, steps]; chart i depends on label[i], static[i] and seeds[i] alone."""
        noise = normal("chart", seeds, 0, (len(self.sizes), steps)).to(label.device)
        (chart,) = in_chunks(lambda *arguments: (self._drawn(*arguments),), label, torch.special.ndtr(noise), static)
        return chart

    def _drawn(self, label: Tensor, chance: Tensor, static: Tensor | None) -> Tensor:
        """Charts of one chunk from uniform numbers [batch, C, steps], by the inverse distribution function."""
        number = torch.zeros(chance.shape, dtype=torch.int64, device=chance.device)
        weights = self.leave.weight[..., 0].chunk(len(self.sizes))
        assert self.leave.bias is not None
        biases = self.leave.bias.chunk(len(self.sizes))
        channel = self._channels(len(chance))
        last = [int(possible.nonzero().max()) for possible in self.possible]
        for past, t in self._steps(number):
            state = self._context(past[:, None], label, static)[:, 0]
            for c in range(len(self.sizes)):
                logits = F.linear(F.silu(state + channel[:, c]), weights[c], biases[c])
                above = logits.masked_fill(~self.possible[c], -math.inf).softmax(dim=1).cumsum(dim=1) < chance[:, c, t, None]
                number[:, c, t] = self.first[c] + above.sum(dim=1).clamp(max=last[c])
                state = state + self.symbol(number[:, c, t])
        return number - self.first[:, None]

    def _channels(self, rows: int) -> Tensor:
        """What tells one channel from the other, [rows, C, hidden]."""
        return self.channel(torch.arange(len(self.sizes), device=self.first.device).expand(rows, -1))

    def _number(self, chart: Tensor) -> Tensor:
        """Symbols numbered over all channels, [batch, C, time]."""
        return chart + self.first[:, None]

    def _steps(self, number: Tensor) -> Iterator[tuple[Tensor, int]]:
        """What is known before each step, [batch, features], and the step; `number` may be filled in meanwhile."""
        batch, channels, steps = number.shape
        symbols = self.symbol.num_embeddings
        sums = [torch.zeros(batch, symbols, device=number.device) for _ in range(len(KEEP) + 1)]
        since = gap = torch.ones(batch, channels, device=number.device)
        bounds = torch.tensor(GAPS, device=number.device)
        where = positions(steps, torch.zeros(batch, 1, steps, device=number.device))
        for t in range(steps):
            average = sums[-1] / max(t, 1)
            gaps = F.one_hot(torch.bucketize(torch.cat([since, gap], dim=1), bounds), len(GAPS) + 1).flatten(1)
            yield torch.cat([*sums[:-1], average, gaps, where[..., t]], dim=1), t
            now = F.one_hot(number[..., t], symbols).sum(dim=1).float()
            sums = [keep * of + (1 - keep) * now for keep, of in zip(KEEP, sums[:-1], strict=True)] + [sums[-1] + now]
            charted = number[..., t] > self.first + ABSENT
            since, gap = torch.where(charted, 1.0, since + 1), torch.where(charted, since, gap)

    def _context(self, past: Tensor, label: Tensor, static: Tensor | None, keep: Tensor | None = None) -> Tensor:
        """[batch, time, features] to [batch, time, hidden]."""
        condition = self.label(label)
        if self.static is not None:
            condition = condition + self.static(static)
        h = F.silu(self.past(past) + condition[:, None])
        if keep is not None:
            h = h * keep[:, None]
        return self.enter(h + F.silu(self.mix(h)))
