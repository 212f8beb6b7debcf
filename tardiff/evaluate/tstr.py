"""A quick figure of merit of samples: what models trained on them predict of real rows."""

import numpy as np

from tardiff.data.holdout import held_out
from tardiff.evaluate.bootstrap import Draws, Resamples
from tardiff.evaluate.judges import Rows, fit_predict
from tardiff.evaluate.metrics import auprc, positive_score

JUDGES = ("logistic", "trees")
FITS = 2


def tstr(rows: Rows, real: Rows, resamples: Resamples, seed: int) -> Draws:
    """AUPRC on real rows of `JUDGES` trained on synthetic ones, their mean, [1 + B].

    Args:
        rows: synthetic rows; a fifth of each class stops the fits.
        real: rows to predict.
        resamples: of the real rows' patients and of `FITS` fits.
        seed: of the fits.
    """
    held = held_out(rows.label, seed)
    train, stop_on = rows.take(np.flatnonzero(~held)), rows.take(np.flatnonzero(held))
    scores = [np.stack([positive_score(fit_predict(name, train, stop_on, real, seed + k)) for k in range(FITS)]) for name in JUDGES]
    return np.mean([resamples.mean_over_fits(auprc, real.label, score) for score in scores], axis=0)
