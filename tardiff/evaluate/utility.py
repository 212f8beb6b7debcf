"""Utility: how well models trained on synthetic rows predict real test rows.

Protocols: TRTR (train on real, test on real; the ceiling), TSTR (train on synthetic), TSRTR (train on synthetic and real), TRTS
(train on real, test on synthetic: whether synthetic labels mean what real ones do), mask-only (TRTR, but all that the model sees is
how often each channel was measured; a floor).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tardiff.base.noise import stream
from tardiff.base.progress import bar
from tardiff.data.dataset import Split
from tardiff.data.holdout import held_out
from tardiff.evaluate.bootstrap import Draws, Resamples, estimate, recentred
from tardiff.evaluate.cache import Arrays
from tardiff.evaluate.judges import Rows, fit_model
from tardiff.evaluate.metrics import DISTANCES, METRICS, positive_score
from tardiff.evaluate.pool import COST, Fit
from tardiff.evaluate.row_sets import Bench
from tardiff.settings import EvaluateSettings

Scores = dict["Cell", NDArray[np.float64]]


@dataclass(frozen=True)
class Cell:
    """One model trained in one way."""

    model: str
    protocol: str
    synthetic: str | None = None
    ratio: float | None = None
    """Synthetic rows added, as a share of the real training rows (TSRTR only)."""


def plan(names: tuple[str, ...], settings: EvaluateSettings) -> list[Cell]:
    """The cells of an evaluation, in the order in which they are reported."""
    cells = [Cell("mask-only", "mask-only")]
    for model in settings.models:
        cells.append(Cell(model, "TRTR"))
        for name in names:
            cells.extend((Cell(model, "TSTR", name), Cell(model, "TRTS", name)))
            cells.extend(Cell(model, "TSRTR", name, ratio) for ratio in settings.ratios)
    return cells


def fit_seeds(settings: EvaluateSettings) -> list[int]:
    """The seed of each fit of a cell; every cell has the same ones."""
    return stream("fits", settings.seed).integers(2**31, size=settings.seeds).tolist()


def fit_of(cell: Cell, seed: int, bench: Bench) -> Fit:
    """The fit behind a cell: TRTS asks the models of TRTR about other rows."""
    if cell.protocol == "TRTS":
        return fit_of(Cell(cell.model, "TRTR"), seed, bench)
    asked = ("test", *(f"synthetic/{name}" for name in bench.names)) if cell.protocol == "TRTR" else ("test",)
    learns = {"TSTR": (f"synthetic/{cell.synthetic}",), "TSRTR": ("train", "validation", f"synthetic/{cell.synthetic}")}
    reads = (*learns.get(cell.protocol, ("train", "validation")), *asked)
    return Fit(_fit, (cell, seed, asked), reads, COST[cell.model] * _training_size(cell, bench))


def scores(cells: list[Cell], bench: Bench, done: Mapping[Fit, Arrays], settings: EvaluateSettings) -> Scores:
    """Probabilities of class 1 of every row that a cell is asked about, [S, n]."""
    role = {cell: f"synthetic/{cell.synthetic}" if cell.protocol == "TRTS" else "test" for cell in cells}
    seeds = fit_seeds(settings)
    return {cell: np.stack([done[fit_of(cell, seed, bench)][role[cell]] for seed in seeds]) for cell in cells}


def utility(bench: Bench, test: Split, score: Scores, settings: EvaluateSettings) -> dict[str, Any]:
    """Compare the cells.

    Intervals cover the rows that are predicted and the fits (weights, order, rows drawn), not the generator's own training: for
    that, evaluate several synthetic sets.

    Args:
        bench: rows as the evaluators read them.
        test: the same test rows, for labels and patients.
        score: of each cell, as `scores` gives it.
        settings: seeds, resamples.

    Returns:
        `cells`, each with its metrics, `differences` between them (paired), and `seeds`.
    """
    seeds = fit_seeds(settings)
    draws = _draws(bench, test, score, settings)
    return {
        "seeds": seeds,
        "cells": [_describe(cell, bench) | {"metrics": _estimates(d, score[cell].shape[1], len(seeds))} for cell, d in draws.items()],
        "differences": [
            asdict(a)
            | {"against": asdict(b), "metrics": _estimates({m: draws[a][m] - draws[b][m] for m in METRICS}, len(test), len(seeds))}
            for a, b in _comparisons(list(score), bench.names)
        ],
    }


def judged(label: NDArray[np.int64], score: NDArray[np.float64], resamples: Resamples) -> dict[str, Draws]:
    """Draws of every metric of one cell, [1 + B] each.

    Args:
        label: [n].
        score: probabilities of class 1, [S, n].
        resamples: of the same rows and fits.
    """
    draws = {name: resamples.mean_over_fits(metric, label, score) for name, metric in METRICS.items()}
    return draws | {name: recentred(draws[name]) for name in DISTANCES}


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


def _fit(bench: Bench, cell: Cell, seed: int, asked: tuple[str, ...]) -> Arrays:
    predict = fit_model(cell.model, *training_rows(cell, bench, seed), seed, bench.classes)
    return {role: positive_score(predict(bench.rows[role])) for role in asked}


def _draws(bench: Bench, test: Split, score: Scores, settings: EvaluateSettings) -> dict[Cell, dict[str, Draws]]:
    """Draws of every metric by cell; all cells that predict the test rows share their resamples."""
    random = stream("test patients", settings.seed)
    patients = Resamples.draw(test.subject_id, settings.seeds, settings.bootstrap, random)
    of_synthetic = {
        name: Resamples.draw(np.arange(len(rows)), settings.seeds, settings.bootstrap, stream(f"rows/{name}", settings.seed))
        for name, rows in bench.synthetic.items()
    }
    return {
        cell: judged(bench.synthetic[cell.synthetic].label, s, of_synthetic[cell.synthetic])
        if cell.protocol == "TRTS" and cell.synthetic is not None
        else judged(test.label, s, patients)
        for cell, s in bar(score.items(), desc="judging evaluators")
    }


def _wanted(ratio: float, bench: Bench) -> int:
    return round(ratio * len(bench.train))


def _training_size(cell: Cell, bench: Bench) -> int:
    real = 0 if cell.protocol == "TSTR" else len(bench.train)
    return real + _synthetic_rows(cell, bench)


def _synthetic_rows(cell: Cell, bench: Bench) -> int:
    """Of those that were learnt from."""
    if cell.synthetic is None or cell.protocol == "TRTS":
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


def _comparisons(cells: list[Cell], names: tuple[str, ...]) -> list[tuple[Cell, Cell]]:
    """Each set against the first one named, in the same protocol; and every cell that learnt from synthetic rows against TRTR."""
    with_synthetic = [cell for cell in cells if cell.protocol in ("TSTR", "TSRTR")]
    against_first = [(c, Cell(c.model, c.protocol, names[0], c.ratio)) for c in with_synthetic if c.synthetic != names[0]]
    return against_first + [(c, Cell(c.model, "TRTR")) for c in with_synthetic]


def _estimates(draws: Mapping[str, Draws], n: int, seeds: int) -> dict[str, Any]:
    return {name: estimate(d, n, seeds) for name, d in draws.items()}
