"""A smooth stand-in for a model without gradients: a small network that learns its probabilities (Hinton et al., arXiv 1503.02531)."""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.metrics import r2_score
from torch import Tensor
from torch.nn import functional as F

from tardiff.classifier.folder import GUIDE_WIDTH
from tardiff.classifier.networks import Classifier, build
from tardiff.settings import ClassifierSettings

ARCHITECTURES = ("summary", "gru")


@dataclass(frozen=True)
class SurrogateFit:
    """How well the stand-in follows the model, on rows that neither of them learnt from.

    Attributes:
        r2: share of the variance of the model's probabilities that it explains; mean over the classes.
        spearman: rank correlation of both probabilities; mean over the classes.
    """

    architecture: str
    r2: float
    spearman: float
    rows: int


def distil(
    learn: tuple[Tensor, NDArray[np.float64]], held: tuple[Tensor, NDArray[np.float64]], seed: int, epochs: int
) -> tuple[Classifier, ClassifierSettings, SurrogateFit]:
    """Train a stand-in of each of `ARCHITECTURES` and keep the one whose held-out cross-entropy to the model is smallest.

    Args:
        learn: rows as `Codec.encode` shows them [N, 2 C, T], and the model's probabilities of them [N, classes].
        held: the same of rows to stop on and to measure the fit.
    """
    tried = []
    for architecture in ARCHITECTURES:
        settings = ClassifierSettings(architecture=architecture, width=GUIDE_WIDTH, epochs=epochs, seed=seed)  # type: ignore[arg-type]
        tried.append((*_distilled(learn, held, settings), settings))
    _, classifier, settings = min(tried, key=lambda one: one[0])
    return classifier, settings, _fit(classifier, settings.architecture, *held)


def _distilled(
    learn: tuple[Tensor, NDArray[np.float64]], held: tuple[Tensor, NDArray[np.float64]], settings: ClassifierSettings
) -> tuple[float, Classifier]:
    """The stand-in at its best epoch, and its held-out cross-entropy there."""
    seen, target = learn[0], torch.from_numpy(learn[1]).float()
    classifier = build(settings, seen.shape[1], target.shape[1])
    optimizer = torch.optim.AdamW(classifier.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
    best, best_epoch, state = float("inf"), 0, classifier.state_dict()
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        for epoch in range(1, settings.epochs + 1):
            classifier.train()
            for rows in torch.randperm(len(seen)).split(settings.batch_size):
                loss = F.cross_entropy(classifier.logits(seen[rows]), target[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            entropy = -float((held[1] * np.log(np.maximum(classifier.probability(held[0]), 1e-12))).sum(1).mean())
            if entropy < best:
                best, best_epoch, state = entropy, epoch, copy.deepcopy(classifier.state_dict())
            if epoch - best_epoch >= settings.patience:
                break
    classifier.load_state_dict(state)
    return best, classifier.eval()


def _fit(classifier: Classifier, architecture: str, seen: Tensor, target: NDArray[np.float64]) -> SurrogateFit:
    ours = classifier.probability(seen)
    varied = [c for c in range(target.shape[1]) if np.ptp(target[:, c]) > 0 and np.ptp(ours[:, c]) > 0]
    rank = float(np.mean([spearmanr(ours[:, c], target[:, c]).statistic for c in varied])) if varied else 0.0
    r2 = float(r2_score(target[:, varied], ours[:, varied])) if varied else 0.0
    return SurrogateFit(architecture, r2, rank, len(target))
