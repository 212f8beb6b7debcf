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

sys.path.insert(0, str(Path(__file__).parent.parent / "guidance"))

from table import figure

COLUMNS = ("discriminator_auc", "ks", "rate_rmse", "mean_rmse", "nmi", "membership_auc")

Cells = dict[str, dict[int, dict[str, Any]]]
"""By row of the table, by seed."""


def main() -> None:
    """Print one table a regime."""
    by_regime: dict[str, Cells] = defaultdict(lambda: defaultdict(dict))
    for line in Path(sys.argv[1]).read_text().splitlines():
        cell = json.loads(line)
        title = f"{cell['regime']}, {cell['iterations']} iterations, judged on {cell['judged_on']}"
        by_regime[title][cell["row"]][cell["seed"]] = cell
    for regime, cells in by_regime.items():
        print(f"\n### {regime}\n\n{table(cells)}")


def table(cells: Cells) -> str:
    """Means over seeds, with paired differences to the base and 95 % intervals: of AUPRC over stays and seeds, of the rest over seeds."""
    base = cells.get("base", {})
    models = list(next(iter(next(iter(cells.values())).values()))["tstr"])
    header = ["row", "seeds", *(f"tstr, {model}" for model in models), *(column.replace("_", " ") for column in COLUMNS)]
    lines = [header, ["---"] * len(header)]
    for row, by_seed in cells.items():
        tstr = [figure(by_seed, base, "tstr", model, "auprc") for model in models]
        lines.append([row, str(len(by_seed)), *tstr, *(_mean(by_seed, base, column) for column in COLUMNS)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _mean(by_seed: dict[int, Any], base: dict[int, Any], column: str) -> str:
    shown = f"{np.mean([cell[column] for cell in by_seed.values()]):.3f}"
    both = sorted(set(by_seed) & set(base))
    if by_seed is base or len(both) < 2:
        return shown
    best = 0.5 if column.endswith("_auc") else 0.0
    gaps = np.array([abs(by_seed[seed][column] - best) - abs(base[seed][column] - best) for seed in both])
    half = student.ppf(0.975, len(gaps) - 1) * gaps.std(ddof=1) / len(gaps) ** 0.5
    return f"{shown} ({gaps.mean():+.3f} [{gaps.mean() - half:+.3f}, {gaps.mean() + half:+.3f}])"


if __name__ == "__main__":
    main()
