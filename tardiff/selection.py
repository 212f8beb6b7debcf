"""Choosing among samples instead of steering them: the rival of guidance, for more compute."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tardiff.influence import Objective

NEIGHBOURS = 10


def influence_scores(objective: Objective, seen: Tensor, label: Tensor, batch_size: int = 512) -> NDArray[np.float64]:
    """An influence objective of each sample, [N].

    Args:
        objective: (seen, label) -> [b].
        seen: [N, 2 C, T].
        label: [N].
        batch_size: samples at a time.
    """
    with torch.no_grad():
        parts = [objective(s, y) for s, y in zip(seen.split(batch_size), label.split(batch_size), strict=True)]
    return torch.cat(parts).double().numpy()


def knn_shapley(
    embedding: NDArray[np.floating],
    label: NDArray[np.int64],
    judge: NDArray[np.floating],
    judge_label: NDArray[np.int64],
    neighbours: int = NEIGHBOURS,
) -> NDArray[np.float64]:
    """Shapley value of each sample for a K-nearest-neighbour classifier of the judges (Jia et al., arXiv 1908.08619, theorem 1).

    The values sum to the classifier's utility: the mean over judges of the share of their K nearest samples that carry
    their label.

    Args:
        embedding: samples in the classifier's embedding, [N, d], N >= K.
        label: [N].
        judge: real records in the same embedding, [M, d].
        judge_label: [M].
        neighbours: K.

    Returns:
        [N].
    """
    n, k = len(label), min(neighbours, len(label))
    square = (embedding**2).sum(1)
    weight = np.minimum(k, np.arange(1, n)) / np.arange(1, n) / k
    total = np.zeros(n)
    for row, wanted in zip(judge, judge_label, strict=True):
        order = np.argsort(square - 2 * embedding @ row, kind="stable")
        match = (label[order] == wanted).astype(float)
        last = match[-1] / n
        steps = (match[:-1] - match[1:]) * weight
        total[order] += np.append(last + np.cumsum(steps[::-1])[::-1], last)
    return total / len(judge)


def best_of_each_class(score: NDArray[np.floating], label: NDArray[np.int64], keep: NDArray[np.int64]) -> NDArray[np.intp]:
    """Row numbers, ascending, of the `keep[c]` highest scores of each class c; ties go to the earlier row."""
    chosen = []
    for c, count in enumerate(keep):
        rows = np.flatnonzero(label == c)
        chosen.append(rows[np.argsort(-score[rows], kind="stable")[:count]])
    return np.sort(np.concatenate(chosen))
