"""What PPO asks of a generator: samples with the decisions that made them, and the probability of those decisions."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tardiff.base.distributed import gather, shard
from tardiff.data.codec import Codec
from tardiff.model.pipeline import Samples


@dataclass(frozen=True)
class Rollout:
    """Samples and the decisions behind them.

    Attributes:
        x0: scores, before decoding, [N, C, T].
        chart: what is charted, [N, C, T].
        static: descriptors in physical units, [N, S].
        label: [N].
        log_prob: of each decision when it was taken, [N, K]; a generator of one step has K = 1.
        state: whatever `Generator.score` needs to repeat a decision, row by row.
    """

    x0: Tensor
    chart: Tensor
    static: NDArray[np.float32]
    label: Tensor
    log_prob: Tensor
    state: dict[str, Tensor] = field(default_factory=dict)

    @property
    def decisions(self) -> int:
        """K, decisions a row."""
        return self.log_prob.shape[1]


@dataclass(frozen=True)
class Scored:
    """Decisions as the generator sees them now; each [b], with gradient. None where the generator has no such thing.

    Attributes:
        log_prob: in the unit of `Rollout.log_prob`.
        kl: divergence from the frozen base, in the same unit.
        value: reward that the value head expects.
    """

    log_prob: Tensor
    kl: Tensor | None = None
    entropy: Tensor | None = None
    value: Tensor | None = None


class Generator(Protocol):
    """Anything that PPO can train: the diffusion model, the record policy, a model of your own."""

    @property
    def module(self) -> nn.Module:
        """The network whose parameters are trained."""

    def sample(self, label: NDArray[np.int64], seeds: Sequence[int]) -> Rollout:
        """Draw one record a seed, without gradient; row i depends on label[i] and seeds[i] alone."""

    def score(self, rollout: Rollout, rows: Tensor, steps: Tensor) -> Scored:
        """Score decision steps[i] of row rows[i] again; without an update since, bit for bit what `sample` stored."""


def drawn(generator: Generator, label: NDArray[np.int64], seeds: Sequence[int]) -> Rollout:
    """A rollout of which each of several processes draws a share, and all get the whole."""
    mine, rows = shard(len(label)), len(label)
    part = generator.sample(label[mine], seeds[mine])
    state = {name: gather(tensor, rows) for name, tensor in part.state.items()}
    static, labels = gather(torch.from_numpy(part.static), rows).numpy(), torch.from_numpy(label).to(part.x0.device)
    return Rollout(gather(part.x0, rows), gather(part.chart, rows), static, labels, gather(part.log_prob, rows), state)


@torch.no_grad()
def decoded(codec: Codec, rollout: Rollout) -> Samples:
    """The records that a user would get: no reward can tell a sample by values between grids, and no gradient passes."""
    x0, chart = rollout.x0.cpu(), rollout.chart.cpu()
    return Samples(x0, chart, *codec.decode(x0, chart), rollout.static, rollout.label.cpu().numpy())
