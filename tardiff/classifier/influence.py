"""Gradients of a classifier's loss over its last layer: what influence is made of.

For a gradient step on a sample (x, y) at weights theta, the loss of the guidance rows falls by the step size times
<grad L(x, y; theta), v>, with v the gradient of that loss (TarDiff, arXiv 2504.17613, eq. 6; GradDot's direction, without the
inverse Hessian of Koh & Liang). In the last layer the gradient of the cross-entropy has a closed form, (p - e_y) [h, 1]^T, so the
influence of a sample costs one forward pass.
"""

import copy

import torch
from torch import Tensor
from torch.nn import functional as F

from tardiff.classifier.networks import Classifier, State


def class_gradients(classifier: Classifier, seen: Tensor, label: Tensor, classes: int, batch_size: int = 512) -> Tensor:
    """Mean last-layer gradient of the loss over the rows of each class, weight and bias side by side: [classes, outputs, width + 1].

    A class without rows has gradient 0. Memory is bounded by the batch: gradients add up batch by batch.
    """
    classifier.eval()
    return torch.stack([_mean_gradient(classifier, seen[label == c], label[label == c], batch_size) for c in range(classes)])


def _mean_gradient(classifier: Classifier, seen: Tensor, label: Tensor, batch_size: int) -> Tensor:
    head = [classifier.head.weight, classifier.head.bias]
    total = [torch.zeros_like(parameter) for parameter in head]
    batches = zip(seen.split(batch_size), label.split(batch_size), strict=True) if len(label) else ()
    for rows, labels in batches:
        loss = classifier.loss(rows, labels).sum() / len(label)
        for part, gradient in zip(total, torch.autograd.grad(loss, head), strict=True):
            part += gradient
    return torch.cat([total[0], total[1][:, None]], dim=1)


def sample_gradient(classifier: Classifier, seen: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    """The two factors of each sample's last-layer gradient: residual p - e_y [b, outputs] and [h, 1] [b, width + 1]."""
    h = classifier.embedding(seen)
    residual = classifier.head(h).softmax(1) - F.one_hot(label, classifier.head.out_features)
    return residual, F.pad(h, (0, 1), value=1.0)


def at_checkpoints(classifier: Classifier, trajectory: list[State]) -> list[Classifier]:
    """Copies of the classifier with the weights of each checkpoint, in evaluation mode."""
    result = []
    for state in trajectory:
        checkpoint = copy.deepcopy(classifier)
        checkpoint.load_state_dict(state)
        result.append(checkpoint.eval())
    return result
