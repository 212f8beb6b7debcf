"""What refinement changes, as a picture: rows of the table against the base of the same regime.

python -m experiments.refinement.figure experiments/refinement/results.jsonl test experiments/refinement/changes.png
"""

import sys
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.guidance.pairs import MEAN, draws_of
from experiments.refinement.run import REGIMES, ROWS
from experiments.refinement.table import Cells, further, tables
from experiments.tables import difference
from tardiff.evaluate.intervals import FEWEST_FITS, Interval
from tardiff.evaluate.plots import save_png

PANELS = {
    "tstr": "AUPRC gained (TSTR)",
    "discriminator_auc": "discriminator's AUC, further from .5",
    "ks": "KS distance added",
    "membership_auc": "membership AUC, further from .5",
}
REFINED, OTHER = "#D55E00", "#0072B2"


def main() -> None:
    """Write the picture: a line of panels for each regime."""
    results, judged_on, out = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    chosen = [(regime, cells) for (split, regime, _), cells in tables(results).items() if split == judged_on]
    found = dict(chosen)
    if len(found) < len(chosen):
        sys.exit(f"{results}: a regime was run with several numbers of iterations; keep the lines of one")
    regimes = [regime for regime in REGIMES if regime in found]
    rows = [row for row in ROWS if row != "base" and any(row in found[regime] for regime in regimes)]
    picture = Figure(figsize=(3.2 * len(PANELS), 0.8 + len(regimes) * (0.6 + 0.2 * len(rows))), layout="constrained")
    axes = picture.subplots(len(regimes), len(PANELS), sharex="col", sharey=True, squeeze=False)
    for regime, line in zip(regimes, axes, strict=True):
        line[0].set_ylabel(regime)
        for place, column in zip(line, PANELS, strict=True):
            draw(place, found[regime], rows, column)
    for place, title in zip(axes[0], PANELS.values(), strict=True):
        place.set_title(title, fontsize=10)
    picture.supxlabel(
        f"difference to the base, {judged_on} rows (95 % intervals); right is better in the first column, left in the others", fontsize=10
    )
    save_png(picture, out)


def draw(axes: Axes, cells: Cells, rows: list[str], column: str) -> None:
    """One column of one regime's table, from top to bottom."""
    for y, row in enumerate(rows):
        shared = cells[row].keys() & cells["base"].keys() if row in cells else ()
        if len(shared) < FEWEST_FITS:
            continue
        value, low, high = change(cells, row, column)
        colour = REFINED if row.startswith(("ppo", "awm")) else OTHER
        axes.plot((low, high), (y, y), color=colour)
        axes.plot(value, y, "o", color=colour, markersize=4)
    axes.axvline(0, color="#555555", linestyle=":", linewidth=0.8)
    axes.set_yticks(range(len(rows)), rows, fontsize=8)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.spines[["top", "right"]].set_visible(False)


def change(cells: Cells, row: str, column: str) -> Interval:
    """A row's paired difference to the base, with its interval, as the table has it."""
    if column == "tstr":
        return difference(*(draws_of(cells[name], column, MEAN) for name in (row, "base")))
    return further(cells[row], cells["base"], column)


if __name__ == "__main__":
    main()
