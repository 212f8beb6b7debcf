"""Maximum mean discrepancy: one number for the whole distribution, and whether chance explains it."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from tardiff.evaluate.bootstrap import Draws
from tardiff.evaluate.fidelity.distance import Distance
from tardiff.evaluate.fidelity.sample import Array

PERMUTATIONS = 500


def discrepancy(ours: Array, theirs: Array, weights: NDArray[np.floating], random: np.random.Generator) -> Distance:
    """Squared maximum mean discrepancy of two sets of rows (Gretton et al., JMLR 2012, equation 3).

    The kernel is Gaussian; its width is the median distance of all rows together, which no permutation changes.

    Args:
        ours, theirs: rows of the two sets, [n, d] and [m, d].
        weights: of the rows of both, [1 + B, n + m].

    Returns:
        The discrepancy, unbiased (so it may be below 0), 0 for the same distribution; and as `p_value` the share of permutations of the
        rows between the sets that differ at least as much.
    """
    rows = np.concatenate([ours, theirs])
    squares = cdist(rows, rows, "sqeuclidean")
    width = np.median(squares[np.triu_indices(len(rows), k=1)]) or 1.0
    kernel = np.exp(-squares / width)
    np.fill_diagonal(kernel, 0.0)  # a row and itself (or its copy in a resample) say nothing
    first = np.arange(len(rows)) < len(ours)
    shuffled = random.permuted(np.tile(first, (PERMUTATIONS, 1)), axis=1)
    by_chance = _unbiased(kernel, shuffled.astype(float), (~shuffled).astype(float))
    draws = _unbiased(kernel, weights * first, weights * ~first)
    p_value = float((1 + (by_chance >= draws[0]).sum()) / (1 + PERMUTATIONS))
    return Distance(draws, len(ours), signed=True, more={"p_value": p_value, "permutations": PERMUTATIONS})


def _unbiased(kernel: Array, a: NDArray[np.floating], b: NDArray[np.floating]) -> Draws:
    """For many weightings [K, n + m] of the rows of the first and of the second set at once, [K]."""

    def within(w: NDArray[np.floating]) -> Array:
        return ((w @ kernel) * w).sum(1) / (w.sum(1) ** 2 - (w**2).sum(1))

    return within(a) + within(b) - 2 * ((a @ kernel) * b).sum(1) / (a.sum(1) * b.sum(1))
