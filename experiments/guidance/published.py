"""The rule of TarDiff's released code, step by step, for comparison only: it changes nothing that float32 could show.

Its strength is applied twice (1e-5 to the gradient and again to the update), the gradient of a batch-mean loss is normalised
over the whole batch, so a sample depends on its neighbours, and the update also shrinks the estimate.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tardiff.classifier.curvature import twice_differentiable
from tardiff.classifier.influence import Weights
from tardiff.model.sampling import Step

ALPHA = 1e-5
TINY = 1e-6


@dataclass(frozen=True)
class PublishedGuide:
    """x0_hat becomes (1 - alpha) x0_hat + alpha g, with g = alpha times the gradient over x0_hat of <normalised gradient, v>.

    Attributes:
        classifier: in evaluation mode.
        v: sum of the guidance rows' gradients, divided by its norm.
        see: codec space to what the classifier sees.
        alpha: strength, in both places.
    """

    classifier: nn.Module
    v: Weights
    see: Callable[[Tensor], Tensor]
    alpha: float = ALPHA
    through: bool = False

    def acts(self, step: Step) -> bool:
        """At every step."""
        return True

    def __call__(self, x0_hat: Tensor, label: Tensor, step: Step, x_t: Tensor) -> Tensor:
        """x0_hat [b, c, t] to its change; every sample's change depends on all of the batch, as published."""
        return self.alpha * (self.gradient(x0_hat, label) - x0_hat)

    def gradient(self, x0_hat: Tensor, label: Tensor) -> Tensor:
        """g, [b, c, t]."""
        with torch.enable_grad():
            x = x0_hat.detach().requires_grad_(True)
            with twice_differentiable():
                loss = self.classifier.loss(self.see(x), label).mean()  # type: ignore[operator]
            gradients = torch.autograd.grad(loss, list(self.classifier.parameters()), create_graph=True)
            size = torch.stack([g.square().sum() for g in gradients]).sum().sqrt()
            names = [name for name, _ in self.classifier.named_parameters()]
            j = torch.stack([(g / (size + TINY) * self.v[name]).sum() for name, g in zip(names, gradients, strict=True)]).sum()
            return self.alpha * torch.autograd.grad(j, x)[0]
