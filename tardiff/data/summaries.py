"""Seven numbers a channel that sum up a record: what the trees, the logistic regressions and one guide read."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

NAMES = ("mean", "sd", "min", "max", "last", "slope", "observed")
SUMMARIES = len(NAMES)
LAST_STEPS = 4


def summary(value: Tensor, observed: Tensor) -> Tensor:
    """Summaries of forward-filled records, differentiable.

    Args:
        value: filled normal scores, [b, C, t].
        observed: share of the steps observed, [b, C].

    Returns:
        [b, 7 C], one block of C columns for each of `NAMES`: mean, standard deviation, minimum, maximum and mean of the last
        4 steps (scores), least-squares slope (scores a step), share of steps observed (0 to 1).
    """
    time = torch.arange(value.shape[-1], dtype=value.dtype, device=value.device)
    time = time - time.mean()
    variance = value.var(-1, correction=0)
    varies = variance > 0  # the root of a constant record's variance has no gradient
    blocks = (
        value.mean(-1),
        torch.where(varies, variance, 1.0).sqrt() * varies,
        value.amin(-1),
        value.amax(-1),
        value[..., -LAST_STEPS:].mean(-1),
        value @ time / (time @ time).clamp(min=1e-12),
        observed,
    )
    return torch.cat(blocks, dim=1)


def summary_features(seen: Tensor) -> NDArray[np.float64]:
    """Summaries of records as `Codec.encode` gives them, [N, 2 C, T], to [N, 7 C]."""
    value, mask = seen.double().chunk(2, dim=1)
    return summary(value, mask.mean(-1)).numpy()


def observed_shares(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """The last block of `summary_features`, [N, C]: all that is left of a record when only its mask is known."""
    return features[:, -(features.shape[1] // SUMMARIES) :]
