"""Membership by the loss of training: a model denoises best, and finds likeliest, what it has learnt by heart."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import torch

from tardiff.base.noise import normal, row_seeds
from tardiff.data.dataset import Dataset, Split
from tardiff.evaluate.privacy.trial import Score, Trial
from tardiff.model.diffusion import denoising_loss, diffuse, noise_schedule
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.model.sampling import in_chunks
from tardiff.model.training import train
from tardiff.settings import TrainSettings

TIMESTEPS = tuple(range(300, 700, 20))  # of 1,000: below, little is left to guess; above, little is known (arXiv 2301.13188)
FEW_TIMESTEPS = (300, 400, 500, 600)
MOST_STEPS = 1000


def loss_over_steps(trial: Trial, pipeline: TarDiffPipeline, timesteps: Sequence[int] = FEW_TIMESTEPS) -> Score:
    """Minus the log of each row's mean denoising loss at fixed timesteps, with noise keyed by row and timestep.

    The loss attack of arXiv 2301.09956, averaged over steps for less noise, as arXiv 2302.01316 (SecMI) compares errors step
    by step.
    """
    return -np.log(_losses(trial, pipeline, timesteps))


def calibrated_loss(trial: Trial, pipeline: TarDiffPipeline, reference: TarDiffPipeline) -> Score:
    """The same, less what a model says that was trained on other patients (difficulty calibration, arXiv 2111.08440).

    Some patients are easy for every model; what is left is what this one learnt of them.
    """
    return loss_over_steps(trial, pipeline, TIMESTEPS) - loss_over_steps(trial, reference, TIMESTEPS)


def calibrated_charting(trial: Trial, pipeline: TarDiffPipeline, reference: TarDiffPipeline) -> Score:
    """Log-likelihood of each row's chart, an entry, less that by a model which was trained on other patients."""
    return _charting(trial.rows, pipeline) - _charting(trial.rows, reference)


def reference_model(trial: Trial, pipeline: TarDiffPipeline, real: Dataset) -> TarDiffPipeline:
    """A model trained as the pipeline was, for `MOST_STEPS` at most, on the rows that the attacker has.

    Args:
        trial: whose reference rows it learns.
        pipeline: the model under attack.
        real: the data set that the rows are of.
    """
    known = msgspec.convert({**pipeline.card.settings, "epsilon": None}, TrainSettings)
    settings = replace(known, steps=min(known.steps, MOST_STEPS), batch_size=min(known.batch_size, len(trial.reference)))
    rows = Dataset(real.manifest, {"train": trial.reference}).completed()
    with tempfile.TemporaryDirectory() as folder:
        model = train(rows if pipeline.labelled else rows.unlabelled(), Path(folder) / "reference", settings, progress=False)
        return model.to(pipeline.device)


def _losses(trial: Trial, pipeline: TarDiffPipeline, timesteps: Sequence[int]) -> Score:
    """Mean denoising loss of each row, [2 n]."""
    rows = trial.rows
    entries, seeds = pipeline.codec.entries(rows), row_seeds(trial.seed, range(len(rows)))
    device, given = pipeline.device, (pipeline.codec.scores(entries), entries.chart, torch.from_numpy(rows.label))
    x0, chart, label, static = (tensor.to(device) for tensor in (*given, pipeline.statics.encode(rows.static)))
    alpha_bar, denoiser = noise_schedule().alphas_cumprod.to(device), pipeline.denoiser()
    total = torch.zeros(len(rows), device=device)
    for t in timesteps:
        x_t, v = diffuse(x0, normal("denoising attack", seeds, t, tuple(x0.shape[1:]), device), alpha_bar[t].expand(len(rows)))
        timestep = torch.full((len(rows),), t, device=device)
        with torch.no_grad():
            (v_hat,) = in_chunks(lambda *arguments: (denoiser(*arguments),), x_t, timestep, label, static, chart)
        total += denoising_loss(v_hat, v, chart)
    return (total.cpu().double() / len(timesteps)).clamp(min=1e-12).numpy()


@torch.no_grad()
def _charting(rows: Split, pipeline: TarDiffPipeline) -> Score:
    """Log-likelihood of each row's chart, nats an entry, [2 n]."""
    label = torch.from_numpy(rows.label if pipeline.labelled else np.zeros_like(rows.label))
    given = pipeline.codec.entries(rows).chart, label, pipeline.statics.encode(rows.static)
    chart, label, static = (tensor.to(pipeline.device) for tensor in given)
    (unlikely,) = in_chunks(lambda *arguments: (pipeline.charting(*arguments),), chart, label, static)
    return -unlikely.cpu().double().numpy()
