"""Advantage weighted matching: PPO whose log-probability is the denoising loss."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tardiff.base.noise import normal, uniform
from tardiff.model.diffusion import denoising_loss, diffuse, noise_schedule
from tardiff.model.sampling import in_chunks
from tardiff.refine.generator import Rollout, Scored
from tardiff.refine.trajectories import DiffusionGenerator

DRAWS = 8
ALPHA_BAR = noise_schedule().alphas_cumprod


class MatchingGenerator(DiffusionGenerator):
    """Advantage weighted matching (arXiv 2509.25050): a record's log-probability is minus its denoising loss.

    So PPO's ratio and clip stand, no trajectory is kept, and the loss is that of training, weighted by advantages. Each row has
    `DRAWS` steps and noises that its losses are taken at, before and after an update.
    """

    def sample(self, label: NDArray[np.int64], seeds: Sequence[int]) -> Rollout:
        """Draw one record a seed, and its denoising losses."""
        drawn = super().sample(label, seeds)
        times = uniform("awm time", seeds, 0, (DRAWS,), drawn.x0.device)
        noise = normal("awm noise", seeds, 0, (DRAWS, *drawn.x0.shape[1:]), drawn.x0.device)
        state = {"static": drawn.state["static"], "noise": noise, "timestep": (times * len(ALPHA_BAR)).long()}
        x0, log_prob = self.pipeline.codec.clamp(drawn.x0, drawn.chart), drawn.x0.new_zeros(len(label), DRAWS)
        rollout = replace(drawn, x0=x0, log_prob=log_prob, state=state)
        every = torch.arange(len(label) * DRAWS, device=drawn.x0.device)
        with torch.no_grad():
            log_prob = self.score(rollout, every // DRAWS, every % DRAWS).log_prob
        return replace(rollout, log_prob=log_prob.reshape(len(label), DRAWS))

    def score(self, rollout: Rollout, rows: Tensor, steps: Tensor) -> Scored:
        """Minus the loss of row rows[i] at its draw steps[i]; kl is the squared distance to the base's prediction."""
        noise, timestep = rollout.state["noise"][rows, steps], rollout.state["timestep"][rows, steps]
        arguments = rollout.x0[rows], noise, timestep, rollout.label[rows], rollout.state["static"][rows], rollout.chart[rows]
        log_prob, kl = in_chunks(self._match, *arguments)
        return Scored(log_prob, kl if self.base is not None else None)

    def _match(self, x0: Tensor, noise: Tensor, timestep: Tensor, label: Tensor, static: Tensor, chart: Tensor) -> tuple[Tensor, Tensor]:
        x_t, v = diffuse(x0, noise, ALPHA_BAR.to(x0.device)[timestep])
        v_hat = self.unet(x_t, timestep, label, static, chart)
        loss = denoising_loss(v_hat, v, chart)
        if self.base is None:
            return -loss, torch.zeros_like(loss)
        with torch.no_grad():
            v_base = self.base(x_t, timestep, label, static, chart)
        return -loss, denoising_loss(v_hat, v_base, chart)
