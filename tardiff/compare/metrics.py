"""What a classifier of rare outcomes is judged by, and how a reader knows it."""

from functools import partial

from tardiff.evaluate.calibration import calibration_slope
from tardiff.evaluate.metrics import Metric, auprc, auroc, brier, true_positive_rate

METRICS: dict[str, Metric] = {
    "auprc": auprc,
    "auroc": auroc,
    "brier": brier,
    "slope": calibration_slope,
    "sensitivity": partial(true_positive_rate, false_positive_rate=0.1),
}
CALIBRATED = {"brier": "Brier", "slope": "slope"}
"""Metrics that are also given after recalibration on validation rows, and their names in the heads of that table."""
NAMES = {
    "auprc": "AUPRC",
    "auroc": "AUROC",
    "brier": "Brier score",
    "slope": "calibration slope",
    "sensitivity": "sensitivity at 90 % specificity",
}
