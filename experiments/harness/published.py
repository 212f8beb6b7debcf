"""The rule of TarDiff's released code, step by step, for comparison only: it changes nothing that float32 could show.

Its strength is applied twice (1e-5 to the gradient and again to the update), the gradient of a batch-mean loss is normalised
over the whole batch, so a sample depends on its neighbours, and the update also shrinks the estimate.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from tardiff.classifier.folder import ClassifierFolder
from tardiff.classifier.networks import Classifier
from tardiff.data.dataset import Split
from tardiff.model.sampling import Step

ALPHA = 1e-5
TINY = 1e-6


@dataclass(frozen=True)
class PublishedGuide:
    """x0_hat becomes (1 - alpha) x0_hat + alpha g, with g = alpha times the gradient over x0_hat of <normalised gradient, v>.

    Attributes:
        classifier: in evaluation mode.
        v: gradient of the guidance rows' loss over all parameters, divided by its norm.
        see: x0 and chart to what the classifier sees.
        alpha: strength, in both places.
    """

    classifier: Classifier
    v: Tensor
    see: Callable[[Tensor, Tensor], Tensor]
    alpha: float = ALPHA
    through_denoiser: bool = False

    def acts(self, step: Step) -> bool:
        """At every step."""
        return True

    def __call__(self, x0_hat: Tensor, chart: Tensor, label: Tensor, step: Step, x_t: Tensor) -> Tensor:
        """x0_hat [b, c, t] to its change; every sample's change depends on all of the batch, as published."""
        return self.alpha * (self.gradient(x0_hat, chart, label) - x0_hat)

    def gradient(self, x0_hat: Tensor, chart: Tensor, label: Tensor) -> Tensor:
        """g, [b, c, t]."""
        with torch.enable_grad():
            x = x0_hat.detach().requires_grad_(True)
            g = loss_gradient(self.classifier, self.see(x, chart), label, twice=True)
            j = (g / (g.norm() + TINY) * self.v).sum()
            return self.alpha * torch.autograd.grad(j, x)[0]


def published_guide(folder: ClassifierFolder, guidance: Split) -> PublishedGuide:
    """The guide of a classifier that serves some guidance rows."""
    v = loss_gradient(folder.classifier, folder.codec.encode(guidance), torch.from_numpy(guidance.label))
    return PublishedGuide(folder.classifier, v / v.norm(), folder.codec.seen)


def loss_gradient(classifier: Classifier, seen: Tensor, label: Tensor, twice: bool = False) -> Tensor:
    """Gradient of the mean loss over all of a classifier's parameters, one after the other, [p].

    Args:
        classifier: in evaluation mode.
        seen: [b, 2 C, t].
        label: [b].
        twice: whether it is differentiated again; fused attention has no second derivative, the plain one does.
    """
    with sdpa_kernel(SDPBackend.MATH):
        loss = classifier.loss(seen, label).mean()
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(classifier.parameters()), create_graph=twice)])
