"""A quick figure of merit of samples: what models trained on them predict of real rows."""

import numpy as np
from numpy.typing import NDArray

from tardiff.evaluate.bootstrap import Draws, Resamples
from tardiff.evaluate.judges import Rows
from tardiff.evaluate.metrics import auprc
from tardiff.evaluate.row_sets import Part, RowSets
from tardiff.evaluate.train_and_judge import judge_fit, judged

QUICK = ("logistic", "trees")
FITS = 3


def tstr(rows: Rows, real: Rows, resamples: Resamples, seed: int) -> Draws:
    """AUPRC on real rows of `QUICK` trained on synthetic ones, their mean, [1 + B, `FITS`]."""
    sets = RowSets({"samples": rows, "real": real})

    def scores(judge: str) -> NDArray[np.float64]:
        fits = [judge_fit(judge, (Part("samples"),), {"real": (Part("real"),)}, seed + k, sets) for k in range(FITS)]
        return np.stack([fit.run(sets)["real"] for fit in fits])

    return np.mean([judged(real.label, scores(judge), resamples, {"auprc": auprc})["auprc"] for judge in QUICK], axis=0)
