"""Where synthetic rows lie among real ones: inside, everywhere, and not on top of them."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from tardiff.evaluate.bootstrap import Draws
from tardiff.evaluate.fidelity.sample import Array

NEIGHBOURS = 5
SHARES = np.linspace(0, 1, 41)


def support(other: Array, real: Array, other_weights: NDArray[np.floating], real_weights: NDArray[np.floating]) -> dict[str, Draws]:
    """Five numbers that ask of each row where its neighbours are, [1 + B] each.

    Alaa et al. (ICML 2022, arXiv 2102.08921), with the mean as the centre of a set:

    - `alpha_precision`: 1 - 2 x the area between the diagonal and the share of synthetic rows within the ball that holds a
      share alpha of the real rows; 1 is best.
    - `beta_recall`: the same of the share of real rows whose nearest synthetic row is no farther than their 5th real
      neighbour and within the ball that holds a share beta of the synthetic rows.
    - `authenticity`: share of synthetic rows that lie farther from their nearest real row than that row's nearest real
      neighbour does; 0 for copies.

    Naeem et al. (ICML 2020, arXiv 2002.09797), a real row's ball reaching to its 5th real neighbour:

    - `density`: number of such balls that a synthetic row lies in, over 5, mean over synthetic rows; about 1 for real rows.
    - `coverage`: share of such balls that hold a synthetic row.

    Balls and neighbours are those of all rows; draws weigh the rows that are averaged over.

    Args:
        other, real: rows of both sets, [m, d] and [n, d].
        other_weights, real_weights: [1 + B, m] and [1 + B, n].
    """
    among, between = cdist(real, real), cdist(real, other)
    np.fill_diagonal(among, np.inf)
    near = np.sort(np.partition(among, NEIGHBOURS - 1, axis=1)[:, :NEIGHBOURS], axis=1)
    nearest_real, nearest_other = between.argmin(0), between.argmin(1)
    found = between.min(1) <= near[:, -1]
    inside = _within(other, real)
    reached = _within(other[nearest_other], other) & found[:, None]
    return {
        "alpha_precision": _agreement(_means(other_weights, inside)),
        "beta_recall": _agreement(_means(real_weights, reached)),
        "authenticity": _means(other_weights, between.min(0) > near[nearest_real, 0]),
        "density": _means(other_weights, (between < near[:, -1:]).sum(0) / NEIGHBOURS),
        "coverage": _means(real_weights, between.min(1) < near[:, -1]),
    }


def _within(rows: Array, of: Array) -> NDArray[np.bool_]:
    """Whether each row lies in the ball around the centre of `of` that holds each share of it, [n, shares]."""
    centre = of.mean(0)
    radii = np.quantile(np.linalg.norm(of - centre, axis=1), SHARES)
    return np.linalg.norm(rows - centre, axis=1)[:, None] <= radii * (1 + 1e-12)


def _agreement(curve: Array) -> Draws:
    """1 - 2 x the area between curve and diagonal, [1 + B, shares] to [1 + B]."""
    return 1 - 2 * np.trapezoid(np.abs(curve - SHARES), SHARES, axis=1)


def _means(weights: NDArray[np.floating], by_row: NDArray[np.generic]) -> Array:
    """[n, ...] to [1 + B, ...]."""
    total = weights.sum(1, dtype=np.float64).reshape(-1, *(1,) * (by_row.ndim - 1))
    return (weights @ by_row.astype(np.float64)) / total
