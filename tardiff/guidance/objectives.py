"""Objectives: what a gradient guide ascends, as a function of what the classifier sees. Here those of a classifier's probabilities."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from tardiff.classifier.networks import Classifier

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


def mean_of(objectives: Sequence[Objective]) -> Objective:
    """The mean of several objectives (an ensemble of classifiers); of one, that one."""
    if len(objectives) == 1:
        return objectives[0]
    return lambda seen, label: torch.stack([objective(seen, label).sum() for objective in objectives]).mean()
