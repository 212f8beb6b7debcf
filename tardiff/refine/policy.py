"""The record policy (RLSyn, arXiv 2512.21395): a whole record in one stochastic step, for very small data."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from tardiff.base.device import device_of
from tardiff.base.noise import normal
from tardiff.data.codec import Z_LIMIT, Codec
from tardiff.data.resolution import ABSENT
from tardiff.data.statics import StaticModel
from tardiff.model.sampling import in_chunks
from tardiff.refine.generator import Rollout, Scored

SPREAD = 0.2  # of the pre-squashed values at the start: a little less than one normal score
KNOWN = 3.0  # logit at which descriptors are known at the start


@dataclass(frozen=True)
class Actions:
    """What the policy decided of each record, row by row.

    Attributes:
        u: values before squashing, [b, C, T]; a value's score is 4 tanh(u).
        chart: symbols of what is charted, [b, C, T].
        number: numeric descriptors as z-scores, [b, Sn].
        known: whether each is known, 0 or 1, [b, Sn].
        category: categorical descriptors, [b, Sc]; the number of categories stands for missing.
    """

    u: Tensor
    chart: Tensor
    number: Tensor
    known: Tensor
    category: Tensor


class RecordPolicy(nn.Module):
    """Two layers from (latent, label) to the parameters of a record's distribution, and a value head.

    Values are tanh-Gaussian, known flags Bernoulli, charts and categories categorical; given the latent, all are independent.

    Args:
        categories: number of categories of each categorical descriptor.
        symbol_rate: share of each symbol in the training rows' charts, by channel, where the charts start; one of 0 is never drawn.
    """

    possible: Tensor

    def __init__(
        self,
        steps: int,
        classes: int,
        numeric: int,
        categories: tuple[int, ...],
        symbol_rate: tuple[tuple[float, ...], ...],
        latent: int,
        hidden: int,
    ) -> None:
        super().__init__()
        rate = nn.utils.rnn.pad_sequence([torch.tensor(of) for of in symbol_rate], batch_first=True)
        self.channels, self.symbols = channels, symbols = rate.shape
        self.steps, self.classes, self.latent = steps, classes, latent
        self.numeric, self.categories = numeric, categories
        self.body = nn.Sequential(nn.Linear(latent + classes, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh())
        self.values = nn.Linear(hidden, channels * steps)
        self.chart = nn.Linear(hidden, channels * symbols * steps)
        self.numbers = _head(hidden, numeric)
        self.known = _head(hidden, numeric)
        self.category = _head(hidden, sum(n + 1 for n in categories))
        self.value = nn.Linear(hidden, 1)
        self.log_std = nn.Parameter(torch.full((channels, steps), math.log(SPREAD)))
        self.number_log_std = nn.Parameter(torch.zeros(numeric))
        self.register_buffer("possible", rate > 0, persistent=False)
        nn.init.constant_(self.known.bias, KNOWN)
        with torch.no_grad():
            self.chart.bias.copy_(rate.clamp(min=1e-3).log().flatten().repeat_interleave(steps))
            for n, bias in zip(categories, self.category.bias.split([n + 1 for n in categories]), strict=True):
                bias[n] = math.log(n) - KNOWN  # missing, beside n that are as likely as each other

    def draw(self, latent: Tensor, label: Tensor, noise: Tensor) -> Actions:
        """Actions that some standard normal noise [b, `noise_size`] stands for."""
        h = self._features(latent, label)
        values, chart, number, known, category = noise.split(self.noise_sizes, dim=1)
        chance = torch.special.ndtr
        u = self._grid(self.values(h)) + self.log_std.exp() * self._grid(values)
        gumbel = -(-chance(category).clamp(1e-12, 1 - 1e-7).log()).log()
        picks = [part.argmax(1) for part in (self.category(h) + gumbel).split([n + 1 for n in self.categories], dim=1)]
        return Actions(
            u=u,
            chart=self._picked(self._symbols(h), chance(self._grid(chart))),
            number=self.numbers(h) + self.number_log_std.exp() * number,
            known=(chance(known) < self.known(h).sigmoid()).float(),
            category=torch.stack(picks, dim=1) if picks else torch.zeros(len(h), 0, dtype=torch.int64, device=h.device),
        )

    def score(self, latent: Tensor, label: Tensor, actions: Actions) -> tuple[Tensor, Tensor, Tensor]:
        """Log-probability of the actions (summed over entries), entropy of their distribution, and expected reward; each [b]."""
        h = self._features(latent, label)
        u = actions.u
        log_prob = _gaussian(u, self._grid(self.values(h)), self.log_std) - 2 * (math.log(2) - u - F.softplus(-2 * u)).flatten(1).sum(1)
        log_prob = log_prob + _gaussian(actions.number, self.numbers(h), self.number_log_std)
        symbols, known = self._symbols(h), self.known(h)
        log_prob = log_prob + symbols.gather(2, actions.chart[:, :, None]).flatten(1).sum(1) + _bernoulli(actions.known, known)
        entropy = self.log_std.sum() + self.number_log_std.sum() + _bernoulli_entropy(known)
        entropy = entropy - (symbols.exp() * symbols.clamp(min=-100)).flatten(1).sum(1)
        for s, part in enumerate(self.category(h).split([n + 1 for n in self.categories], dim=1)):
            log_p = part.log_softmax(1)
            log_prob = log_prob + log_p.gather(1, actions.category[:, s : s + 1])[:, 0]
            entropy = entropy - (log_p.exp() * log_p).sum(1)
        return log_prob, entropy, self.value(h)[:, 0]

    @property
    def noise_sizes(self) -> list[int]:
        """Standard normal numbers behind the values, charts, numbers, known flags and categories of a record."""
        grid = self.channels * self.steps
        return [grid, grid, self.numeric, self.numeric, sum(n + 1 for n in self.categories)]

    def _features(self, latent: Tensor, label: Tensor) -> Tensor:
        return self.body(torch.cat([latent, F.one_hot(label, self.classes).to(latent)], dim=1))

    def _grid(self, flat: Tensor) -> Tensor:
        return flat.unflatten(1, (self.channels, self.steps))

    def _symbols(self, h: Tensor) -> Tensor:
        """Log-probability of each symbol, [b, C, symbols, T]."""
        logits = self.chart(h).unflatten(1, (self.channels, self.symbols, self.steps))
        return logits.masked_fill(~self.possible[:, :, None], -math.inf).log_softmax(dim=2)

    def _picked(self, log_probability: Tensor, chance: Tensor) -> Tensor:
        """Symbols by the inverse distribution function, [b, C, T]."""
        last = self.symbols - 1 - self.possible.flip(1).int().argmax(dim=1)  # the last possible symbol of each channel
        picked = (log_probability.exp().cumsum(dim=2) < chance[:, :, None]).sum(dim=2)
        return torch.minimum(picked, last[:, None])


def _head(hidden: int, outputs: int) -> nn.Linear:
    """A linear layer; PyTorch warns of one that has no outputs, which is what data without such descriptors need."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Initializing zero-element tensors")
        return nn.Linear(hidden, outputs)


