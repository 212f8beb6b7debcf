"""Columns of the comparison that need no judge: how real samples look and what they give away."""

from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import ks_2samp
from sklearn.metrics import normalized_mutual_info_score, roc_auc_score

from tardiff.base.noise import stream
from tardiff.classifier.networks import fit
from tardiff.data.codec import Codec
from tardiff.data.dataset import Split
from tardiff.evaluate.privacy.closest import closest
from tardiff.settings import ClassifierSettings

BINS = 8
NETWORKS = 4


def discriminator_auc(samples: Split, strangers: Split, codec: Codec, seed: int) -> float:
    """AUROC of fresh networks (temporal convolutions) that tell samples from real rows nobody has read; 0.5 is the best.

    As many samples as strangers. Each network has a draw and a split of its own: it learns from 40 %, stops on 20 % and is asked about
    40 %. Their patience is long: one that stops before it has learnt would count as blind, and a mean of four moves by .07.
    """
    return float(np.mean([_one_auc(samples, strangers, codec, NETWORKS * seed + k) for k in range(NETWORKS)]))


def _one_auc(samples: Split, strangers: Split, codec: Codec, seed: int) -> float:
    random = stream("discriminator auc", seed)
    size = min(len(samples), len(strangers))
    rows = [split.take(random.permutation(len(split))[:size]) for split in (samples, strangers)]
    seen = torch.cat([codec.encode(split) for split in rows])
    real = torch.arange(2 * size) // size
    order = torch.from_numpy(random.permutation(2 * size))
    first, second = int(0.8 * size), int(1.2 * size)
    learn, stop, ask = order[:first], order[first:second], order[second:]
    settings = ClassifierSettings(architecture="tcn", width=32, epochs=80, patience=12, seed=seed)
    network = fit(seen[learn], real[learn], (seen[stop], real[stop]), settings, 2).classifier
    return float(roc_auc_score(real[ask].numpy(), network.probability(seen[ask])[:, 1]))


def marginals(samples: Split, strangers: Split, codec: Codec) -> dict[str, float]:
    """Distances to real rows that nobody has read, all >= 0.

    - `ks`: Kolmogorov-Smirnov distance of the observed values, mean over channels.
    - `rate_rmse`, `mean_rmse`: dimension-wise (channel and hour) distance of observed rates and of mean scores.
    - `nmi`: mean absolute difference of the channels' normalised mutual information.
    """
    ks = []
    for c in range(samples.values.shape[1]):
        ours, theirs = (split.values[:, c][split.mask[:, c] == 1] for split in (samples, strangers))
        ks.append(ks_2samp(ours, theirs, method="asymp").statistic if len(ours) and len(theirs) else 1.0)
    x = [codec.encode(split).numpy() for split in (samples, strangers)]
    channels = x[0].shape[1] // 2
    gap = x[0].mean(0) - x[1].mean(0)
    nmi = np.abs(_information(x[0][:, :channels]) - _information(x[1][:, :channels])).mean()
    figures = {"ks": np.mean(ks), "rate_rmse": _rms(gap[channels:]), "mean_rmse": _rms(gap[:channels]), "nmi": nmi}
    return {name: round(float(value), 5) for name, value in figures.items()}


def membership_auc(samples: Split, members: Split, strangers: Split, codec: Codec) -> float:
    """AUROC of telling training rows from strangers by the distance to their nearest sample; 0.5 is the best."""
    ours, inside, outside = (codec.encode(split).flatten(1) for split in (samples, members, strangers))
    score = -np.concatenate([closest(inside, ours), closest(outside, ours)])
    return float(roc_auc_score(np.repeat([1, 0], [len(inside), len(outside)]), score))


def _rms(gap: NDArray[np.floating]) -> float:
    return float(np.sqrt(np.square(gap).mean()))


def _information(score: NDArray[np.floating]) -> NDArray[np.float64]:
    """Normalised mutual information of each pair of channels, from mean scores of rows in `BINS` fixed bins."""
    level = np.digitize(score.mean(-1), np.linspace(-1.5, 1.5, BINS - 1))
    pairs = combinations(range(score.shape[1]), 2)
    return np.array([normalized_mutual_info_score(level[:, a], level[:, b]) for a, b in pairs] or [0.0])
