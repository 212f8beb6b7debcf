"""Which labels a synthetic data set has, and in which order."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tardiff.base.noise import stream
from tardiff.errors import TardiffError


def ranked_labels(score: NDArray[np.floating], label: NDArray[np.int64]) -> NDArray[np.int64]:
    """Labels [N], as many of each of two classes as `label` has, the last class to the highest scores; ties go to the earlier row."""
    result = np.zeros_like(label)
    result[np.argsort(-score, kind="stable")[: int(label.sum())]] = 1
    return result


def draw_labels(label_ratio: str, class_counts: Sequence[int], n: int, seed: int) -> NDArray[np.int64]:
    """Labels [n] in an order drawn from the seed: "train" (shares as in training), "balanced", or a number, the share of the last class."""
    if n < 1:
        raise TardiffError(f"--n {n}: at least one row is needed")
    counts = np.array(class_counts, dtype=float)
    if label_ratio == "train":
        share = counts / counts.sum()
    elif label_ratio == "balanced":
        share = np.full(len(counts), 1 / len(counts))
    else:
        try:
            last = float(label_ratio)
        except ValueError:
            last = float("nan")
        if not 0 <= last <= 1:
            raise TardiffError(f"--label-ratio {label_ratio}: give train, balanced, or the last class's share between 0 and 1")
        share = np.append(counts[:-1] / counts[:-1].sum() * (1 - last), last)
    edges = np.rint(np.cumsum(share) * n).astype(int)
    label = np.repeat(np.arange(len(share)), np.diff(edges, prepend=0)).astype(np.int64)
    return stream("label", seed).permutation(label)


def labels_to_add(counts: NDArray[np.integer], ratio: float, both: bool) -> NDArray[np.int64]:
    """Labels of synthetic rows, the rarer classes first.

    Args:
        ratio: share of what each class lacks to the most frequent one.
        both: also as many rows of the most frequent class as of all others together.
    """
    missing = np.rint(ratio * (counts.max() - counts)).astype(int)
    label = np.repeat(np.arange(len(counts)), missing).astype(np.int64)
    return np.concatenate([label, np.full(len(label), counts.argmax(), np.int64)]) if both else label
