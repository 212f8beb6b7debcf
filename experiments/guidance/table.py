"""The tables of the comparison, from its recorded cells, as Markdown.

python experiments/guidance/table.py experiments/guidance/screening.jsonl
"""

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from cells import draws_of

CONTROL = {"few-labels": "pseudo-labels"}  # elsewhere: unguided
COLUMNS = ("tstr", "tsrtr_best")

Cells = dict[str, dict[int, dict[str, Any]]]
"""By row of the table, by seed."""


def main() -> None:
    """Print one table a regime."""
    by_regime: dict[tuple[str, str], Cells] = defaultdict(lambda: defaultdict(dict))
    for line in Path(sys.argv[1]).read_text().splitlines():
        cell = json.loads(line)
        by_regime[cell["data"], cell["regime"]][cell["row"]][cell["seed"]] = cell
    for (data, regime), cells in by_regime.items():
        print(f"\n### {data}, {regime}\n\n{table(cells, CONTROL.get(regime, 'unguided'))}")


def table(cells: Cells, control: str) -> str:
    """AUPRC of each row, mean over seeds, and its paired difference to the control with a 95 % interval over stays and seeds."""
    models = list(next(iter(cells[control].values()))["tstr"])
    header = ["row", "seeds", *(f"{column.replace('_', ' ')}, {model}" for column in COLUMNS for model in models)]
    lines = [header, ["---"] * len(header)]
    for row, by_seed in cells.items():
        line = [row, str(len(by_seed))]
        for column in COLUMNS:
            for model in models:
                place = column if column in next(iter(by_seed.values())) else "tsrtr"
                line.append("" if place == "tsrtr" and column == "tstr" else figure(by_seed, cells[control], place, column, model))
        lines.append(line)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def figure(by_seed: dict[int, Any], control: dict[int, Any], place: str, column: str, model: str) -> str:
    """Mean AUPRC, and the difference to the control of the same seeds."""
    value = np.mean([cell[place][model]["auprc"] for cell in by_seed.values()])
    both = sorted(set(by_seed) & set(control))
    if by_seed is control or not both:
        return f"{value:.3f}"
    points = [by_seed[seed][place][model]["auprc"] - control[seed][column][model]["auprc"] for seed in both]
    draws = np.stack([draws_of(by_seed[seed][place][model]) - draws_of(control[seed][column][model]) for seed in both])
    random = np.random.default_rng(0)
    chosen = random.integers(len(both), size=(draws.shape[1], len(both)))
    means = draws[chosen, np.arange(draws.shape[1])[:, None]].mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return f"{value:.3f} ({np.mean(points):+.3f} [{low:+.3f}, {high:+.3f}])"


if __name__ == "__main__":
    main()
