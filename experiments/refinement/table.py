"""The tables of the comparison, from its recorded cells, as Markdown.

python experiments/refinement/table.py experiments/refinement/results.jsonl
"""

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

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
        by_regime[f"{cell['regime']}, judged on {cell['judged_on']}"][cell["row"]][cell["seed"]] = cell
    for regime, cells in by_regime.items():
        print(f"\n### {regime}\n\n{table(cells)}")


def table(cells: Cells) -> str:
    """Mean over seeds; AUPRC with its paired difference to the base and a 95 % interval, the rest with its standard error over seeds."""
    base = cells.get("base", {})
    models = list(next(iter(next(iter(cells.values())).values()))["tstr"])
    header = ["row", "seeds", *(f"tstr, {model}" for model in models), *(column.replace("_", " ") for column in COLUMNS)]
    lines = [header, ["---"] * len(header)]
    for row, by_seed in cells.items():
        tstr = [figure(by_seed, base, "tstr", "tstr", model) for model in models]
        lines.append([row, str(len(by_seed)), *tstr, *(_mean(by_seed, column) for column in COLUMNS)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _mean(by_seed: dict[int, Any], column: str) -> str:
    values = [cell[column] for cell in by_seed.values()]
    error = f" ± {np.std(values, ddof=1) / len(values) ** 0.5:.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{error}"


if __name__ == "__main__":
    main()
