"""The tables of the comparison, from its recorded cells, as Markdown.

python -m experiments.augmentation.table experiments/augmentation/results.jsonl
"""

import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from experiments.tables import difference, markdown, section
from tardiff.base.estimates import shown
from tardiff.base.ledger import Ledger
from tardiff.evaluate.bootstrap import unpacked
from tardiff.evaluate.intervals import Interval

OTHERS = ("auroc", "brier", "slope", "sensitivity")
Cells = dict[str, dict[int, dict[str, Any]]]
"""By method, by seed."""


def main() -> None:
    """Print a summary, then one table for each split that judged, imbalance and model."""
    found = tables(Path(sys.argv[1]))
    for judged_on in sorted({key[0] for key in found}):
        chosen = {key[1:]: cells for key, cells in found.items() if key[0] == judged_on}
        seeds = [len(by_seed) for cells in chosen.values() for by_seed in cells.values()]
        print(section(f"AUPRC on {judged_on} rows", seeds, summary(chosen)))
    for (judged_on, imbalance, model), cells in found.items():
        said = f"{table(cells)}\n\nGuided rows are {verdict(cells)}."
        print(section(f"{model}, deaths: {imbalance}, on {judged_on} rows", map(len, cells.values()), said))


def tables(results: Path) -> dict[tuple[str, str, str], Cells]:
    """Recorded cells by split that judged, imbalance and model."""
    found: dict[tuple[str, str, str], Cells] = defaultdict(lambda: defaultdict(dict))
    for cell in Ledger(results).cells():
        found[cell["judged_on"], cell["imbalance"], cell["model"]][cell["method"]][cell["seed"]] = cell
    return found


def summary(found: dict[tuple[str, str], Cells]) -> str:
    """A line for each imbalance and model: means over seeds, and guided rows against doing nothing and the best other way."""
    ways = list(next(iter(found.values())))
    lines = [["deaths, model", *ways, "guided - none", "guided - best other"]]
    for (imbalance, model), cells in found.items():
        means = [f"{np.mean([cell['values']['auprc'] for cell in cells[way].values()]):.3f}" if way in cells else "" for way in ways]
        lines.append([f"{imbalance}, {model}", *means, gain(cells["guided"], cells["none"]), verdict(cells)])
    return markdown(lines)


def table(cells: Cells) -> str:
    """Means over seeds; AUPRC against doing nothing and class weights of the same seeds, with 95 % intervals over stays and seeds."""
    lines = [["method", "seeds", "AUPRC", "- none", "- class weights", "AUROC", "Brier", "slope", "sens. at 90 % spec.", "chosen"]]
    for method, by_seed in cells.items():
        values = [cell["values"] for cell in by_seed.values()]
        chosen = " ".join("/".join(f"{value:g}" for value in cell.get("chosen", {}).values()) for cell in by_seed.values())
        differences = [gain(by_seed, cells[other]) if other in cells else "" for other in ("none", "class_weight")]
        means = [f"{np.mean([v[m] for v in values if v[m] is not None]):.3f}" for m in ("auprc", *OTHERS)]
        lines.append([method, str(len(by_seed)), means[0], *differences, *means[1:], chosen])
    return markdown(lines)


def verdict(cells: Cells) -> str:
    """Guided rows against the best of the other ways, by mean AUPRC."""
    means = {method: np.mean([cell["values"]["auprc"] for cell in by_seed.values()]) for method, by_seed in cells.items()}
    ours = means.pop("guided", None)
    if ours is None or not means:
        return ""
    rival = max(means, key=lambda method: means[method])
    value, low, high = gained(cells["guided"], cells[rival])
    word = "better" if low > 0 else "worse" if high < 0 else "not told apart"
    return f"{word}: {shown(value, low, high, signed=True)} to {rival}"


def gain(by_seed: dict[int, Any], control: dict[int, Any]) -> str:
    """Paired difference in AUPRC, as text; none to itself."""
    if by_seed is control or not set(by_seed) & set(control):
        return ""
    return shown(*gained(by_seed, control), signed=True)


def gained(by_seed: dict[int, Any], control: dict[int, Any]) -> Interval:
    """Paired difference in AUPRC over stays and seeds."""
    ours, theirs = ({seed: unpacked(cell["draws"]) for seed, cell in cells.items()} for cells in (by_seed, control))
    return difference(ours, theirs)


if __name__ == "__main__":
    main()
