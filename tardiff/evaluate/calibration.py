"""Calibration: whether a probability of 30 % comes true three times in ten, for many weightings of the same rows at once.

And recalibration after the fact: probabilities made truer on rows that the model did not learn from.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression

Floats = NDArray[np.floating]
Recalibrate = Callable[[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
"""(labels [m] and probabilities [m] of the rows to fit on, probabilities [n]) to probabilities [n]."""
BINS = 10
CERTAIN = 1e-6  # probabilities are read as at least this far from 0 and 1
ITERATIONS = 25
STEEPEST = 100.0  # a larger slope means that the scores separate the classes and no finite slope fits


def calibration_slope(label: NDArray[np.int64], score: Floats, weights: Floats) -> NDArray[np.float64]:
    """Slope b of logistic recalibration, logit P(y = 1) = a + b logit(score); 1 is ideal, below 1 is overconfident.

    Cox, Biometrika 1958; Van Calster et al., BMC Medicine 2019. NaN where a weighting leaves one class only or the scores
    separate the classes.
    """
    return _recalibration(label, score, weights)[:, 1]


def calibration_intercept(label: NDArray[np.int64], score: Floats, weights: Floats) -> NDArray[np.float64]:
    """Intercept a of the same fit, in log-odds; 0 is ideal."""
    return _recalibration(label, score, weights)[:, 0]


def calibration_error(label: NDArray[np.int64], score: Floats, weights: Floats) -> NDArray[np.float64]:
    """Expected calibration error, 0 to 1, lower is better.

    Mean over bins of the gap between what was predicted and what came true, each bin weighing as much as it holds (Naeini et
    al., AAAI 2015); the bins are tenths of the scores.
    """
    edges = np.quantile(score, np.linspace(0, 1, BINS + 1)[1:-1])
    member = np.searchsorted(edges, score)[:, None] == np.arange(BINS)
    return np.abs(weights @ (member * (label - score)[:, None])).sum(1) / weights.sum(1, dtype=np.float64)


def _recalibration(label: NDArray[np.int64], score: Floats, weights: Floats) -> NDArray[np.float64]:
    """Maximum likelihood of a and b, [B, 2], by Newton's method; all weightings start from the fit of the plain rows."""
    x = logit(np.clip(score.astype(np.float64), CERTAIN, 1 - CERTAIN))
    if not 0 < label.mean() < 1:
        return np.full((len(weights), 2), np.nan)
    start = _newton(np.array([[logit(label.mean()), 0.0]]), label, x, np.ones((1, len(x))))
    return _newton(start, label, x, weights) if np.isfinite(start).all() else np.full((len(weights), 2), np.nan)


def _newton(theta: NDArray[np.float64], label: NDArray[np.int64], x: NDArray[np.float64], weights: Floats) -> NDArray[np.float64]:
    with np.errstate(all="ignore"):
        for _ in range(ITERATIONS):
            p = expit(theta[:, :1] + theta[:, 1:] * x)
            residual, curvature = weights * (label - p), weights * (p * (1 - p))
            g0, g1 = residual.sum(1, dtype=np.float64), residual @ x
            h00, h01, h11 = curvature.sum(1, dtype=np.float64), curvature @ x, curvature @ (x * x)
            determinant = h00 * h11 - h01**2
            determinant[determinant <= 1e-10 * h00 * h11] = np.nan  # scores that do not differ have no slope
            step = np.stack([h11 * g0 - h01 * g1, h00 * g1 - h01 * g0], axis=1) / determinant[:, None]
            theta = theta + step
            if not (np.abs(step) > 1e-7).any():
                break
    settled = (np.abs(step) <= 1e-4).all(1) & (np.abs(theta[:, 1]) < STEEPEST)
    return np.where(settled[:, None], theta, np.nan)


def platt(label: NDArray[np.int64], score: NDArray[np.float64], asked: NDArray[np.float64]) -> NDArray[np.float64]:
    """A line on the log-odds (Platt 1999; Cox 1958); unchanged where the rows to fit on have no finite line."""
    plain = np.ones((1, len(label)))
    intercept, slope = (of(label, score, plain)[0] for of in (calibration_intercept, calibration_slope))
    return expit(intercept + slope * logit(np.clip(asked, CERTAIN, 1 - CERTAIN))) if np.isfinite(slope) else asked


def isotonic(label: NDArray[np.int64], score: NDArray[np.float64], asked: NDArray[np.float64]) -> NDArray[np.float64]:
    """The non-decreasing step function nearest to the labels (Zadrozny & Elkan, KDD 2002)."""
    return IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(score, label).predict(asked)


RECALIBRATIONS: dict[str, Recalibrate] = {"platt": platt, "isotonic": isotonic}
