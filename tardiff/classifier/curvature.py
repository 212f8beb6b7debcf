"""The direction of the influence function in the last layer: v = (H + damping I)^-1 g (Koh & Liang, arXiv 1703.04730), exactly.

The last layer with the cross-entropy is a convex problem, whose Hessian is the mean of (diag(p) - p p^T) (x) [h, 1] [h, 1]^T over
rows. It is small enough to factor.
"""

import torch
from einops import einsum, rearrange
from torch import Tensor
from torch.nn import functional as F

from tardiff.classifier.networks import Classifier
from tardiff.errors import TardiffError


@torch.no_grad()
def last_layer_direction(classifier: Classifier, seen: Tensor, label: Tensor, g: Tensor, damping: float, batch_size: int = 256) -> Tensor:
    """v = (H + damping I)^-1 g in the last layer, [outputs, width + 1], by Cholesky.

    Args:
        classifier: in evaluation mode.
        seen, label: rows whose mean loss has the Hessian H, [N, 2 C, T] and [N].
        g: gradient over the last layer, weight and bias side by side, [outputs, width + 1].
        damping: added to the diagonal, in the unit of H.
        batch_size: rows held in memory at a time.

    Raises:
        TardiffError: there is no row, or the damping is not above 0.
    """
    if not len(label):
        raise TardiffError("the guidance set is empty; a direction needs rows")
    if damping <= 0:
        raise TardiffError(f"damping {damping}: must be above 0, because H may be singular")
    k, d = g.shape
    hessian = sum((_hessian(classifier, rows) for rows in seen.split(batch_size)), start=torch.zeros(k, d, k, d, dtype=torch.float64))
    matrix = rearrange(hessian / len(label), "k d l e -> (k d) (l e)") + damping * torch.eye(k * d, dtype=torch.float64)
    v = torch.cholesky_solve(g.double().reshape(-1, 1), torch.linalg.cholesky(matrix))
    return v.reshape(k, d).to(g)


def _hessian(classifier: Classifier, seen: Tensor) -> Tensor:
    """Sum over rows, [k, d, k, d]; it does not depend on labels."""
    h = classifier.embedding(seen)
    p = classifier.head(h).double().softmax(1)
    h = F.pad(h, (0, 1), value=1.0).double()
    return einsum(torch.diag_embed(p) - einsum(p, p, "b k, b l -> b k l"), h, h, "b k l, b d, b e -> k d l e")
