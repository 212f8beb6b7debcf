"""Influence through every parameter: J(x, y) = <grad_theta L(x, y; theta), v>, by double backward or a finite difference.

`influence` has the last layer in closed form, which costs a forward pass. Here v reaches into the encoder, at a price.
"""

import copy
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tardiff.direction import dot, twice_differentiable
from tardiff.influence import Weights

AGREEMENT = 0.99
STEP_NORM = 0.05

Gradient = Literal["double-backward", "finite-difference"]


@dataclass(frozen=True)
class DoubleBackward:
    """J by differentiating the loss over the weights with its graph kept: exact, four to five backward passes.

    Attributes:
        classifier: in evaluation mode.
        v: parameter name to tensor.
    """

    classifier: nn.Module
    v: Weights

    def __call__(self, seen: Tensor, label: Tensor) -> Tensor:
        """[b, 2 C, t] and [b] to the sum of J over the samples: differentiated over x, it gives each sample its own gradient."""
        parameters = {name: p for name, p in self.classifier.named_parameters() if name in self.v}
        with twice_differentiable():
            loss = self.classifier.loss(seen, label).sum()  # type: ignore[operator]
        gradients = torch.autograd.grad(loss, list(parameters.values()), create_graph=True)
        return torch.stack([(g * self.v[name]).sum() for name, g in zip(parameters, gradients, strict=True)]).sum()


class FiniteDifference:
    """J = (L(x; theta + eps v) - L(x; theta - eps v)) / (2 eps), two plain passes; for networks without kinks.

    Args:
        classifier: in evaluation mode.
        v: parameter name to tensor; eps is `STEP_NORM` / |v|.
    """

    def __init__(self, classifier: nn.Module, v: Weights) -> None:
        self.eps = STEP_NORM / float(dot(v, v).sqrt().clamp(min=1e-30))
        self.plus, self.minus = (_moved(classifier, v, sign * self.eps) for sign in (1, -1))

    def __call__(self, seen: Tensor, label: Tensor) -> Tensor:
        """[b, 2 C, t] and [b] to [b]."""
        return (self.plus.loss(seen, label) - self.minus.loss(seen, label)) / (2 * self.eps)  # type: ignore[operator]


def parameter_influence(
    classifier: nn.Module, v: Weights, seen: Tensor, label: Tensor, gradient: Gradient | Literal["auto"] = "auto"
) -> DoubleBackward | FiniteDifference:
    """J through every parameter that v names.

    Args:
        classifier: in evaluation mode.
        v: the direction.
        seen, label: a few samples, [b, 2 C, t] and [b], on which "auto" compares both ways: the finite difference is taken
            where its gradient over x has a cosine of at least `AGREEMENT` to the exact one (ReLU's kinks can spoil it).
        gradient: the way, or "auto".
    """
    exact = DoubleBackward(classifier, v)
    if gradient == "double-backward":
        return exact
    quick = FiniteDifference(classifier, v)
    if gradient == "finite-difference":
        return quick
    x = seen.detach().requires_grad_(True)
    with torch.enable_grad():
        a, b = (torch.autograd.grad(objective(x, label).sum(), x)[0] for objective in (exact, quick))
    return quick if float(F.cosine_similarity(a.flatten(), b.flatten(), dim=0)) >= AGREEMENT else exact


def _moved(classifier: nn.Module, v: Weights, step: float) -> nn.Module:
    moved = copy.deepcopy(classifier)
    with torch.no_grad():
        for name, parameter in moved.named_parameters():
            if name in v:
                parameter.add_(v[name], alpha=step)
            parameter.requires_grad_(False)
    return moved
