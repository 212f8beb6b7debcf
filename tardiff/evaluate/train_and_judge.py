"""The one way of training a model on some rows and judging it on others.

judge_fit      a model, the rows it learns from and those it is asked about -> a `Fit`
run_fits       fits -> what each gives, cached and side by side (`pool`)
judged         what it gave and resamples -> every metric in every resample
tstr           all of it for a set of samples, as a quick figure of merit
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from tardiff.evaluate.bootstrap import Draws, Resamples
from tardiff.evaluate.cache import Arrays
from tardiff.evaluate.judges import COST, PLAIN, Rows, Variant, fit_judge
from tardiff.evaluate.metrics import METRICS, Metric, auprc, positive_score
from tardiff.evaluate.pool import Fit
from tardiff.evaluate.row_sets import Part, Parts, RowSets

QUICK = ("logistic", "trees")
FITS = 3
"""Judges of `tstr`, and fits of each."""


def judge_fit(judge: str, learn: Parts, ask: Mapping[str, Parts], seed: int, sets: RowSets, variant: Variant = PLAIN) -> Fit:
    """Train a judge and ask it about rows: the fit gives the probability of class 1 of each of them, [n] by name."""
    roles = dict.fromkeys(part.role for parts in (learn, *ask.values()) for part in parts)
    return Fit(_train_and_ask, (judge, learn, tuple(ask.items()), seed, variant), tuple(roles), COST[judge] * sets.count(learn))


def _train_and_ask(sets: RowSets, judge: str, learn: Parts, ask: tuple[tuple[str, Parts], ...], seed: int, variant: Variant) -> Arrays:
    predict = fit_judge(judge, sets.take(learn), seed, variant=variant)
    return {name: positive_score(predict(sets.take(parts))) for name, parts in ask}


def judged(
    label: NDArray[np.int64], score: NDArray[np.float64], resamples: Resamples, metrics: Mapping[str, Metric] = METRICS
) -> dict[str, Draws]:
    """Draws of every metric of one cell, [1 + B, S] each, from probabilities of class 1, [S, n]; cells that share resamples pair."""
    return {name: resamples.by_fit(metric, label, score) for name, metric in metrics.items()}


def tstr(rows: Rows, real: Rows, resamples: Resamples, seed: int) -> Draws:
    """AUPRC on real rows of `QUICK` trained on synthetic ones, their mean, [1 + B, `FITS`]."""
    sets = RowSets({"samples": rows, "real": real})

    def scores(judge: str) -> NDArray[np.float64]:
        fits = [judge_fit(judge, (Part("samples"),), {"real": (Part("real"),)}, seed + k, sets) for k in range(FITS)]
        return np.stack([fit.run(sets)["real"] for fit in fits])

    return np.mean([judged(real.label, scores(judge), resamples, {"auprc": auprc})["auprc"] for judge in QUICK], axis=0)
