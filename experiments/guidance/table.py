"""The tables of the comparison, from its recorded cells, as Markdown.

python -m experiments.guidance.table experiments/guidance/results.jsonl
python -m experiments.guidance.table experiments/guidance/results.jsonl --control "classifier 0.3, committee" --columns tsrtr_best
"""

import argparse
from collections import defaultdict
from pathlib import Path

from experiments.guidance.pairs import MEAN, BySeed, figure, place
from experiments.tables import markdown, section
from tardiff.base.ledger import Ledger

CONTROL = {"few-labels": "pseudo-labels"}  # elsewhere: unguided
COLUMNS = ("tstr", "tsrtr_best")
RECORDED = ("tstr", "tsrtr", "tsrtr_best")  # of tsrtr, at one synthetic row a real one, no resamples were kept


def main() -> None:
    """Print one table a data set and regime."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="file of recorded cells")
    parser.add_argument("--control", help="row to which the others are compared (default: unguided, or pseudo-labels without labels)")
    parser.add_argument("--columns", nargs="+", choices=RECORDED, default=COLUMNS)
    parser.add_argument("--metric", choices=("auprc", "auroc", "brier"), default="auprc", help="differences are of AUPRC only")
    options = parser.parse_args()
    tables: dict[tuple[str, str], dict[str, BySeed]] = defaultdict(lambda: defaultdict(dict))
    for cell in Ledger(options.results).cells():
        tables[cell["data"], cell["regime"]][cell["row"]][cell["seed"]] = cell
    for (data, regime), rows in tables.items():
        control = options.control or CONTROL.get(regime, "unguided")
        if control in rows:
            print(section(f"{data}, {regime}", map(len, rows.values()), table(rows, control, options.columns, options.metric)))


def table(rows: dict[str, BySeed], control: str, columns: tuple[str, ...], metric: str) -> str:
    """Each row's mean over seeds, and its paired difference to the control with a 95 % interval over stays and seeds."""
    judges = [*place(next(iter(rows[control].values())), "tsrtr_best"), MEAN]
    lines = [["row", "seeds", *(f"{column.replace('_', ' ')}, {judge}" for column in columns for judge in judges)]]
    for row, by_seed in rows.items():
        figures = [figure(by_seed, rows[control], column, judge, metric) for column in columns for judge in judges]
        lines.append([row, str(len(by_seed)), *figures])
    return markdown(lines)


if __name__ == "__main__":
    main()
