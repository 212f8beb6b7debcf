"""Utility: how well models trained on synthetic rows predict real test rows.

Protocols: TRTR (train on real, test on real; the ceiling), TSTR (train on synthetic), TSRTR (train on synthetic and real),
mask-only (real, but all that the model sees is how often each channel was measured; a floor).
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from tardiff.dataset import Split
from tardiff.evaluate.bootstrap import Draws, Resamples, estimate
from tardiff.evaluate.metrics import METRICS, positive_score
from tardiff.evaluate.models import Rows, fit_predict
from tardiff.evaluate.threads import one_thread
from tardiff.noise import stream
from tardiff.settings import EvaluateSettings

HELD_OUT = 0.2
COST = {"gru": 30, "trees": 6, "logistic": 1, "mask-only": 1}  # time of a fit a training row, for the ETA only


@dataclass(frozen=True)
class Cell:
    """One model trained in one way."""

    model: str
    protocol: str
    synthetic: str | None = None
    ratio: float | None = None
    """Synthetic rows added, as a share of the real training rows (TSRTR only)."""


@dataclass(frozen=True)
class Bench:
    """Everything a fit may read."""

    train: Rows
    validation: Rows
    test: Rows
    synthetic: Mapping[str, Rows]
    classes: int


def plan(names: list[str], settings: EvaluateSettings) -> list[Cell]:
    """The cells of an evaluation, in the order in which they are reported."""
    cells = [Cell("mask-only", "mask-only")]
    for model in settings.models:
        cells.append(Cell(model, "TRTR"))
        for name in names:
            cells.append(Cell(model, "TSTR", name))
            cells.extend(Cell(model, "TSRTR", name, ratio) for ratio in settings.ratios)
    return cells


def utility(bench: Bench, test: Split, settings: EvaluateSettings) -> dict[str, Any]:
    """Fit every cell with every seed and compare them.

    Intervals cover the test patients and the fits (weights, order, rows drawn), not the generator's own training: for that,
    evaluate several synthetic sets.

    Args:
        bench: rows as the evaluators read them.
        test: the same test rows, for labels and patients.
        settings: models, seeds, ratios, resamples.

    Returns:
        `cells`, each with its metrics, `differences` between them (paired), and `seeds`.
    """
    cells = plan(list(bench.synthetic), settings)
    seeds = fit_seeds(settings)
    score = _fit_all(bench, cells, seeds, settings)
    resamples = Resamples.draw(test.subject_id, len(seeds), settings.bootstrap, stream("test patients", settings.seed))
    draws = {cell: {name: resamples.mean_over_fits(metric, test.label, score[cell]) for name, metric in METRICS.items()} for cell in cells}
    size = {"n": len(test), "seeds": len(seeds)}
    return {
        "seeds": seeds,
        "cells": [_describe(cell, bench) | {"metrics": _estimates(draws[cell], **size)} for cell in cells],
        "differences": [
            asdict(a) | {"against": asdict(b), "metrics": _estimates({m: draws[a][m] - draws[b][m] for m in METRICS}, **size)}
            for a, b in _comparisons(cells, list(bench.synthetic))
        ],
    }


def fit_seeds(settings: EvaluateSettings) -> list[int]:
    """The seed of each fit of a cell; every cell has the same ones."""
    return stream("fits", settings.seed).integers(2**31, size=settings.seeds).tolist()


def training_rows(cell: Cell, bench: Bench, seed: int) -> tuple[Rows, Rows]:
    """The rows that a fit learns from and those that it stops on.

    TSTR may see no real row, so it stops on synthetic rows held out of its own. Rows are drawn by `seed` alone: two
    synthetic sets whose rows correspond (same noise, another guide) give the same selection, so they compare like with like.
    """
    if cell.synthetic is None:
        return bench.train, bench.validation
    synthetic = bench.synthetic[cell.synthetic]
    if cell.ratio is None:
        held = held_out(synthetic.label, seed)
        return synthetic.take(np.flatnonzero(~held)), synthetic.take(np.flatnonzero(held))
    order = stream("rows drawn", seed).permutation(len(synthetic))
    return bench.train.join(synthetic.take(order[: _wanted(cell.ratio, bench)])), bench.validation


def held_out(label: NDArray[np.int64], seed: int) -> NDArray[np.bool_]:
    """A fifth of each class, at least one row, [n]: so that rare classes can be stopped on, too."""
    order = stream("held out", seed).permutation(len(label))
    held = np.zeros(len(label), dtype=bool)
    for value in np.unique(label):
        rows = order[label[order] == value]
        held[rows[: max(1, round(HELD_OUT * len(rows)))]] = True
    return held


def _wanted(ratio: float, bench: Bench) -> int:
    return round(ratio * len(bench.train))


def _fit_all(bench: Bench, cells: list[Cell], seeds: list[int], settings: EvaluateSettings) -> dict[Cell, NDArray[np.float64]]:
    """Probabilities of class 1 of every test row by cell, [S, n]."""
    jobs = [(cell, seed) for cell in cells for seed in seeds]
    cost = [COST[cell.model] * _training_size(cell, bench) for cell, _ in jobs]
    longest_first = sorted(range(len(jobs)), key=lambda job: -cost[job])  # so that no worker idles at the end
    run = joblib.Parallel(n_jobs=settings.workers or joblib.cpu_count(), return_as="generator_unordered")
    score = np.empty((len(jobs), len(bench.test)))
    with _progress(sum(cost)) as bar:
        done: Iterator[tuple[int, NDArray[np.float64]]] = run(joblib.delayed(_fit)(job, *jobs[job], bench) for job in longest_first)
        for job, probability in done:
            score[job] = positive_score(probability)
            bar.update(cost[job])
    return {cell: score[i * len(seeds) : (i + 1) * len(seeds)] for i, cell in enumerate(cells)}


def _progress(total: int) -> tqdm:
    """A bar on stderr in units of work, so that its ETA knows that a GRU takes longer than a regression."""
    return tqdm(total=total, desc="fitting evaluators", bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed} so far, {remaining} to go")


def _fit(job: int, cell: Cell, seed: int, bench: Bench) -> tuple[int, NDArray[np.float64]]:
    with one_thread():
        return job, fit_predict(cell.model, *training_rows(cell, bench, seed), bench.test, seed, bench.classes)


def _training_size(cell: Cell, bench: Bench) -> int:
    real = 0 if cell.protocol == "TSTR" else len(bench.train)
    return real + _synthetic_rows(cell, bench)


def _synthetic_rows(cell: Cell, bench: Bench) -> int:
    if cell.synthetic is None:
        return 0
    rows = len(bench.synthetic[cell.synthetic])
    return rows if cell.ratio is None else min(rows, _wanted(cell.ratio, bench))


def _describe(cell: Cell, bench: Bench) -> dict[str, Any]:
    """A cell's identity, with the rows that it had; `short_of_rows` says that the synthetic set was too small for the ratio."""
    rows = _synthetic_rows(cell, bench)
    return asdict(cell) | {
        "real_rows": _training_size(cell, bench) - rows,
        "synthetic_rows": rows,
        "short_of_rows": cell.ratio is not None and rows < _wanted(cell.ratio, bench),
    }


def _comparisons(cells: list[Cell], names: list[str]) -> list[tuple[Cell, Cell]]:
    """Each set against the first one named, in the same protocol; and every cell with synthetic rows against TRTR."""
    with_synthetic = [cell for cell in cells if cell.synthetic is not None]
    against_first = [(c, Cell(c.model, c.protocol, names[0], c.ratio)) for c in with_synthetic if c.synthetic != names[0]]
    return against_first + [(c, Cell(c.model, "TRTR")) for c in with_synthetic]


def _estimates(draws: Mapping[str, Draws], n: int, seeds: int) -> dict[str, Any]:
    return {name: estimate(d, n, seeds) for name, d in draws.items()}
