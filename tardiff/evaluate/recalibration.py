"""Recalibration after the fact: probabilities made truer on rows that the model did not learn from."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression

from tardiff.evaluate.calibration import CERTAIN, calibration_intercept, calibration_slope

Recalibrate = Callable[[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
"""(labels [m] and probabilities [m] of the rows to fit on, probabilities [n]) to probabilities [n]."""


def platt(label: NDArray[np.int64], score: NDArray[np.float64], asked: NDArray[np.float64]) -> NDArray[np.float64]:
    """A line on the log-odds (Platt 1999; Cox 1958); unchanged where the rows to fit on have no finite line."""
    plain = np.ones((1, len(label)))
    intercept, slope = (of(label, score, plain)[0] for of in (calibration_intercept, calibration_slope))
    return expit(intercept + slope * logit(np.clip(asked, CERTAIN, 1 - CERTAIN))) if np.isfinite(slope) else asked


def isotonic(label: NDArray[np.int64], score: NDArray[np.float64], asked: NDArray[np.float64]) -> NDArray[np.float64]:
    """The non-decreasing step function nearest to the labels (Zadrozny & Elkan, KDD 2002)."""
    return IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(score, label).predict(asked)


RECALIBRATIONS: dict[str, Recalibrate] = {"platt": platt, "isotonic": isotonic}
