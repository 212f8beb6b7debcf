"""Influence of a training sample on a classifier's loss on guidance rows.

For a gradient step on a sample (x, y) at weights theta, the guidance loss falls by the step size times
J(x, y) = <grad L(x, y; theta), v>, with v the gradient of the guidance loss (TarDiff, arXiv 2504.17613, eq. 6; v is
GradDot's direction, without the inverse Hessian of Koh & Liang). Influence is about the classifier's last layer, where
the gradient of the cross-entropy has a closed form, (p - e_y) [h, 1]^T, and J costs one forward pass; gradients of guidance rows
are about all parameters.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from einops import einsum
from torch import Tensor, nn
from torch.nn import functional as F

from tardiff.classifier import Classifier, State

Weights = dict[str, Tensor]
"""Something of every parameter: its gradient, say."""

Objective = Callable[[Tensor, Tensor], Tensor]
"""(seen [b, 2 C, t], label [b]) -> what a guide ascends: a number a sample, [b], or their sum."""


def class_gradients(classifier: Classifier, seen: Tensor, label: Tensor, classes: int, batch_size: int = 512) -> dict[str, Tensor]:
    """Mean gradient of the loss over the rows of each class, for every parameter: name -> [classes, *shape].

    A class without rows has gradient 0. Memory is bounded by the batch: gradients add up batch by batch.
    """
    classifier.eval()
    by_class = [mean_gradient(classifier, list(_batches(seen[label == c], label[label == c], batch_size))) for c in range(classes)]
    return {name: torch.stack([gradient[name] for gradient in by_class]) for name in by_class[0]}


def mean_gradient(classifier: nn.Module, batches: Sequence[tuple[Tensor, Tensor]]) -> Weights:
    """Gradient of the mean loss over the rows of all batches, by parameter; 0 if there are none."""
    rows = sum(len(label) for _, label in batches)
    total = {name: torch.zeros_like(p) for name, p in classifier.named_parameters()}
    for seen, label in batches:
        loss = classifier.loss(seen, label).sum() / max(1, rows)  # type: ignore[operator]
        for name, gradient in zip(total, torch.autograd.grad(loss, list(classifier.parameters())), strict=True):
            total[name] += gradient
    return total


def last_layer(gradients: dict[str, Tensor]) -> Tensor:
    """The head's part of `class_gradients`, weight and bias side by side: [classes, outputs, width + 1]."""
    return torch.cat([gradients["head.weight"], gradients["head.bias"][..., None]], dim=-1)


def sample_gradient(classifier: Classifier, seen: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    """The two factors of each sample's last-layer gradient: residual p - e_y [b, outputs] and [h, 1] [b, width + 1]."""
    h = classifier.embedding(seen)
    residual = classifier.head(h).softmax(1) - F.one_hot(label, classifier.head.out_features)
    return residual, F.pad(h, (0, 1), value=1.0)


@torch.no_grad()
def class_spreads(classifier: Classifier, seen: Tensor, label: Tensor, classes: int) -> Tensor:
    """Total variance of the last-layer gradients of the rows of each class, [classes]; 0 for a class without rows."""
    residual, h = (torch.cat(parts) for parts in zip(*(sample_gradient(classifier, s, y) for s, y in _batches(seen, label)), strict=True))
    square = residual.square().sum(1) * h.square().sum(1)
    result = torch.zeros(classes)
    for c in torch.unique(label):
        rows = label == c
        mean = einsum(residual[rows], h[rows], "b k, b d -> k d") / rows.sum()
        result[c] = square[rows].mean() - mean.square().sum()
    return result


def _batches(seen: Tensor, label: Tensor, batch_size: int = 512) -> Iterator[tuple[Tensor, Tensor]]:
    return zip(seen.split(batch_size), label.split(batch_size), strict=True)


def raw_influence(residual: Tensor, h: Tensor, v: Tensor) -> Tensor:
    """<residual h^T, v> of each sample, [b]; residual [b, k], h [b, d], v [b, k, d]."""
    return einsum(residual, v, h, "b k, b k d, b d -> b")


def cosine_influence(residual: Tensor, h: Tensor, v: Tensor) -> Tensor:
    """The cosine between each sample's gradient and v, [b], in -1 .. 1.

    A sample gains nothing by a large gradient, so nothing by contradicting its label.
    """
    size = residual.norm(dim=1) * h.norm(dim=1) * v.flatten(1).norm(dim=1)
    return raw_influence(residual, h, v) / size.clamp(min=1e-12)


def fixed_influence(residual: Tensor, h: Tensor, v: Tensor) -> Tensor:
    """Raw influence with each sample's residual held as it is, [b]: only what the record shows can change it, not its contradiction."""
    return raw_influence(residual.detach(), h, v)


@dataclass(frozen=True)
class InfluenceObjective:
    """Influence summed over checkpoints.

    Attributes:
        classifiers: the classifier at each checkpoint, in evaluation mode.
        directions: v of each checkpoint by the sample's class, [classes, outputs, width + 1].
        form: `raw_influence`, `cosine_influence` or `fixed_influence`.
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


def guidance_directions(gradients: list[Tensor], counts: Tensor) -> list[Tensor]:
    """v of the whole guidance set at each checkpoint, the same for samples of every class.

    Args:
        gradients: `last_layer` of the guidance rows at each checkpoint, [classes, outputs, width + 1].
        counts: guidance rows of each class.
    """
    share = counts / counts.sum()
    return [einsum(share, g, "c, c k d -> k d").expand_as(g) for g in gradients]


def gap_directions(gradients: list[Tensor], delivered: list[Tensor]) -> list[Tensor]:
    """What real rows of a class teach and samples of that class do not yet: the difference of their mean gradients."""
    return [real - pilot for real, pilot in zip(gradients, delivered, strict=True)]


def shrinkage(gap: Tensor, noise: Tensor) -> Tensor:
    """How much of a gap to believe: James and Stein's positive part, max(0, 1 - noise / |gap|^2), [classes].

    A few dozen deaths have a mean gradient of their own by chance; following it would teach every sample their accident.

    Args:
        gap: [classes, outputs, width + 1].
        noise: expected squared norm of a gap that is chance alone, [classes].
    """
    return (1 - noise / gap.square().sum(dim=(1, 2)).clamp(min=1e-30)).clamp(min=0)


def at_checkpoints(classifier: Classifier, trajectory: list[State]) -> list[Classifier]:
    """Copies of the classifier with the weights of each checkpoint, in evaluation mode."""
    result = []
    for state in trajectory:
        checkpoint = copy.deepcopy(classifier)
        checkpoint.load_state_dict(state)
        result.append(checkpoint.eval())
    return result
