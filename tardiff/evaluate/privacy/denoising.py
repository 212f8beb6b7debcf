"""What a model's losses of training say of a record: it denoises best, and finds likeliest, what it has learnt by heart."""

import numpy as np
import torch
from numpy.typing import NDArray

from tardiff.base.noise import normal, row_seeds
from tardiff.data.dataset import Split
from tardiff.model.diffusion import denoising_loss, diffuse, noise_schedule
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.model.sampling import in_chunks

TIMESTEPS = (300, 400, 500, 600, 700)  # of 1,000: below, little is left to guess; above, little is known (arXiv 2301.13188)

Statistics = NDArray[np.float64]
"""What one model says of each row, [n, k]; more means that it knows the row better."""


@torch.no_grad()
def denoising(rows: Split, pipeline: TarDiffPipeline, draws: int, seed: int) -> Statistics:
    """Minus the log of each row's mean denoising loss at each of `TIMESTEPS`, [n, timesteps]; models are compared on the same noise."""
    entries, seeds = pipeline.codec.entries(rows), row_seeds(seed, range(len(rows)))
    given = pipeline.codec.scores(entries), entries.chart, torch.from_numpy(rows.label), pipeline.statics.encode(rows.static)
    x0, chart, label, static = (tensor.to(pipeline.device) for tensor in given)
    alpha_bar, denoiser = noise_schedule().alphas_cumprod.to(pipeline.device), pipeline.denoiser()
    losses = torch.zeros(len(TIMESTEPS), len(rows), dtype=torch.float64)
    for k, t in enumerate(TIMESTEPS):
        timestep = torch.full((len(rows),), t, device=pipeline.device)
        for draw in range(draws):
            noise = normal("denoising attack", seeds, TIMESTEPS[-1] * draw + t, tuple(x0.shape[1:]), pipeline.device)
            x_t, v = diffuse(x0, noise, alpha_bar[timestep])
            (v_hat,) = in_chunks(lambda *arguments: (denoiser(*arguments),), x_t, timestep, label, static, chart)
            losses[k] += denoising_loss(v_hat, v, chart).cpu().double() / draws
    return -np.log(losses.clamp(min=1e-12).numpy().T)


@torch.no_grad()
def charting(rows: Split, pipeline: TarDiffPipeline) -> Statistics:
    """Log-likelihood of each row's chart, nats an entry, [n, 1]."""
    label = torch.from_numpy(rows.label if pipeline.labelled else np.zeros_like(rows.label))
    given = pipeline.codec.entries(rows).chart, label, pipeline.statics.encode(rows.static)
    chart, label, static = (tensor.to(pipeline.device) for tensor in given)
    (unlikely,) = in_chunks(lambda *arguments: (pipeline.charting(*arguments),), chart, label, static)
    return -unlikely.cpu().double().numpy()[:, None]
