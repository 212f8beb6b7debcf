"""Membership by the denoising loss: a model denoises best what it has learnt by heart."""

import torch

from tardiff.base.noise import normal, row_seeds
from tardiff.evaluate.privacy.trial import Score, Trial
from tardiff.model.diffusion import denoising_loss, diffuse, noise_schedule
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.model.sampling import in_chunks

TIMESTEPS = (50, 100, 200, 300, 450)  # of 1,000: below, little is left to guess; above, little is known


def loss_over_steps(trial: Trial, pipeline: TarDiffPipeline) -> Score:
    """Minus the mean training loss of each row at fixed timesteps, with noise keyed by row and timestep.

    The loss attack of arXiv 2301.09956, averaged over steps for less noise, as arXiv 2302.01316 (SecMI) compares errors step
    by step.
    """
    rows = trial.rows
    entries, seeds = pipeline.codec.entries(rows), row_seeds(trial.seed, range(len(rows)))
    x0, chart = pipeline.codec.scores(entries), entries.chart
    label, static = torch.from_numpy(rows.label), pipeline.statics.encode(rows.static)
    alpha_bar, denoiser = noise_schedule().alphas_cumprod, pipeline.denoiser()
    total = torch.zeros(len(rows))
    for t in TIMESTEPS:
        x_t, v = diffuse(x0, normal("denoising attack", seeds, t, x0.shape[1:]), alpha_bar[t].expand(len(rows)))
        timestep = torch.full((len(rows),), t)
        with torch.no_grad():
            (v_hat,) = in_chunks(lambda *arguments: (denoiser(*arguments),), x_t, timestep, label, static, chart)
        total += denoising_loss(v_hat, v, chart)
    return -total.double().numpy() / len(TIMESTEPS)
