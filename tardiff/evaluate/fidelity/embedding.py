"""Fréchet distance between sets in the embedding of a classifier that learnt from real rows."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tardiff.base.noise import stream
from tardiff.classifier import networks as classifier
from tardiff.classifier.networks import Classifier, State
from tardiff.evaluate.bootstrap import Draws, estimate, recentred, row_weights
from tardiff.evaluate.cache import Arrays
from tardiff.evaluate.fidelity.compare import MAX_ROWS
from tardiff.evaluate.fidelity.sample import RESAMPLES, Array
from tardiff.evaluate.judges import BATCH, Rows
from tardiff.evaluate.pool import COST, Fit
from tardiff.evaluate.row_sets import Bench
from tardiff.settings import ClassifierSettings, EvaluateSettings


def fit_of(bench: Bench, settings: EvaluateSettings) -> Fit:
    """The encoder: the package's TCN, trained for the task on the real training rows."""
    return Fit(_fit, (settings.seed,), ("train", "validation"), COST["tcn"] * len(bench.train))


def encoder_weights(bench: Bench, done: Mapping[Fit, Arrays], settings: EvaluateSettings) -> State:
    """The encoder's weights by name."""
    return {name: torch.from_numpy(array.copy()) for name, array in done[fit_of(bench, settings)].items()}


def frechet(bench: Bench, weights: State, settings: EvaluateSettings) -> dict[str, dict[str, Any]]:
    """Fréchet distance of each set's embeddings to those of the real training rows (Heusel et al., NeurIPS 2017), >= 0; 0 is best.

    The same number of rows of every set; its unit is that of the embedding, so it compares sets of one evaluation only.

    Returns:
        `frechet` by role (`held-out`, `synthetic/NAME`).
    """
    encoder = classifier.build(_settings(settings.seed), bench.train.seen.shape[1], bench.classes)
    encoder.load_state_dict(weights)
    roles = ("held-out", *(f"synthetic/{name}" for name in bench.names))
    rows = min(MAX_ROWS, len(bench.train), *(len(bench.rows[role]) for role in roles))

    def moments(role: str) -> tuple[Array, Array]:
        random = stream(f"embedding/{role}", settings.seed)
        chosen = np.sort(random.permutation(len(bench.rows[role]))[:rows])
        return weighted_moments(embedded(encoder, bench.rows[role].take(chosen)), row_weights(rows, RESAMPLES, random))

    train = moments("train")
    return {role: {"frechet": estimate(recentred(frechet_distance(*moments(role), *train)), rows)} for role in roles}


@torch.no_grad()
def embedded(encoder: Classifier, rows: Rows) -> Array:
    """What the encoder's last layer reads of each row, [n, width]."""
    encoder.eval()
    return torch.cat([encoder.embedding(part) for part in torch.tensor(rows.seen).split(4 * BATCH)]).double().numpy()


def weighted_moments(rows: Array, weights: NDArray[np.floating]) -> tuple[Array, Array]:
    """Mean [1 + B, d] and covariance [1 + B, d, d] of rows [n, d] under each weighting [1 + B, n]."""
    total = weights.sum(1, dtype=np.float64)
    mean = weights @ rows / total[:, None]
    second = np.stack([(rows * w[:, None]).T @ rows for w in weights]) / total[:, None, None]
    return mean, second - mean[:, :, None] * mean[:, None, :]


def frechet_distance(mean: Array, covariance: Array, other_mean: Array, other_covariance: Array) -> Draws:
    """|m - m'|^2 + tr(S + S' - 2 (S S')^(1/2)) of many pairs of normal distributions at once, [K]."""
    root = _root(covariance)
    product = np.linalg.eigvalsh(root @ other_covariance @ root)
    overlap = np.sqrt(np.maximum(product, 0)).sum(-1)
    traces = np.trace(covariance, axis1=1, axis2=2) + np.trace(other_covariance, axis1=1, axis2=2)
    return np.maximum(((mean - other_mean) ** 2).sum(-1) + traces - 2 * overlap, 0)


def _root(covariance: Array) -> Array:
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.maximum(values, 0))[:, None, :]) @ vectors.transpose(0, 2, 1)


def _settings(seed: int) -> ClassifierSettings:
    return ClassifierSettings(architecture="tcn", batch_size=BATCH, seed=seed)


def _fit(bench: Bench, seed: int) -> Arrays:
    stop_on = torch.tensor(bench.validation.seen), torch.tensor(bench.validation.label)
    found = classifier.fit(torch.tensor(bench.train.seen), torch.tensor(bench.train.label), stop_on, _settings(seed), bench.classes)
    return {name: tensor.numpy() for name, tensor in found.classifier.state_dict().items()}
