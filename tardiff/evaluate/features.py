"""Summary features of a record: what the trees and the logistic regression read."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BLOCKS = ("mean", "sd", "min", "max", "last", "slope", "observed")
LAST_STEPS = 4


def summary_features(x: Tensor) -> NDArray[np.float64]:
    """Seven numbers a channel, from the forward-filled record.

    Args:
        x: records in model space as `Codec.encode` gives them, [N, 2 C, T]: filled normal scores, then mask bits of +-1.

    Returns:
        [N, 7 C], one block of C columns for each name in `BLOCKS`: mean, standard deviation, minimum, maximum and mean of
        the last 4 steps (scores), least-squares slope (scores a step), share of steps observed (0 to 1).
    """
    value, bits = x.double().chunk(2, dim=1)
    time = torch.arange(value.shape[-1], dtype=torch.float64)
    time = time - time.mean()
    blocks = (
        value.mean(-1),
        value.std(-1, correction=0),
        value.amin(-1),
        value.amax(-1),
        value[..., -LAST_STEPS:].mean(-1),
        value @ time / (time @ time).clamp(min=1e-12),
        (bits > 0).double().mean(-1),
    )
    return torch.cat(blocks, dim=1).numpy()


def observed_shares(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """The last block of `summary_features`, [N, C]: all that is left of a record when only its mask is known."""
    return features[:, -(features.shape[1] // len(BLOCKS)) :]
