"""The influence function's direction in the last layer: v = (H + lambda I)^-1 g (Koh & Liang, arXiv 1703.04730), exactly.

The last layer with the cross-entropy is a convex problem, whose Hessian H is the mean of (diag(p) - p p^T) (x) [h, 1] [h, 1]^T over
rows. It is small enough to factor.
"""

import torch
from einops import einsum, rearrange
from torch import Tensor
from torch.nn import functional as F

from tardiff.classifier.networks import Classifier
from tardiff.errors import TardiffError

DAMPING = 0.1
"""lambda as a share of H's mean eigenvalue (as Grosse et al., arXiv 2308.03296, have it)."""
LARGEST = 2048
"""Weights of a last layer whose Hessian is worth its room, 16 MB."""


@torch.no_grad()
def last_layer_hessian(classifier: Classifier, seen: Tensor, batch_size: int = 256) -> Tensor | None:
    """H of the mean loss of rows [N, 2 C, T], float32 [outputs (width + 1), outputs (width + 1)]; it does not depend on their labels.

    Returns:
        None where the layer has more than `LARGEST` weights.
    """
    if not len(seen):
        raise TardiffError("a Hessian needs rows, here are none")
    size = classifier.head.out_features * (classifier.head.in_features + 1)
    if size > LARGEST:
        return None
    total = torch.zeros(size, size, dtype=torch.float64)
    for rows in seen.split(batch_size):
        h = classifier.embedding(rows)
        p = classifier.head(h).double().softmax(1)
        h = F.pad(h, (0, 1), value=1.0).double()
        part = einsum(torch.diag_embed(p) - einsum(p, p, "b k, b l -> b k l"), h, h, "b k l, b d, b e -> k d l e")
        total += rearrange(part, "k d l e -> (k d) (l e)")
    return (total / len(seen)).float()


def last_layer_direction(hessian: Tensor, g: Tensor, damping: float = DAMPING) -> Tensor:
    """v = (H + lambda I)^-1 g in the last layer, [outputs, width + 1], by Cholesky.

    Args:
        hessian: H, as `last_layer_hessian` gives it.
        g: gradient over the last layer, weight and bias side by side, [outputs, width + 1].
        damping: lambda over the mean eigenvalue of H, above 0, because H is singular.
    """
    matrix = hessian.cpu().double()
    mean = matrix.trace() / len(matrix)
    if mean <= 0:
        raise TardiffError("--curvature last-layer: the classifier is certain of every row, so its loss has no curvature; use none")
    factor = torch.linalg.cholesky(matrix + damping * mean * torch.eye(len(matrix), dtype=torch.float64))
    return torch.cholesky_solve(g.cpu().double().reshape(-1, 1), factor).reshape(g.shape).to(g)
