"""How well probabilities predict a binary label, for many weightings of the same rows at once.

Every metric has the signature `metric(label [n], score [n], weights [B, n]) -> [B]`: row b is the metric with row i counted
`weights[b, i]` times. A bootstrap is then one call.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tardiff.errors import TardiffError
from tardiff.evaluate.calibration import calibration_error, calibration_intercept, calibration_slope

Floats = NDArray[np.floating]
Metric = Callable[[NDArray[np.int64], Floats, Floats], NDArray[np.float64]]


def auroc(label: NDArray[np.int64], score: Floats, weights: Floats) -> NDArray[np.float64]:
    """Area under the receiver operating characteristic, 0 to 1, higher is better, 0.5 for chance; ties count half.

    The probability that a random positive row scores above a random negative one (Hanley & McNeil, Radiology 1982).
    NaN where a weighting leaves one class only.
    """
    hits, before, upto = _at_positives(label, score, weights)
    gained = np.diff(hits, axis=1)
    negatives = weights.sum(1, dtype=np.float64) - hits[:, -1]
    above = (before - hits[:, :-1] + upto - hits[:, 1:]) / 2  # negatives ranked above, those tied counting half
    with np.errstate(invalid="ignore", divide="ignore"):
        return 1 - (gained * above).sum(1) / (hits[:, -1] * negatives)


def auprc(label: NDArray[np.int64], score: Floats, weights: Floats) -> NDArray[np.float64]:
    """Average precision, 0 to 1, higher is better; chance is the share of positive rows.

    Mean over the positives of the precision at their threshold, without interpolation (scikit-learn's
    `average_precision_score`). NaN where a weighting leaves no positive.
    """
    hits, _, upto = _at_positives(label, score, weights)
    precision = hits[:, 1:] / np.where(upto > 0, upto, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (np.diff(hits, axis=1) * precision).sum(1) / hits[:, -1]


def brier(label: NDArray[np.int64], score: Floats, weights: Floats) -> NDArray[np.float64]:
    """Mean squared error of the probability, 0 to 1, lower is better (Brier, Monthly Weather Review 1950)."""
    return (weights @ (score - label) ** 2) / weights.sum(1, dtype=np.float64)


def true_positive_rate(label: NDArray[np.int64], score: Floats, weights: Floats, false_positive_rate: float) -> NDArray[np.float64]:
    """Largest share of the positive rows above a threshold that at most so large a share of the negative rows is above, 0 to 1.

    NaN where a weighting leaves one class only.
    """
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    ends = np.append(ranked[1:] != ranked[:-1], True)  # rows of equal score are above a threshold together
    positive = label[order] == 1
    hits, alarms = (np.cumsum(weights[:, order] * which, axis=1, dtype=np.float64)[:, ends] for which in (positive, ~positive))
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.where(alarms <= false_positive_rate * alarms[:, -1:], hits, 0).max(1) / hits[:, -1]
    return np.where(alarms[:, -1] > 0, found, np.nan)


METRICS: dict[str, Metric] = {
    "auprc": auprc,
    "auroc": auroc,
    "brier": brier,
    "calibration_slope": calibration_slope,
    "calibration_intercept": calibration_intercept,
    "calibration_error": calibration_error,
}
SHARES = ("auprc", "auroc", "brier", "brier_platt", "brier_isotonic", "calibration_error", "sensitivity")
"""Metrics that lie between 0 and 1."""


def positive_score(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """Column 1 of binary class probabilities [..., 2]."""
    if probability.shape[-1] != 2:
        raise TardiffError(f"the task has {probability.shape[-1]} classes; evaluation is for tasks with two")
    return probability[..., 1]


def _at_positives(
    label: NDArray[np.int64], score: Floats, weights: Floats
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Weights along the ranking, at the G groups of equal score that hold a positive; both areas change only there.

    Returns:
        Weight of the positives before the first group and up to the end of each, [B, 1 + G]; weight of all rows before
        each group and up to its end, [B, G].
    """
    order = np.argsort(-score, kind="stable")
    ranked, positive = score[order], label[order] == 1
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) + 1
    starts = np.append(0, ends[:-1])
    positives_upto = np.append(0, np.cumsum(positive))
    held = positives_upto[ends] > positives_upto[starts]
    mass = _running_sum(weights[:, order])
    hits = _running_sum(weights[:, order[positive]])[:, np.append(0, positives_upto[ends[held]])]
    return hits, mass[:, starts[held]], mass[:, ends[held]]


def _running_sum(weights: Floats) -> NDArray[np.float64]:
    """[B, n] to [B, 1 + n], starting from 0."""
    total = np.zeros((len(weights), weights.shape[1] + 1))
    np.cumsum(weights, axis=1, out=total[:, 1:])
    return total
