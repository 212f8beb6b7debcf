"""Each way's AUPRC against doing nothing, on test rows, as a picture.

python -m experiments.augmentation.figure experiments/augmentation/results.jsonl experiments/augmentation/gains.png
"""

import sys
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.augmentation.run import IMBALANCES, MODELS, WAYS
from experiments.augmentation.table import Cells, gained, tables
from tardiff.evaluate.plots import save_png

GUIDED, OTHER = "#D55E00", "#0072B2"


def main() -> None:
    """Write the picture."""
    results, out = map(Path, sys.argv[1:])
    by_cell = tables(results)
    figure = Figure(figsize=(11, 5), layout="constrained")
    axes = figure.subplots(len(MODELS), len(IMBALANCES), sharex=True, sharey=True)
    for row, model in zip(axes, MODELS, strict=True):
        for place, imbalance in zip(row, IMBALANCES, strict=True):
            draw(place, by_cell["test", imbalance, model])
            place.set_title(f"{model}, deaths: {imbalance}", fontsize=10)
    figure.supxlabel("AUPRC gained over doing nothing, real test rows (95 % interval over stays and seeds)", fontsize=10)
    save_png(figure, out)


def draw(axes: Axes, cells: Cells) -> None:
    """Every way but doing nothing, from top to bottom."""
    ways = [way for way in WAYS if way != "none" and way in cells]
    for y, way in enumerate(ways):
        value, low, high = gained(cells[way], cells["none"])
        colour = GUIDED if way == "guided" else OTHER
        axes.plot((low, high), (y, y), color=colour)
        axes.plot(value, y, "o", color=colour)
    axes.axvline(0, color="#555555", linestyle=":", linewidth=0.8)
    axes.set_yticks(range(len(ways)), [way.replace("_", " ") for way in ways])
    axes.set_ylim(len(ways) - 0.5, -0.5)
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main()
