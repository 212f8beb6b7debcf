"""The tables of the comparison, from its recorded cells, as Markdown.

python experiments/guidance/table.py experiments/guidance/results.jsonl
python experiments/guidance/table.py experiments/guidance/results.jsonl --control "classifier 0.3, committee" --columns tsrtr_best
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from cells import draws_of

CONTROL = {"few-labels": "pseudo-labels"}  # elsewhere: unguided
COLUMNS = ("tstr", "tsrtr_best")
RECORDED = ("tstr", "tsrtr", "tsrtr_best")  # of tsrtr, at one synthetic row a real one, no resamples were kept
MEAN = "mean of judges"

BySeed = dict[int, dict[str, Any]]


def main() -> None:
    """Print one table a data set and regime."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="file of recorded cells")
    parser.add_argument("--control", help="row to which the others are compared (default: unguided, or pseudo-labels without labels)")
    parser.add_argument("--columns", nargs="+", choices=RECORDED, default=COLUMNS)
    parser.add_argument("--metric", choices=("auprc", "auroc", "brier"), default="auprc", help="differences are of AUPRC only")
    options = parser.parse_args()
    tables: dict[tuple[str, str], dict[str, BySeed]] = defaultdict(lambda: defaultdict(dict))
    for line in options.results.read_text().splitlines():
        cell = json.loads(line)
        tables[cell["data"], cell["regime"]][cell["row"]][cell["seed"]] = cell
    for (data, regime), rows in tables.items():
        control = options.control or CONTROL.get(regime, "unguided")
        if control in rows:
            print(f"\n### {data}, {regime}\n\n{table(rows, control, options.columns, options.metric)}")


def table(rows: dict[str, BySeed], control: str, columns: tuple[str, ...], metric: str) -> str:
    """Each row's mean over seeds, and its paired difference to the control with a 95 % interval over stays and seeds."""
    models = [*place(next(iter(rows[control].values())), "tsrtr_best"), MEAN]
    header = ["row", "seeds", *(f"{column.replace('_', ' ')}, {model}" for column in columns for model in models)]
    lines = [header, ["---"] * len(header)]
    for row, by_seed in rows.items():
        figures = [figure(by_seed, rows[control], column, model, metric) for column in columns for model in models]
        lines.append([row, str(len(by_seed)), *figures])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def place(cell: dict[str, Any], column: str) -> dict[str, Any] | None:
    """A cell's figures by model; rows that only change real records have one kind of them, whatever the ratio."""
    return cell.get(column) or (cell["tsrtr"] if column == "tsrtr_best" else None)


def judged(by_model: dict[str, Any], model: str) -> list[dict[str, Any]]:
    """The figures of one judge, or of all of them."""
    return list(by_model.values()) if model == MEAN else [by_model[model]]


def figure(by_seed: BySeed, control: BySeed, column: str, model: str, metric: str) -> str:
    """Mean of a metric, and for AUPRC the difference to the control of the same seeds."""
    ours = {seed: judged(found, model) for seed, cell in by_seed.items() if (found := place(cell, column))}
    theirs = {seed: judged(found, model) for seed, cell in control.items() if (found := place(cell, column))}
    if not ours:
        return ""
    value = f"{np.mean([found[metric] for by_model in ours.values() for found in by_model]):.3f}"
    both = sorted(ours.keys() & theirs.keys())
    if by_seed is control or not both or metric != "auprc" or column == "tsrtr":
        return value
    pairs = [list(zip(ours[seed], theirs[seed], strict=True)) for seed in both]
    points = [np.mean([our["auprc"] - their["auprc"] for our, their in pair]) for pair in pairs]
    draws = np.stack([np.mean([draws_of(our) - draws_of(their) for our, their in pair], axis=0) for pair in pairs])
    chosen = np.random.default_rng(0).integers(len(both), size=(draws.shape[1], len(both)))
    low, high = np.quantile(draws[chosen, np.arange(draws.shape[1])[:, None]].mean(axis=1), (0.025, 0.975))
    return f"{value} ({np.mean(points):+.3f} [{low:+.3f}, {high:+.3f}])"


if __name__ == "__main__":
    main()
