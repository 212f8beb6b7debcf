"""Recorded cells beside those of a control, as a table shows them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.tables import difference
from tardiff.base.estimates import shown
from tardiff.evaluate.bootstrap import Draws, unpacked

MEAN = "mean of judges"

BySeed = dict[int, dict[str, Any]]


def place(cell: dict[str, Any], column: str) -> dict[str, Any] | None:
    """A cell's figures by judge; rows that only change real records have one kind of them, whatever the ratio."""
    return cell.get(column) or (cell["tsrtr"] if column == "tsrtr_best" else None)


def figures_of(by_seed: BySeed, column: str, judge: str) -> dict[int, list[dict[str, Any]]]:
    """The figures of one judge, or of all of them, in a column; seeds that have none are left out."""
    found = {seed: place(cell, column) for seed, cell in by_seed.items()}
    return {seed: list(by_judge.values()) if judge == MEAN else [by_judge[judge]] for seed, by_judge in found.items() if by_judge}


def draws_of(by_seed: BySeed, column: str, judge: str) -> Mapping[int, Draws]:
    """Their AUPRC in every resample by seed, [1 + B]; of all judges the mean."""
    figures = figures_of(by_seed, column, judge)
    return {seed: np.mean([unpacked(of_judge["draws"]) for of_judge in found], axis=0) for seed, found in figures.items()}


def figure(by_seed: BySeed, control: BySeed, column: str, judge: str, metric: str) -> str:
    """Mean of a metric, and for AUPRC the difference to the control of the same seeds."""
    ours, theirs = figures_of(by_seed, column, judge), figures_of(control, column, judge)
    if not ours:
        return ""
    value = f"{np.mean([found[metric] for of_seed in ours.values() for found in of_seed]):.3f}"
    if by_seed is control or not ours.keys() & theirs.keys() or metric != "auprc" or column == "tsrtr":
        return value
    gain = difference(draws_of(by_seed, column, judge), draws_of(control, column, judge))
    return f"{value} ({shown(*gain, signed=True)})"
