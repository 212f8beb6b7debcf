"""The reverse process as a policy (DDPO, arXiv 2305.13301): stochastic DDIM steps and their probabilities."""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tardiff.noise import normal
from tardiff.objective import noise_schedule
from tardiff.pipeline import TarDiffPipeline
from tardiff.refine.generator import Rollout, Scored
from tardiff.sampling import in_chunks
from tardiff.unet import TemporalUNet


@dataclass(frozen=True)
class Places:
    """Where the reverse steps lie and what each adds, all [K]; x_t = alpha x0 + sigma eps, the next state has `after`'s.

    The last step ends in clean data, where the posterior has no spread: it is a decoder, not a decision.
    """

    timestep: Tensor
    alpha: Tensor
    sigma: Tensor
    alpha_after: Tensor
    sigma_after: Tensor
    std: Tensor

    @classmethod
    def of(cls, steps: int, eta: float = 1.0) -> "Places":
        """The steps of the sampler `ddim`; std as in DDIM (arXiv 2010.02502), eq. 16."""
        scheduler = noise_schedule()
        scheduler.set_timesteps(steps)
        bar = scheduler.alphas_cumprod.double()[scheduler.timesteps]
        after = torch.cat([bar[1:], torch.ones(1, dtype=torch.float64)])
        std = eta * ((1 - after) / (1 - bar) * (1 - bar / after)).sqrt()
        numbers = (scheduler.timesteps, bar.sqrt(), (1 - bar).sqrt(), after.sqrt(), (1 - after).sqrt(), std)
        return cls(*(number.float() for number in numbers))

    def __len__(self) -> int:
        return len(self.timestep)

    def at(self, steps: Tensor) -> "Places":
        """Those of some steps [b], shaped to meet x [b, c, t]; the timestep stays [b]."""
        rest = (number[steps][:, None, None] for number in (self.alpha, self.sigma, self.alpha_after, self.sigma_after, self.std))
        return Places(self.timestep[steps], *rest)


def step_mean(v: Tensor, x: Tensor, place: Places, clamp: Callable[[Tensor], Tensor]) -> Tensor:
    """Mean of the next state, [b, c, t]: the one formula that sampling and scoring share (DDIM, eq. 12)."""
    x0_hat = clamp(place.alpha * x - place.sigma * v)
    eps_hat = (x - place.alpha * x0_hat) / place.sigma
    return place.alpha_after * x0_hat + (place.sigma_after**2 - place.std**2).clamp(min=0).sqrt() * eps_hat


def gaussian_log_prob(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Log-density of x under a Gaussian, averaged over entries, [b, c, t] to [b]."""
    return (-0.5 * ((x - mean) / std) ** 2 - std.log() - 0.5 * math.log(2 * math.pi)).mean(dim=(1, 2))


def gaussian_kl(mean: Tensor, base: Tensor, std: Tensor) -> Tensor:
    """Divergence between Gaussians of equal spread, averaged over entries, [b, c, t] to [b]."""
    return (0.5 * ((mean - base) / std) ** 2).mean(dim=(1, 2))


class DiffusionGenerator:
    """A pipeline whose reverse steps PPO can score.

    Args:
        pipeline: its U-Net is trained in place.
        steps: reverse steps; all but the last are decisions.
        kl: whether to score the divergence from the U-Net as it is now, which is kept.
    """

    def __init__(self, pipeline: TarDiffPipeline, steps: int, kl: bool = True) -> None:
        self.pipeline = pipeline
        self.unet: TemporalUNet = pipeline.unet
        self.places = Places.of(steps)
        self.base = copy.deepcopy(self.unet).requires_grad_(False) if kl else None

    @property
    def module(self) -> nn.Module:
        """The U-Net."""
        return self.unet

    @torch.no_grad()
    def sample(self, label: NDArray[np.int64], seeds: Sequence[int]) -> Rollout:
        """Draw one record a seed by stochastic DDIM, and keep every state and every log-probability."""
        descriptors = self.pipeline.statics.sample(label, seeds)
        static, labels = self.pipeline.statics.encode(descriptors), torch.from_numpy(label)
        codec = self.pipeline.codec
        x = normal("start", seeds, 0, (2 * len(codec.channels), codec.steps))
        states, log_prob = [x], []
        for k in range(len(self.places)):
            step = torch.full((len(label),), k)
            (mean,) = in_chunks(lambda *a: (self.mean(self.unet, *a),), x, step, labels, static)
            std = self.places.at(step).std
            x = mean + std * normal("step", seeds, k, tuple(x.shape[1:]))
            states.append(x)
            if k < len(self.places) - 1:
                log_prob.append(gaussian_log_prob(x, mean, std))
        state = {"states": torch.stack(states[:-1], dim=1), "static": static}
        return Rollout(x, descriptors, labels, torch.stack(log_prob, dim=1), state)

    def score(self, rollout: Rollout, rows: Tensor, steps: Tensor) -> Scored:
        """Score reverse step steps[i] of row rows[i] again."""
        states = rollout.state["states"]
        log_prob, kl = in_chunks(
            self._score, states[rows, steps], states[rows, steps + 1], steps, rollout.label[rows], self._static(rollout, rows)
        )
        return Scored(log_prob, kl if self.base is not None else None)

    def last_step(self, rollout: Rollout, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The clean record of the last step with its gradient, [b, 2 C, T], and its mean squared distance to the base's, [b]."""
        x, step = rollout.state["states"][rows, -1], torch.full((len(rows),), len(self.places) - 1)
        x0, base = in_chunks(self._both_means, x, step, rollout.label[rows], self._static(rollout, rows))
        return x0, (x0 - base).square().mean(dim=(1, 2))

    def mean(self, unet: nn.Module, x: Tensor, step: Tensor, label: Tensor, static: Tensor) -> Tensor:
        """Mean of the state after `step` [b], of one chunk."""
        place = self.places.at(step)
        return step_mean(unet(x, place.timestep, label, static), x, place, self.pipeline.codec.clamp)

    def _static(self, rollout: Rollout, rows: Tensor) -> Tensor:
        return rollout.state["static"][rows]

    def _score(self, x: Tensor, after: Tensor, step: Tensor, label: Tensor, static: Tensor) -> tuple[Tensor, Tensor]:
        mean, base = self._both_means(x, step, label, static)
        std = self.places.at(step).std
        return gaussian_log_prob(after, mean, std), gaussian_kl(mean, base, std)

    def _both_means(self, x: Tensor, step: Tensor, label: Tensor, static: Tensor) -> tuple[Tensor, Tensor]:
        """The mean now, and by the base; without a base, the mean twice."""
        mean = self.mean(self.unet, x, step, label, static)
        with torch.no_grad():
            return mean, mean.detach() if self.base is None else self.mean(self.base, x, step, label, static)
