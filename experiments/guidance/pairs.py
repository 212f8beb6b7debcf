"""Paired differences between recorded cells, and how a table shows them."""

from typing import Any

import numpy as np
from cells import draws_of

MEAN = "mean of judges"

BySeed = dict[int, dict[str, Any]]
Judged = dict[int, list[dict[str, Any]]]
"""By seed, figures of one judge or several."""


def markdown(lines: list[list[str]]) -> str:
    """A table's lines."""
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def place(cell: dict[str, Any], column: str) -> dict[str, Any] | None:
    """A cell's figures by model; rows that only change real records have one kind of them, whatever the ratio."""
    return cell.get(column) or (cell["tsrtr"] if column == "tsrtr_best" else None)


def judged(by_model: dict[str, Any], model: str) -> list[dict[str, Any]]:
    """The figures of one judge, or of all of them."""
    return list(by_model.values()) if model == MEAN else [by_model[model]]


def figures_of(by_seed: BySeed, column: str, model: str) -> Judged:
    """A judge's figures in a column; seeds that have none are left out."""
    return {seed: judged(found, model) for seed, cell in by_seed.items() if (found := place(cell, column))}


def figure(by_seed: BySeed, control: BySeed, column: str, model: str, metric: str) -> str:
    """Mean of a metric, and for AUPRC the difference to the control of the same seeds."""
    ours, theirs = figures_of(by_seed, column, model), figures_of(control, column, model)
    if not ours:
        return ""
    value = f"{np.mean([found[metric] for by_model in ours.values() for found in by_model]):.3f}"
    if by_seed is control or not ours.keys() & theirs.keys() or metric != "auprc" or column == "tsrtr":
        return value
    gain, low, high = difference(ours, theirs)
    return f"{value} ({gain:+.3f} [{low:+.3f}, {high:+.3f}])"


def difference(ours: Judged, theirs: Judged) -> tuple[float, float, float]:
    """Paired difference in AUPRC of the seeds that both have, with a 95 % interval over stays and seeds."""
    pairs = [list(zip(ours[seed], theirs[seed], strict=True)) for seed in sorted(ours.keys() & theirs.keys())]
    points = [np.mean([our["auprc"] - their["auprc"] for our, their in pair]) for pair in pairs]
    draws = np.stack([np.mean([draws_of(our) - draws_of(their) for our, their in pair], axis=0) for pair in pairs])
    chosen = np.random.default_rng(0).integers(len(pairs), size=(draws.shape[1], len(pairs)))
    low, high = np.quantile(draws[chosen, np.arange(draws.shape[1])[:, None]].mean(axis=1), (0.025, 0.975))
    return float(np.mean(points)), float(low), float(high)
