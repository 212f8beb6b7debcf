"""Influence objectives: how a sample's last-layer gradient lies to a direction v that the guidance rows give.

They are summed over three checkpoints of the classifier's training: its first, middle and last. Their gradient over x points the same
way as that of all (five to seven): cosine .98 to 1.00 for `cosine` and `contrastive`, .97 to .99 for `raw`, over 256 noised stays of
PhysioNet 2012 and a committee, a GRU and a `summary`. The last checkpoint alone does not: .57 to .96 and .18 to .54.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from einops import einsum
from torch import Tensor

from tardiff.classifier.curvature import last_layer_direction
from tardiff.classifier.folder import ClassifierFolder
from tardiff.classifier.influence import at_checkpoints, sample_gradient
from tardiff.classifier.networks import Classifier
from tardiff.errors import TardiffError


def raw_influence(residual: Tensor, h: Tensor, v: Tensor) -> Tensor:
    """<residual h^T, v> of each sample, [b]; residual [b, k], h [b, d], v [b, k, d]."""
    return einsum(residual, v, h, "b k, b k d, b d -> b")


def cosine_influence(residual: Tensor, h: Tensor, v: Tensor) -> Tensor:
    """The cosine between each sample's gradient and v, [b], in -1 .. 1.

    A sample gains nothing by a large gradient, so nothing by contradicting its label.
    """
    size = residual.norm(dim=1) * h.norm(dim=1) * v.flatten(1).norm(dim=1)
    return raw_influence(residual, h, v) / size.clamp(min=1e-12)


Form = Callable[[Tensor, Tensor, Tensor], Tensor]
"""`raw_influence` or `cosine_influence`."""


@dataclass(frozen=True)
class InfluenceObjective:
    """Influence summed over checkpoints.

    Attributes:
        classifiers: the classifier at each checkpoint, in evaluation mode.
        directions: v of each checkpoint by the sample's class, [classes, outputs, width + 1].
    """

    classifiers: list[Classifier]
    directions: list[Tensor]
    form: Form

    def __call__(self, seen: Tensor, label: Tensor) -> Tensor:
        """[b, 2 C, t] and [b] to [b]."""
        terms = [
            self.form(*sample_gradient(classifier, seen, label), v[label])
            for classifier, v in zip(self.classifiers, self.directions, strict=True)
        ]
        return torch.stack(terms).sum(dim=0)


def cosine(folder: ClassifierFolder) -> InfluenceObjective:
    """Cosine with the gradient of the guidance rows, along the classifier's training (IGD, ICLR 2025)."""
    return _along_training(folder, guidance_direction, cosine_influence)


def contrastive(folder: ClassifierFolder) -> InfluenceObjective:
    """Cosine with the gradient of the guidance rows of the sample's class minus that of the others (C2I, arXiv 2607.12464)."""
    return _along_training(folder, contrastive_direction, cosine_influence)


def raw(folder: ClassifierFolder, curvature: str = "none") -> InfluenceObjective:
    """The fall of the guidance rows' loss for a gradient step on the sample.

    Args:
        curvature: `none` sums products over the training (TarDiff, arXiv 2504.17613; TracIn, arXiv 2002.08484); `last-layer` is the
            influence function at the final weights (Koh & Liang, arXiv 1703.04730).
    """
    if curvature == "none":
        return _along_training(folder, guidance_direction, raw_influence)
    if folder.hessian is None:
        raise TardiffError(
            "--curvature last-layer: the classifier's folder holds no Hessian (it is older than them, or its last layer is too wide); "
            "fit the classifier again, or use --curvature none"
        )
    g = guidance_direction(folder.gradients[-1], folder.card.guidance_counts)
    v = last_layer_direction(folder.hessian, g[0])
    return InfluenceObjective([folder.classifier], [v.expand_as(g)], raw_influence)


def _along_training(folder: ClassifierFolder, direction: Callable[[Tensor, Sequence[int]], Tensor], form: Form) -> InfluenceObjective:
    """The sum over the first, middle and last checkpoint."""
    last = len(folder.trajectory) - 1
    chosen = sorted({0, (last + 1) // 2, last})
    classifiers = at_checkpoints(folder.classifier, [folder.trajectory[k] for k in chosen])
    return InfluenceObjective(classifiers, [direction(folder.gradients[k], folder.card.guidance_counts) for k in chosen], form)


def guidance_direction(gradients: Tensor, counts: Sequence[int]) -> Tensor:
    """v of the whole guidance set from its `class_gradients`, the same for samples of every class, [classes, outputs, width + 1]."""
    rows = torch.tensor(counts, dtype=torch.float32, device=gradients.device)
    return einsum(rows / rows.sum(), gradients, "c, c k d -> k d").expand_as(gradients)


def contrastive_direction(gradients: Tensor, counts: Sequence[int]) -> Tensor:
    """v of each class: the mean gradient of its guidance rows minus that of all others, [classes, outputs, width + 1]."""
    if 0 in counts:
        raise TardiffError("--objective contrastive: a class has no guidance row; choose guidance rows of every class")
    rows = torch.tensor(counts, dtype=torch.float32, device=gradients.device)
    others = rows.expand(len(rows), -1) * (1 - torch.eye(len(rows), device=rows.device))
    return gradients - einsum(others / others.sum(1, keepdim=True), gradients, "c o, o k d -> c k d")
