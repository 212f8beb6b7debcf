"""Objectives: what a gradient guide ascends, as a function of what the classifier sees. Those of influence stand in `influence`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from tardiff.classifier.networks import Classifier
from tardiff.errors import TardiffError

Objective = Callable[[Tensor, Tensor], Tensor]
"""(seen [b, 2 C, t], label [b]) -> a number a sample, [b], or their sum. Samples must not influence each other."""


def log_probability(classifier: Classifier) -> Objective:
    """Classifier guidance's objective (Dhariwal & Nichol, arXiv 2105.05233): log p(label | seen), [b]."""

    def objective(seen: Tensor, label: Tensor) -> Tensor:
        return -F.cross_entropy(classifier.logits(seen), label, reduction="none")

    return objective


def entropy(classifier: Classifier) -> Objective:
    """How unsure the classifier is (Deliberate Practice, arXiv 2502.15588): -sum_k p_k log p_k in nats, [b]; the label is not read."""

    def objective(seen: Tensor, label: Tensor) -> Tensor:
        log_p = classifier.logits(seen).log_softmax(1)
        return -(log_p.exp() * log_p).sum(1)

    return objective


@dataclass(frozen=True)
class Repulsion:
    """Mean squared distance from the nearest reference row [M, 2 C, t] of the sample's class.

    These rows are fixed, so that a sample still depends on its own seed and label alone. IGD (ICLR 2025) keeps away from the samples drawn
    before instead, so that there each depends on all the others.
    """

    reference: Tensor
    label: Tensor

    def __call__(self, seen: Tensor, label: Tensor) -> Tensor:
        """[b, 2 C, t] and [b] to [b]."""
        if not torch.isin(label, self.label).all():
            raise TardiffError("--objective repulsion: a class has no row to keep away from; raise --pilot")
        with torch.no_grad():
            distance = torch.cdist(seen.flatten(1), self.reference.flatten(1))
            nearest = distance.masked_fill(label[:, None] != self.label, torch.inf).argmin(1)
        return (seen - self.reference[nearest]).square().mean(dim=(1, 2))


def mean_of(objectives: Sequence[Objective]) -> Objective:
    """The mean of several objectives (an ensemble of classifiers); of one, that one."""
    if len(objectives) == 1:
        return objectives[0]
    return lambda seen, label: torch.stack([objective(seen, label).sum() for objective in objectives]).mean()
