"""Forecasting: how well a small recurrent network that was trained on synthetic records tells the next step of real ones.

The predictive score of TimeGAN (Yoon et al., NeurIPS 2019): train a one-step-ahead forecaster on one set, take its mean absolute
error on real records. Here every channel is forecast, in normal scores, and only values that were observed count.
"""

import copy
from collections.abc import Mapping
from math import ceil
from typing import Any

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor, nn

from tardiff.base.noise import stream
from tardiff.data.holdout import held_out
from tardiff.evaluate.bootstrap import Draws, Resamples
from tardiff.evaluate.cache import Arrays
from tardiff.evaluate.intervals import estimate
from tardiff.evaluate.judges import BATCH, Rows
from tardiff.evaluate.pool import Fit
from tardiff.evaluate.row_sets import Part, Parts, RowSets
from tardiff.evaluate.utility import fit_seeds
from tardiff.settings import EvaluateSettings

WIDTH = 32
STEPS = 300  # about, whatever the number of rows: small sets are learnt as well as large ones
FEWEST_EPOCHS = 3
PATIENCE = 3
LEARNING_RATE = 3e-3
REAL = "train"
COST = 10  # as `judges.COST`


class Forecaster(nn.Module):
    """A GRU that says how each channel will change from its last filled value in the next step."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gru = nn.GRU(2 * channels, WIDTH, batch_first=True)
        self.head = nn.Linear(WIDTH, channels)

    def forward(self, seen: Tensor) -> Tensor:
        """Rows as `Codec.encode` shows them, [b, 2 C, t], to normal scores of steps 1 .. t - 1, [b, C, t - 1]."""
        past = seen[..., :-1]
        if past.shape[-1] == 0:  # a record of one step has no next one
            return past.chunk(2, dim=1)[0]
        hidden, _ = self.gru(rearrange(past, "b c t -> b t c"))
        return past.chunk(2, dim=1)[0] + rearrange(self.head(hidden), "b t c -> b c t")


def fits(sets: RowSets, settings: EvaluateSettings) -> dict[str, list[Fit]]:
    """Forecasters trained on the real rows and on each synthetic set, by role, one a seed."""

    def fit(role: str, seed: int) -> Fit:
        real = (Part(role),), (Part("validation"),)
        learn, stop_on = real if role == REAL else held_apart(role, seed, sets)
        reads = (role, "validation", "test") if role == REAL else (role, "test")
        return Fit(_fit, (learn, stop_on, seed), reads, COST * sets.count(learn))

    return {role: [fit(role, seed) for seed in fit_seeds(settings)] for role in (REAL, *sets.synthetic.values())}


def held_apart(role: str, seed: int, sets: RowSets) -> tuple[Parts, Parts]:
    """Rows of a role to learn from and, held out of them, rows to stop on: what learns from synthetic rows may see no real one.

    They are drawn by labels and seed alone: of two synthetic sets whose rows correspond (same noise, another guide) the same
    ones are held out, so they compare like with like.
    """
    held = held_out(sets.rows[role].label, seed)
    return (Part.of(role, ~held),), (Part.of(role, held),)


def forecast(sets: RowSets, by_role: Mapping[str, list[Fit]], done: Mapping[Fit, Arrays], settings: EvaluateSettings) -> dict[str, Any]:
    """Mean absolute error over the observed values of the test rows, in normal scores; lower is better, real rows are the floor.

    Returns:
        `real`, `sets` by name, and `carried_forward`, which forecasts that nothing changes.
    """
    test = sets.rows["test"]
    resamples = Resamples.draw(sets.subject["test"], settings.bootstrap, stream("test patients", settings.seed))

    def score(role: str) -> dict[str, Any]:
        draws = np.stack([_error(resamples.rows, done[fit]) for fit in by_role[role]], axis=1)
        return estimate(draws, len(test))

    still = absolute_errors(_carried_forward, test)
    return {
        "real": score(REAL),
        "sets": {name: score(role) for name, role in sets.synthetic.items()},
        "carried_forward": estimate(_error(resamples.rows, still), len(test)),
    }


def train_forecaster(train: Rows, validation: Rows, seed: int) -> Forecaster:
    """Fit by mean absolute error of observed values, with early stopping on the validation rows."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Forecaster(train.seen.shape[1] // 2)
        optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE)
        seen = torch.tensor(train.seen)
        best, state, since = np.inf, model.state_dict(), 0
        epochs = max(FEWEST_EPOCHS, ceil(STEPS * BATCH / len(seen))) if seen.shape[-1] > 1 else 0
        for _ in range(epochs):
            for rows in torch.randperm(len(seen)).split(BATCH):
                error, count = _errors(model, seen[rows])
                optimizer.zero_grad()
                (error.sum() / count.sum().clamp(min=1)).backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
            arrays = absolute_errors(model, validation)
            now = arrays["error"].sum() / max(arrays["count"].sum(), 1)
            best, state, since = (now, copy.deepcopy(model.state_dict()), 0) if now < best else (best, state, since + 1)
            if since >= PATIENCE:
                break
    model.load_state_dict(state)
    return model


@torch.no_grad()
def absolute_errors(model: Any, rows: Rows) -> Arrays:
    """Sum of absolute errors and number of observed values of each row from step 1 on, `error` and `count` [n]."""
    parts = [_errors(model, part) for part in torch.tensor(rows.seen).split(4 * BATCH)]
    return {name: torch.cat(column).double().numpy() for name, column in zip(("error", "count"), zip(*parts, strict=True), strict=True)}


def _errors(model: Any, seen: Tensor) -> tuple[Tensor, Tensor]:
    """By row, [b] each."""
    value, mask = seen[..., 1:].chunk(2, dim=1)
    observed = (mask > 0.5).to(value)
    return ((model(seen) - value).abs() * observed).sum((1, 2)), observed.sum((1, 2))


def _carried_forward(seen: Tensor) -> Tensor:
    return seen.chunk(2, dim=1)[0][..., :-1]


def _error(weights: NDArray[np.float32], arrays: Arrays) -> Draws:
    """Weighted sums of errors over weighted counts, [1 + B]."""
    count = weights @ arrays["count"]
    return np.where(count > 0, weights @ arrays["error"] / np.maximum(count, 1e-9), np.nan)


def _fit(sets: RowSets, learn: Parts, stop_on: Parts, seed: int) -> Arrays:
    return absolute_errors(train_forecaster(sets.take(learn), sets.take(stop_on), seed), sets.rows["test"])
