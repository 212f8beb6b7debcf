"""Seven numbers a channel that sum up a record: what the trees, the logistic regressions and one guide read."""

import torch
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
    centred = value - value.mean(-1, keepdim=True)
    blocks = (
        value.mean(-1),
        (centred.square().mean(-1) + TINY).sqrt(),
        value.amin(-1),
        value.amax(-1),
        value[..., -LAST_STEPS:].mean(-1),
        value @ time / (time @ time).clamp(min=1e-12),
        observed,
    )
    return torch.cat(blocks, dim=1)


TINY = 1e-12  # a constant record has a standard deviation of 0, whose gradient would be infinite
