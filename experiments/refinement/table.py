"""The tables of the comparison, from its recorded cells, as Markdown.

python experiments/refinement/table.py experiments/refinement/results.jsonl
"""

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student

sys.path.append(str(Path(__file__).parent.parent / "guidance"))

from pairs import MEAN, figure, markdown

COLUMNS = ("discriminator_auc", "ks", "rate_rmse", "mean_rmse", "nmi", "membership_auc")

Cells = dict[str, dict[int, dict[str, Any]]]
"""By row of the table, by seed."""


def main() -> None:
    """Print one table for each split that judged and each regime."""
    for (judged_on, regime, iterations), cells in tables(Path(sys.argv[1])).items():
        print(f"\n### {regime}, {iterations} iterations, judged on {judged_on} rows\n\n{table(cells)}")


def tables(results: Path) -> dict[tuple[str, str, int], Cells]:
    """Recorded cells by split that judged, regime and iterations; rows in the order in which they were first run."""
    found: dict[tuple[str, str, int], Cells] = defaultdict(lambda: defaultdict(dict))
    for line in results.read_text().splitlines():
        cell = json.loads(line)
        found[cell["judged_on"], cell["regime"], cell["iterations"]][cell["row"]][cell["seed"]] = cell
    return found


def table(cells: Cells) -> str:
    """Means over seeds, and paired differences to the base with 95 % intervals: of AUPRC over stays and seeds, of the rest over seeds."""
    base = cells["base"]
    models = [*next(iter(base.values()))["tstr"], MEAN]
    header = ["row", "seeds", "minutes", *(f"tstr, {model}" for model in models), *(column.replace("_", " ") for column in COLUMNS)]
    lines = [header, ["---"] * len(header)]
    for row, by_seed in cells.items():
        tstr = [figure(by_seed, base, "tstr", model, "auprc") for model in models]
        minutes = max(cell["making_seconds"] for cell in by_seed.values()) / 60  # a generator that was there already took none
        lines.append([row, str(len(by_seed)), f"{minutes:.1f}", *tstr, *(_mean(by_seed, base, column) for column in COLUMNS)])
    return markdown(lines)


def _mean(by_seed: dict[int, Any], base: dict[int, Any], column: str) -> str:
    shown = f"{np.mean([cell[column] for cell in by_seed.values()]):.3f}"
    if by_seed is base or len(by_seed.keys() & base.keys()) < 2:
        return shown
    value, low, high = further(by_seed, base, column)
    return f"{shown} ({value:+.3f} [{low:+.3f}, {high:+.3f}])"


def further(by_seed: dict[int, Any], base: dict[int, Any], column: str) -> tuple[float, float, float]:
    """How much further from its best a column is than the base's of the same seeds, with Student's 95 % interval over seeds."""
    best = 0.5 if column.endswith("_auc") else 0.0
    gaps = np.array([abs(by_seed[seed][column] - best) - abs(base[seed][column] - best) for seed in sorted(by_seed.keys() & base.keys())])
    half = student.ppf(0.975, len(gaps) - 1) * gaps.std(ddof=1) / len(gaps) ** 0.5
    return float(gaps.mean()), float(gaps.mean() - half), float(gaps.mean() + half)


if __name__ == "__main__":
    main()
