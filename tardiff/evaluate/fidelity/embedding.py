"""Fréchet distance between sets in the embedding of a classifier that learnt from real rows."""

import numpy as np
import torch
from numpy.typing import NDArray

from tardiff.base.noise import stream
from tardiff.classifier import networks as classifier
from tardiff.classifier.networks import Classifier, State
from tardiff.evaluate.bootstrap import Draws, row_weights
from tardiff.evaluate.cache import Arrays
from tardiff.evaluate.fidelity.distance import Distance, Distances
from tardiff.evaluate.fidelity.run import MAX_ROWS
from tardiff.evaluate.fidelity.sample import RESAMPLES, Array
from tardiff.evaluate.judges import BATCH, COST, Rows
from tardiff.evaluate.pool import Fit
from tardiff.evaluate.row_sets import RowSets
from tardiff.settings import ClassifierSettings, EvaluateSettings

CLASSES = 2


def fit_of(sets: RowSets, settings: EvaluateSettings) -> Fit:
    """The encoder: the package's TCN, trained for the task on the real training rows."""
    return Fit(_fit, (settings.seed,), ("train", "validation"), COST["tcn"] * len(sets.rows["train"]))


def frechet(sets: RowSets, weights: State, settings: EvaluateSettings) -> dict[str, Distances]:
    """Fréchet distance of each set's embeddings to those of the real training rows (Heusel et al., NeurIPS 2017), >= 0; 0 is best.

    The same number of rows of every set; its unit is that of the embedding, so it compares sets of one evaluation only.

    Returns:
        `frechet` by role (`held-out`, `synthetic/NAME`).
    """
    encoder = classifier.build(_settings(settings.seed), sets.rows["train"].seen.shape[1], CLASSES)
    encoder.load_state_dict(weights)
    roles = ("held-out", *sets.synthetic.values())
    rows = min(MAX_ROWS, *(len(sets.rows[role]) for role in ("train", *roles)))

    def moments(role: str) -> tuple[Array, Array]:
        random = stream(f"embedding/{role}", settings.seed)
        chosen = np.sort(random.permutation(len(sets.rows[role]))[:rows])
        return weighted_moments(embedded(encoder, sets.rows[role].take(chosen)), row_weights(rows, RESAMPLES, random))

    train = moments("train")
    return {role: {"frechet": Distance(frechet_distance(*moments(role), *train), rows)} for role in roles}


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


def _fit(sets: RowSets, seed: int) -> Arrays:
    learn, stop_on = ((torch.tensor(rows.seen), torch.tensor(rows.label)) for rows in (sets.rows["train"], sets.rows["validation"]))
    found = classifier.fit(*learn, stop_on, _settings(seed), CLASSES)
    return {name: tensor.numpy() for name, tensor in found.classifier.state_dict().items()}
