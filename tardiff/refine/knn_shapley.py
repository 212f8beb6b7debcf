"""Data values: what each sample is worth to a K-nearest-neighbour classifier."""

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS = 10


def knn_shapley(
    embedding: NDArray[np.floating],
    label: NDArray[np.int64],
    real: NDArray[np.floating],
    real_label: NDArray[np.int64],
    neighbours: int = NEIGHBOURS,
) -> NDArray[np.float64]:
    """Shapley value of each sample for a classifier of real records by the K `neighbours` (Jia et al., arXiv 1908.08619, theorem 1).

    The values sum to the classifier's utility: the mean over real records of the share of their K nearest samples that carry
    their label.

    Args:
        embedding: samples in the classifier's embedding, [N, d], N >= K.
        label: [N].
        real: real records in the same embedding, [M, d].
        real_label: [M].

    Returns:
        [N].
    """
    n, k = len(label), min(neighbours, len(label))
    square = (embedding**2).sum(1)
    weight = np.minimum(k, np.arange(1, n)) / np.arange(1, n) / k
    total = np.zeros(n)
    for row, wanted in zip(real, real_label, strict=True):
        order = np.argsort(square - 2 * embedding @ row, kind="stable")
        match = (label[order] == wanted).astype(float)
        last = match[-1] / n
        steps = (match[:-1] - match[1:]) * weight
        total[order] += np.append(last + np.cumsum(steps[::-1])[::-1], last)
    return total / len(real)
