"""What a rare-outcome classifier is judged by, for many weightings of the same rows at once (see `evaluate.metrics`)."""

import numpy as np
from numpy.typing import NDArray

from tardiff.evaluate.metrics import Floats, Metric, auprc, auroc, brier

SPECIFICITY = 0.9
NEWTON_STEPS = 25
EDGE = 1e-6


def sensitivity(label: NDArray[np.int64], score: Floats, weights: Floats) -> NDArray[np.float64]:
    """Largest share of positive rows that score above a threshold at which 90 % of the negative rows do not, [B].

    NaN where a weighting leaves one class only.
    """
    order = np.argsort(-score, kind="stable")
    ranked, positive = score[order], (label[order] == 1).astype(np.float64)
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))  # rows of equal score are above a threshold together
    mass = weights[:, order].astype(np.float64)
    hits, misses = (np.cumsum(mass * part, axis=1)[:, ends] for part in (positive, 1 - positive))
    with np.errstate(invalid="ignore", divide="ignore"):
        share, alarms = hits / hits[:, -1:], misses / misses[:, -1:]
    allowed = np.where(alarms <= 1 - SPECIFICITY + 1e-12, share, 0.0).max(axis=1)
    return np.where((hits[:, -1] > 0) & (misses[:, -1] > 0), allowed, np.nan)


def calibration_slope(label: NDArray[np.int64], score: Floats, weights: Floats) -> NDArray[np.float64]:
    """Slope of a logistic regression of the label on the score's log-odds, [B]; 1 is calibrated, below 1 overconfident (Cox 1958).

    Fitted by Newton's method. NaN where a weighting leaves one class only or the scores do not vary.
    """
    clipped = np.clip(score, EDGE, 1 - EDGE)
    x = np.log(clipped / (1 - clipped))
    y, w = label.astype(np.float64), weights.astype(np.float64)
    centre, spread = x.mean(), x.std()
    if spread == 0:
        return np.full(len(weights), np.nan)
    z = (x - centre) / spread
    intercept, slope = np.zeros(len(w)), np.zeros(len(w))
    for _ in range(NEWTON_STEPS):
        p = 1 / (1 + np.exp(-np.clip(intercept[:, None] + slope[:, None] * z, -30, 30)))
        residual, curvature = w * (y - p), w * p * (1 - p)
        g0, g1 = residual.sum(1), residual @ z
        h00, h01, h11 = curvature.sum(1), curvature @ z, curvature @ z**2
        with np.errstate(invalid="ignore", divide="ignore"):
            determinant = h00 * h11 - h01**2
            step0, step1 = (h11 * g0 - h01 * g1) / determinant, (h00 * g1 - h01 * g0) / determinant
        intercept, slope = intercept + np.clip(step0, -2, 2), slope + np.clip(step1, -2, 2)
        if np.nanmax(np.abs(step1), initial=0.0) < 1e-9:
            break
    positives = w @ y
    return np.where((positives > 0) & (positives < w.sum(1)), slope / spread, np.nan)


METRICS: dict[str, Metric] = {
    "auprc": auprc,
    "auroc": auroc,
    "brier": brier,
    "slope": calibration_slope,
    "sensitivity": sensitivity,
}
NAMES = {
    "auprc": "AUPRC",
    "auroc": "AUROC",
    "brier": "Brier score",
    "slope": "calibration slope",
    "sensitivity": "sensitivity at 90 % specificity",
}
