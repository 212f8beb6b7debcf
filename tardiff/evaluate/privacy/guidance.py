"""Membership by what guidance reads: a classifier, and the gradients of its guidance rows. No attack on a generator sees either."""

from collections.abc import Iterator

import torch
from einops import einsum, rearrange
from sklearn.covariance import ledoit_wolf
from torch import Tensor

from tardiff.classifier.folder import ClassifierFolder
from tardiff.classifier.influence import sample_gradient
from tardiff.classifier.networks import Classifier
from tardiff.data.dataset import Split
from tardiff.evaluate.privacy.trial import Score, Trial

TINY = 1e-9  # keeps the covariance of rows that are all the same invertible


def classifier_loss(trial: Trial, folder: ClassifierFolder) -> Score:
    """Minus the classifier's loss of each row (arXiv 1709.01604): a model fits best what it has learnt."""
    with torch.no_grad():
        return -torch.cat([folder.classifier.loss(seen, label) for seen, label in _seen(trial.rows, folder)]).cpu().double().numpy()


def gradient_alignment(trial: Trial, folder: ClassifierFolder) -> Score:
    """How far each row's last-layer gradient g points the way of the stored one, summed over checkpoints.

    The stored v is the mean gradient of the guidance rows of a class, so each of them has left 1 / N of its own in it. What
    the rows of a class have in common is no sign of membership: with m and S the mean and the covariance (shrunk as Ledoit and
    Wolf say) of the gradients of the reference rows of the class, the score is (g - m)^T S^-1 (v - m), the likelihood-ratio
    form of the attack on published means (Homer et al., PLoS Genetics 2008; Dwork et al., FOCS 2015).
    """
    label, theirs = (torch.from_numpy(rows.label) for rows in (trial.rows, trial.reference))
    total = torch.zeros(len(label), dtype=torch.float64)
    for checkpoint, stored in zip(folder.checkpoints(), folder.gradients, strict=True):
        ours, reference = (_gradients(checkpoint, rows, folder) for rows in (trial.rows, trial.reference))
        for c, v in enumerate(stored.cpu().flatten(1).double()):
            total[label == c] += _alignment(ours[label == c], v, reference[theirs == c])
    return total.numpy()


def _alignment(gradients: Tensor, v: Tensor, reference: Tensor) -> Tensor:
    """(g - m)^T S^-1 (v - m) of each row, [n]; gradients [n, d], v [d], reference [m, d]. 0 if there is no reference."""
    if not len(reference):
        return torch.zeros(len(gradients), dtype=torch.float64)
    mean = reference.mean(0)
    covariance = torch.from_numpy(ledoit_wolf(reference.numpy())[0]) + TINY * torch.eye(len(v))
    return (gradients - mean) @ torch.linalg.solve(covariance, v - mean)


def _gradients(classifier: Classifier, split: Split, folder: ClassifierFolder) -> Tensor:
    """Last-layer gradient of each row's loss, float64 [n, outputs * (width + 1)]."""
    with torch.no_grad():
        parts = [sample_gradient(classifier, seen, label) for seen, label in _seen(split, folder)]
    return torch.cat([rearrange(einsum(residual, h, "b k, b d -> b k d"), "b k d -> b (k d)") for residual, h in parts]).cpu().double()


def _seen(split: Split, folder: ClassifierFolder) -> Iterator[tuple[Tensor, Tensor]]:
    seen, label = folder.codec.encode(split).to(folder.device), torch.from_numpy(split.label).to(folder.device)
    return zip(seen.split(512), label.split(512), strict=True)
