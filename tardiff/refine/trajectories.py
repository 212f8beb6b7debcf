"""The reverse process as a policy (DDPO, arXiv 2305.13301): the default sampler's steps and their probabilities."""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tardiff.base.noise import normal
from tardiff.data.resolution import ABSENT
from tardiff.model.diffusion import mean_over_charted
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.model.sampling import dpm_solver, in_chunks
from tardiff.model.unet import TemporalUNet
from tardiff.refine.generator import Rollout, Scored


@dataclass(frozen=True)
class Places:
    """Where the reverse steps lie and what each does, all [K]; x_t = alpha x0 + sigma eps.

    The last step ends in clean data, where the posterior has no spread: it is a decoder, not a decision.

    Attributes:
        timestep, alpha, sigma: of the state that a step begins in.
        keep: share of that state in the mean of the next one.
        ahead: how far the clean estimate is carried on along its change since the step before; 0 in the first and the last step.
        std: of the noise that is added.
    """

    timestep: Tensor
    alpha: Tensor
    sigma: Tensor
    keep: Tensor
    gain: Tensor
    ahead: Tensor
    std: Tensor

    @classmethod
    def of(cls, steps: int, device: torch.device) -> "Places":
        """The steps, on a device, of the default sampler: SDE-DPM-Solver++ 2M (arXiv 2211.01095, eq. 18)."""
        scheduler = dpm_solver(eta=1)
        scheduler.set_timesteps(steps)
        ratio = scheduler.sigmas.double()  # sigma / alpha
        alpha = (1 + ratio**2).rsqrt()
        sigma = ratio * alpha
        h = -ratio.log().diff()  # steps in log(alpha / sigma); the last one is infinite
        fresh = 1 - (-2 * h).exp()
        ahead = torch.zeros_like(h)
        ahead[1:-1] = h[1:-1] / (2 * h[:-2])
        keep = sigma[1:] / sigma[:-1] * (-h).exp()
        numbers = (scheduler.timesteps, alpha[:-1], sigma[:-1], keep, alpha[1:] * fresh, ahead, sigma[1:] * fresh.sqrt())
        return cls(*(number.float().to(device) for number in numbers))

    def __len__(self) -> int:
        return len(self.timestep)

    def at(self, steps: Tensor) -> "Places":
        """Those of some steps [b], shaped to meet x [b, c, t]; the timestep stays [b]."""
        timestep, *rest = (number[steps] for number in vars(self).values())
        return Places(timestep, *(number[:, None, None] for number in rest))


def step_mean(x0_hat: Tensor, x0_before: Tensor, x: Tensor, place: Places) -> Tensor:
    """Mean of the next state, [b, c, t]: the one formula that sampling and scoring share."""
    return place.keep * x + place.gain * (x0_hat + place.ahead * (x0_hat - x0_before))


def gaussian_log_prob(x: Tensor, mean: Tensor, std: Tensor, chart: Tensor) -> Tensor:
    """Log-density of x under a Gaussian, averaged over what is charted, [b, c, t] to [b]."""
    return mean_over_charted(-0.5 * ((x - mean) / std) ** 2 - std.log() - 0.5 * math.log(2 * math.pi), chart)


def gaussian_kl(mean: Tensor, base: Tensor, std: Tensor, chart: Tensor) -> Tensor:
    """Divergence between Gaussians of equal spread, averaged over what is charted, [b, c, t] to [b]."""
    return mean_over_charted(0.5 * ((mean - base) / std) ** 2, chart)


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
        self.places = Places.of(steps, pipeline.device)
        self.base = copy.deepcopy(self.unet).requires_grad_(False) if kl else None

    @property
    def module(self) -> nn.Module:
        """The U-Net."""
        return self.unet

    @torch.no_grad()
    def sample(self, label: NDArray[np.int64], seeds: Sequence[int]) -> Rollout:
        """Draw one record a seed, as the default sampler does, and keep every state and every log-probability.

        The sampler remembers its last clean estimate, so that is part of the state: an update does not change it.
        """
        descriptors = self.pipeline.statics.sample(label, seeds)
        device = self.pipeline.device
        static, labels = self.pipeline.statics.encode(descriptors).to(device), torch.from_numpy(label).to(device)
        chart = self.pipeline.charting.sample(labels, seeds, self.pipeline.codec.steps, static)
        x = normal("start", seeds, 0, tuple(chart.shape[1:]), device)
        before = torch.zeros_like(x)
        states, estimates, log_prob = [], [], []
        for k in range(len(self.places)):
            step = torch.full((len(label),), k, device=device)
            states.append(x)
            estimates.append(before)
            mean, before = in_chunks(lambda *a: self.mean(self.unet, *a), x, before, step, labels, static, chart)
            std = self.places.at(step).std
            x = mean + std * normal("step", seeds, k, tuple(x.shape[1:]), device)
            if k < len(self.places) - 1:
                log_prob.append(gaussian_log_prob(x, mean, std, chart))
        state = {"states": torch.stack(states, dim=1), "before": torch.stack(estimates, dim=1), "static": static}
        return Rollout(x * (chart != ABSENT), chart, descriptors, labels, torch.stack(log_prob, dim=1), state)

    def score(self, rollout: Rollout, rows: Tensor, steps: Tensor) -> Scored:
        """Score reverse step steps[i] of row rows[i] again."""
        state, label = rollout.state, rollout.label[rows]
        after, x, before = state["states"][rows, steps + 1], state["states"][rows, steps], state["before"][rows, steps]
        log_prob, kl = in_chunks(self._score, after, x, before, steps, label, state["static"][rows], rollout.chart[rows])
        return Scored(log_prob, kl if self.base is not None else None)

    def mean(
        self, unet: nn.Module, x: Tensor, before: Tensor, step: Tensor, label: Tensor, static: Tensor, chart: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mean of the state after `step` [b] and the clean estimate before it, of one chunk."""
        place = self.places.at(step)
        x0_hat = self.pipeline.codec.clamp(place.alpha * x - place.sigma * unet(x, place.timestep, label, static, chart), chart)
        return step_mean(x0_hat, before, x, place), x0_hat

    def _score(
        self, after: Tensor, x: Tensor, before: Tensor, step: Tensor, label: Tensor, static: Tensor, chart: Tensor
    ) -> tuple[Tensor, Tensor]:
        mean, _ = self.mean(self.unet, x, before, step, label, static, chart)
        std = self.places.at(step).std
        log_prob = gaussian_log_prob(after, mean, std, chart)
        if self.base is None:
            return log_prob, torch.zeros_like(log_prob)
        with torch.no_grad():
            base, _ = self.mean(self.base, x, before, step, label, static, chart)
        return log_prob, gaussian_kl(mean, base, std, chart)
