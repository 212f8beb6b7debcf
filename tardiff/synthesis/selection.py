"""Choosing among samples instead of steering them: the rival of guidance, for more compute."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tardiff.guidance.objectives import Objective


def influence_scores(objective: Objective, seen: Tensor, label: Tensor, batch_size: int = 512) -> NDArray[np.float64]:
    """An influence objective of each sample, [N]."""
    with torch.no_grad():
        parts = [objective(s, y) for s, y in zip(seen.split(batch_size), label.split(batch_size), strict=True)]
    return torch.cat(parts).cpu().double().numpy()


def best_of_each_class(score: NDArray[np.floating], label: NDArray[np.int64], keep: NDArray[np.int64]) -> NDArray[np.intp]:
    """Row numbers, ascending, of the `keep[c]` highest scores of each class c; ties go to the earlier row."""
    chosen = []
    for c, count in enumerate(keep):
        rows = np.flatnonzero(label == c)
        chosen.append(rows[np.argsort(-score[rows], kind="stable")[:count]])
    return np.sort(np.concatenate(chosen))