def _gaussian(x: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    return (-0.5 * ((x - mean) / log_std.exp()) ** 2 - log_std - 0.5 * math.log(2 * math.pi)).flatten(1).sum(1)


def _bernoulli(bit: Tensor, logit: Tensor) -> Tensor:
    return -F.binary_cross_entropy_with_logits(logit, bit, reduction="none").flatten(1).sum(1)


def _bernoulli_entropy(logit: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logit, logit.sigmoid(), reduction="none").flatten(1).sum(1)


class PolicyGenerator:
    """A record policy as PPO sees it: one decision a record, given its latent."""

    def __init__(self, policy: RecordPolicy, codec: Codec, statics: StaticModel) -> None:
        self.policy, self.codec, self.statics = policy, codec, statics

    @property
    def module(self) -> nn.Module:
        """The policy."""
        return self.policy

    @torch.no_grad()
    def sample(self, label: NDArray[np.int64], seeds: Sequence[int]) -> Rollout:
        """Draw one record a seed."""
        device = device_of(self.policy)
        latent = normal("latent", seeds, 0, (self.policy.latent,), device)
        noise = normal("actions", seeds, 0, (sum(self.policy.noise_sizes),), device)
        labels = torch.from_numpy(label).to(device)
        drawn = in_chunks(lambda *a: tuple(vars(self.policy.draw(*a)).values()), latent, labels, noise)
        actions = Actions(*drawn)
        state = {"latent": latent, **vars(actions)}
        (log_prob, *_) = in_chunks(self._score, latent, labels, *drawn)
        x0 = Z_LIMIT * actions.u.tanh() * (actions.chart != ABSENT)
        return Rollout(x0, actions.chart, self._descriptors(actions), labels, log_prob[:, None], state)

    def score(self, rollout: Rollout, rows: Tensor, steps: Tensor) -> Scored:
        """Score the records of some rows again."""
        state = rollout.state
        actions = [state[name][rows] for name in Actions.__annotations__]
        log_prob, entropy, value = in_chunks(self._score, state["latent"][rows], rollout.label[rows], *actions)
        return Scored(log_prob, entropy=entropy, value=value)

    def _score(self, latent: Tensor, label: Tensor, *actions: Tensor) -> tuple[Tensor, ...]:
        return self.policy.score(latent, label, Actions(*actions))

    def _descriptors(self, actions: Actions) -> NDArray[np.float32]:
        """In physical units, NaN where missing, [N, S]."""
        result = np.full((len(actions.u), len(self.statics.statics)), np.nan, dtype=np.float32)
        numeric = categorical = 0
        for s, descriptor in enumerate(self.statics.statics):
            if descriptor.kind == "categorical":
                pick = actions.category[:, categorical].cpu().numpy()
                result[:, s] = np.where(pick < len(descriptor.categories), pick, np.nan)
                categorical += 1
            else:
                value = self.statics.centre[s] + self.statics.scale[s] * actions.number[:, numeric].cpu().numpy()
                value = np.clip(value, *descriptor.limits) if descriptor.limits else value
                result[:, s] = np.where(actions.known[:, numeric].cpu().numpy() > 0, value, np.nan)
                numeric += 1
        return result


def new_policy(codec: Codec, statics: StaticModel, classes: int, latent: int, hidden: int, seed: int) -> RecordPolicy:
    """An untrained policy for this data, its weights drawn from the seed."""
    categories = tuple(len(s.categories) for s in statics.statics if s.kind == "categorical")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return RecordPolicy(
            steps=codec.steps,
            classes=classes,
            numeric=len(statics.statics) - len(categories),
            categories=categories,
            symbol_rate=codec.symbol_rate,
            latent=latent,
            hidden=hidden,
        )
