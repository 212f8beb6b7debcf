"""Objectives: what a gradient guide ascends, as a function of what the classifier sees."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from einops import einsum
from torch import Tensor
from torch.nn import functional as F

from tardiff.classifier.folder import ClassifierFolder
from tardiff.classifier.influence import sample_gradient
from tardiff.classifier.networks import Classifier

Objective = Callable[[Tensor, Tensor], Tensor]
"""(seen [b, 2 C, t], label [b]) -> a number a sample, [b], or their sum. Samples must not influence each other."""


def log_probability(classifier: Classifier) -> Objective:
    """Classifier guidance's objective (Dhariwal & Nichol, arXiv 2105.05233): log p(label | seen), [b]."""

    def objective(seen: Tensor, label: Tensor) -> Tensor:
        return -F.cross_entropy(classifier.logits(seen), label, reduction="none")

    return objective


def raw_influence(residual: Tensor, h: Tensor, v: Tensor) -> Tensor:
    """<residual h^T, v> of each sample, [b]; residual [b, k], h [b, d], v [b, k, d]."""
    return einsum(residual, v, h, "b k, b k d, b d -> b")


def cosine_influence(residual: Tensor, h: Tensor, v: Tensor) -> Tensor:
    """The cosine between each sample's gradient and v, [b], in -1 .. 1.

    A sample gains nothing by a large gradient, so nothing by contradicting its label.
    """
    size = residual.norm(dim=1) * h.norm(dim=1) * v.flatten(1).norm(dim=1)
    return raw_influence(residual, h, v) / size.clamp(min=1e-12)


FORMS = {"raw": raw_influence, "cosine": cosine_influence}


@dataclass(frozen=True)
class InfluenceObjective:
    """Influence summed over checkpoints.

    Attributes:
        classifiers: the classifier at each checkpoint, in evaluation mode.
        directions: v of each checkpoint by the sample's class, [classes, outputs, width + 1].
        form: `raw_influence` or `cosine_influence`.
    """

    classifiers: list[Classifier]
    directions: list[Tensor]
    form: Callable[[Tensor, Tensor, Tensor], Tensor]

    def __call__(self, seen: Tensor, label: Tensor) -> Tensor:
        """[b, 2 C, t] and [b] to [b]."""
        terms = [
            self.form(*sample_gradient(classifier, seen, label), v[label])
            for classifier, v in zip(self.classifiers, self.directions, strict=True)
        ]
        return torch.stack(terms).sum(dim=0)


def influence(folder: ClassifierFolder, form: str = "cosine") -> InfluenceObjective:
    """Influence on the loss of a classifier's guidance rows, along its training.

    Args:
        folder: the classifier, with the gradients of its guidance rows.
        form: a key of `FORMS`.
    """
    return InfluenceObjective(folder.checkpoints(), guidance_directions(folder.gradients, folder.card.guidance_counts), FORMS[form])


def guidance_directions(gradients: Sequence[Tensor], counts: Sequence[int]) -> list[Tensor]:
    """v of the whole guidance set at each checkpoint, the same for samples of every class.

    Args:
        gradients: `class_gradients` of the guidance rows at each checkpoint, [classes, outputs, width + 1].
        counts: guidance rows of each class.
    """
    rows = torch.tensor(counts, dtype=torch.float32)
    share = rows / rows.sum()
    return [einsum(share, g, "c, c k d -> k d").expand_as(g) for g in gradients]


def mean_of(objectives: Sequence[Objective]) -> Objective:
    """The mean of several objectives (an ensemble of classifiers); of one, that one."""
    if len(objectives) == 1:
        return objectives[0]
    return lambda seen, label: torch.stack([objective(seen, label).sum() for objective in objectives]).mean()
