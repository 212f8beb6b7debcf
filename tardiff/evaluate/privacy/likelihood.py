"""Membership by the likelihood under the probability flow (the likelihood attack of arXiv 2301.09956)."""

import torch

from tardiff.base.noise import row_seeds
from tardiff.evaluate.privacy.trial import Score, Trial
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.model.sampling import log_likelihood

ROWS = 200  # of members, and of others: each costs some hundred passes through the denoiser
STEPS = 10


def flow_likelihood(trial: Trial, pipeline: TarDiffPipeline) -> Score:
    """log p(x0 | chart) of each row, in nats."""
    rows = trial.rows
    entries = pipeline.codec.entries(rows)
    log_p = log_likelihood(
        pipeline.denoiser(),
        pipeline.codec.scores(entries).to(pipeline.device),
        entries.chart.to(pipeline.device),
        torch.from_numpy(rows.label).to(pipeline.device),
        static=pipeline.statics.encode(rows.static).to(pipeline.device),
        seeds=row_seeds(trial.seed, range(len(rows))),
        steps=STEPS,
    )
    return log_p.cpu().double().numpy()
