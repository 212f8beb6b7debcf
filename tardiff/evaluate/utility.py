"""Utility: how well models trained on synthetic rows predict real test rows.

Protocols: TRTR (train on real, test on real; the ceiling), TSTR (train on synthetic), TSRTR (train on synthetic and real), TRTS
(train on real, test on synthetic: whether synthetic labels mean what real ones do), mask-only (TRTR, but all that the model sees is
how often each channel was measured; a floor).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tardiff.base.noise import stream
from tardiff.base.progress import bar
from tardiff.evaluate.bootstrap import Draws, Resamples
from tardiff.evaluate.cache import Arrays
from tardiff.evaluate.intervals import estimates
from tardiff.evaluate.metrics import METRICS
from tardiff.evaluate.pool import Fit
from tardiff.evaluate.row_sets import Part, Parts, RowSets
from tardiff.evaluate.train_and_judge import judge_fit, judged
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

    @property
    def asked(self) -> str:
        """Role of the rows that are predicted."""
        return f"synthetic/{self.synthetic}" if self.protocol == "TRTS" else "test"


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


def fits(sets: RowSets, settings: EvaluateSettings) -> dict[Cell, list[Fit]]:
    """The fits behind each cell, one a seed: TRTS asks those of TRTR about other rows.

    Of synthetic rows that are added to real ones, those drawn follow from the seed alone: two synthetic sets whose rows
    correspond (same noise, another guide) give the same selection, so they compare like with like.
    """
    real, test = (Part("train"),), {"test": (Part("test"),)}

    @cache  # for models that learn from the same rows
    def learnt(synthetic: str | None, ratio: float | None, seed: int) -> Parts:
        if synthetic is None:
            return real
        role = sets.synthetic[synthetic]
        if ratio is None:
            return (Part(role),)
        order = stream("rows drawn", seed).permutation(len(sets.rows[role]))
        return (*real, Part.of(role, order[: _wanted(ratio, sets)]))

    found: dict[Cell, list[Fit]] = {}
    for cell in plan(tuple(sets.synthetic), settings):
        if cell.protocol == "TRTS":
            found[cell] = found[Cell(cell.model, "TRTR")]
            continue
        ask = test | ({role: (Part(role),) for role in sets.synthetic.values()} if cell.protocol == "TRTR" else {})
        found[cell] = [judge_fit(cell.model, learnt(cell.synthetic, cell.ratio, seed), ask, seed, sets) for seed in fit_seeds(settings)]
    return found


def scores(by_cell: Mapping[Cell, list[Fit]], done: Mapping[Fit, Arrays]) -> Scores:
    """Probabilities of class 1 of every row that a cell is asked about, [S, n]."""
    return {cell: np.stack([done[fit][cell.asked] for fit in of_cell]) for cell, of_cell in by_cell.items()}


def utility(sets: RowSets, score: Scores, settings: EvaluateSettings) -> dict[str, Any]:
    """Compare the cells.

    Intervals cover the rows that are predicted and the fits (weights, order, rows drawn), not the generator's own training: for
    that, evaluate several synthetic sets.

    Returns:
        `cells`, each with its metrics, `differences` between them (paired), and `seeds`.
    """
    seeds = fit_seeds(settings)
    draws = _draws(sets, score, settings)
    test = sets.rows["test"].label
    return {
        "seeds": seeds,
        "cells": [_describe(cell, sets) | {"metrics": estimates(d, sets.rows[cell.asked].label)} for cell, d in draws.items()],
        "differences": [
            asdict(a) | {"against": asdict(b), "metrics": estimates({m: draws[a][m] - draws[b][m] for m in METRICS}, test, shares=())}
            for a, b in _comparisons(list(score), tuple(sets.synthetic))
        ],
    }


def _draws(sets: RowSets, score: Scores, settings: EvaluateSettings) -> dict[Cell, dict[str, Draws]]:
    """Draws of every metric by cell; all cells that predict the same rows share their resamples."""

    def drawn(group: NDArray[np.int64], purpose: str) -> Resamples:
        return Resamples.draw(group, settings.bootstrap, stream(purpose, settings.seed))

    resamples = {"test": drawn(sets.subject["test"], "test patients")}
    resamples |= {role: drawn(np.arange(len(sets.rows[role])), f"rows/{name}") for name, role in sets.synthetic.items()}
    return {cell: judged(sets.rows[cell.asked].label, s, resamples[cell.asked]) for cell, s in bar(score.items(), desc="utility: judging")}


def _wanted(ratio: float, sets: RowSets) -> int:
    return round(ratio * len(sets.rows["train"]))


def _describe(cell: Cell, sets: RowSets) -> dict[str, Any]:
    """A cell's identity, with the rows that it had; `short_of_rows` says that the synthetic set was too small for the ratio."""
    rows = 0
    if cell.synthetic is not None and cell.protocol != "TRTS":
        rows = len(sets.rows[f"synthetic/{cell.synthetic}"])
    wanted = rows if cell.ratio is None else _wanted(cell.ratio, sets)
    return asdict(cell) | {
        "real_rows": 0 if cell.protocol == "TSTR" else len(sets.rows["train"]),
        "synthetic_rows": min(rows, wanted),
        "short_of_rows": rows < wanted,
    }


def _comparisons(cells: list[Cell], names: tuple[str, ...]) -> list[tuple[Cell, Cell]]:
    """Each set against the first one named, in the same protocol; and every cell that learnt from synthetic rows against TRTR."""
    with_synthetic = [cell for cell in cells if cell.protocol in ("TSTR", "TSRTR")]
    against_first = [(c, Cell(c.model, c.protocol, names[0], c.ratio)) for c in with_synthetic if c.synthetic != names[0]]
    return against_first + [(c, Cell(c.model, "TRTR")) for c in with_synthetic]
