"""The tables of the comparison, from its recorded cells, as Markdown.

python -m experiments.refinement.table experiments/refinement/results.jsonl
"""

import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from experiments.guidance.pairs import MEAN, figure
from experiments.tables import difference, markdown, section
from tardiff.base.estimates import shown
from tardiff.base.ledger import Ledger
from tardiff.evaluate.intervals import Interval

COLUMNS = ("discriminator_auc", "ks", "rate_rmse", "mean_rmse", "nmi", "membership_auc")

Cells = dict[str, dict[int, dict[str, Any]]]
"""By row of the table, by seed."""


def main() -> None:
    """Print one table for each split that judged and each regime."""
    for (judged_on, regime, iterations), cells in tables(Path(sys.argv[1])).items():
        print(section(f"{regime}, {iterations} iterations, judged on {judged_on} rows", map(len, cells.values()), table(cells)))


def tables(results: Path) -> dict[tuple[str, str, int], Cells]:
    """Recorded cells by split that judged, regime and iterations; rows in the order in which they were first run."""
    found: dict[tuple[str, str, int], Cells] = defaultdict(lambda: defaultdict(dict))
    for cell in Ledger(results).cells():
        found[cell["judged_on"], cell["regime"], cell["iterations"]][cell["row"]][cell["seed"]] = cell
    return found


def table(cells: Cells) -> str:
    """Means over seeds, and paired differences to the base with 95 % intervals: of AUPRC over stays and seeds, of the rest over seeds."""
    base = cells["base"]
    judges = [*next(iter(base.values()))["tstr"], MEAN]
    lines = [["row", "seeds", "minutes", *(f"tstr, {judge}" for judge in judges), *(column.replace("_", " ") for column in COLUMNS)]]
    for row, by_seed in cells.items():
        tstr = [figure(by_seed, base, "tstr", judge, "auprc") for judge in judges]
        minutes = max(cell["making_seconds"] for cell in by_seed.values()) / 60  # a generator that was there already took none
        lines.append([row, str(len(by_seed)), f"{minutes:.1f}", *tstr, *(_mean(by_seed, base, column) for column in COLUMNS)])
    return markdown(lines)


def _mean(by_seed: dict[int, Any], base: dict[int, Any], column: str) -> str:
    value = f"{np.mean([cell[column] for cell in by_seed.values()]):.3f}"
    if by_seed is base or not by_seed.keys() & base.keys():
        return value
    return f"{value} ({shown(*further(by_seed, base, column), signed=True)})"


def further(by_seed: dict[int, Any], base: dict[int, Any], column: str) -> Interval:
    """How much further from its best a column is than the base's of the same seeds, with its interval over seeds."""
    best = 0.5 if column.endswith("_auc") else 0.0
    gaps = ({seed: np.array([abs(cell[column] - best)]) for seed, cell in cells.items()} for cells in (by_seed, base))
    return difference(*gaps)


if __name__ == "__main__":
    main()
