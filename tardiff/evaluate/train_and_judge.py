"""The one way of training a model on some rows and judging it on others.

judge_fit      a model, the rows it learns from, stops on and is asked about -> a `Fit`
run_fits       fits -> what each gives, cached and side by side (`pool`)
judged         what it gave and resamples -> every metric in every resample
best_of        candidates -> the one whose models do best on validation rows
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tardiff.data.holdout import held_out
from tardiff.evaluate.bootstrap import Draws, Resamples
from tardiff.evaluate.cache import Arrays
from tardiff.evaluate.judges import COST, fit_judge
from tardiff.evaluate.metrics import METRICS, Metric, auprc, positive_score
from tardiff.evaluate.pool import Fit
from tardiff.evaluate.row_sets import Part, Parts, RowSets


def judge_fit(
    judge: str, learn: Parts, stop_on: Parts, ask: Mapping[str, Parts], seed: int, sets: RowSets, *, balanced: bool = False
) -> Fit:
    """Train a judge and ask it about rows: the fit gives the probability of class 1 of each of them, [n] by name.

    Args:
        judge: a key of `JUDGES`.
        learn: rows to learn from.
        stop_on: rows to stop on.
        ask: rows to predict, by name.
        seed: of weights, order, dropout and feature subsampling.
        sets: where the rows are.
        balanced: weigh the classes equally in the loss.
    """
    roles = dict.fromkeys(part.role for parts in (learn, stop_on, *ask.values()) for part in parts)
    return Fit(_train_and_ask, (judge, learn, stop_on, tuple(ask.items()), seed, balanced), tuple(roles), COST[judge] * sets.count(learn))


def _train_and_ask(
    sets: RowSets, judge: str, learn: Parts, stop_on: Parts, ask: tuple[tuple[str, Parts], ...], seed: int, balanced: bool
) -> Arrays:
    predict = fit_judge(judge, sets.take(learn), sets.take(stop_on), seed, balanced=balanced)
    return {name: positive_score(predict(sets.take(parts))) for name, parts in ask}


def held_apart(role: str, seed: int, sets: RowSets) -> tuple[Parts, Parts]:
    """Rows of a role to learn from and, held out of them, rows to stop on: what learns from synthetic rows may see no real one.

    They are drawn by labels and seed alone: of two synthetic sets whose rows correspond (same noise, another guide) the same
    ones are held out, so they compare like with like.
    """
    held = held_out(sets.rows[role].label, seed)
    return (Part.of(role, ~held),), (Part.of(role, held),)


def judged(
    label: NDArray[np.int64], score: NDArray[np.float64], resamples: Resamples, metrics: Mapping[str, Metric] = METRICS
) -> dict[str, Draws]:
    """Draws of every metric of one cell, [1 + B, S] each; cells that share resamples pair.

    Args:
        label: [n].
        score: probabilities of class 1, [S, n].
        resamples: of the same rows.
        metrics: by name.
    """
    return {name: resamples.by_fit(metric, label, score) for name, metric in metrics.items()}


def best_of(candidates: Sequence[Sequence[Fit]], done: Mapping[Fit, Arrays], label: NDArray[np.int64]) -> int:
    """Number of the candidate whose fits predict `validation` rows best, by their mean AUPRC; the first one of equals.

    Args:
        candidates: fits that were asked about `validation`; each candidate has those of the same judges.
        done: what they gave.
        label: of the validation rows.
    """
    plain = np.ones((1, len(label)), np.float32)
    return int(np.argmax([np.mean([auprc(label, done[fit]["validation"], plain) for fit in fits]) for fits in candidates]))
