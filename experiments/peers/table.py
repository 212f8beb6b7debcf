"""The table and the figure of the comparison, from its recorded cells, into the README beside this file.

python -m experiments.peers.table
"""

import argparse
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.harness.draws import difference, over_seeds
from experiments.harness.tables import markdown, section
from experiments.peers.cells import JUDGES
from experiments.peers.protocol import PEERS, SECONDS, SEEDS
from experiments.peers.run import REAL
from tardiff.base.estimates import shown
from tardiff.base.files import replace_file
from tardiff.base.ledger import Ledger
from tardiff.evaluate.bootstrap import Draws, unpacked
from tardiff.evaluate.plots import save_png

HERE = Path(__file__).parent
BEGIN, END = "<!-- made by experiments.peers.table -->", "<!-- end -->"
CONTROL = "tardiff, guided"
Cell = Mapping[str, Any]
BySeed = dict[int, Cell]

Read = Callable[[Cell], float | None]
COMPARED = {"told apart by trees": "told_apart_trees", "by a GRU": "told_apart_gru", "by the mask": "told_apart_charting"}
"""Columns that need no judge of the task and are compared with the control, by field of the cells."""
PLAIN = {
    "KS": "ks",
    "correlation": "correlation",
    "autocorrelation": "autocorrelation_function",
    "clinical": "clinical",
    "s to train": "fit_seconds",
    "s for 1,000": "draw_seconds_1000",
    "MB": "memory_mb",
}
WHOLE = ("s to train", "s for 1,000", "MB")
PANELS: dict[str, Read] = {
    "TSTR": lambda cell: mean_of_judges(cell, "tstr"),
    "told apart by trees": lambda cell: cell.get("told_apart_trees"),
    "told apart by the mask": lambda cell: cell.get("told_apart_charting"),
    "KS": lambda cell: cell.get("ks"),
    "seconds for 1,000": lambda cell: cell.get("draw_seconds_1000"),
}


def mean_of_judges(cell: Cell, protocol: str) -> float | None:
    """AUPRC, mean of the judges; None if the cell has none."""
    return None if protocol not in cell else float(np.mean([figures["auprc"] for figures in cell[protocol].values()]))


def draws_of(cell: Cell, name: str) -> Draws | None:
    """What pairs with other cells of a seed: AUPRC of every resample of the test patients, mean of the judges; or a number alone."""
    if name in ("tstr", "tsrtr"):
        return np.mean([unpacked(figures["draws"]) for figures in cell[name].values()], axis=0) if name in cell else None
    return None if cell.get(name) is None else np.array([cell[name]])


def results(ledger: Ledger, seconds: float) -> dict[str, dict[str, dict[str, BySeed]]]:
    """The newest cells by data set, row, stage (`result` or `membership`) and seed."""
    found: dict[str, dict[str, dict[str, BySeed]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(dict)))
    for cell in ledger.cells():
        if cell.get("seconds") == seconds and not cell["stage"].startswith("trial"):
            found[cell["data"]][cell["row"]][cell["stage"]][cell["seed"]] = cell
    return found


def table(rows: Mapping[str, Mapping[str, BySeed]]) -> str:
    """One data set's table, in the order of the protocol; what could not be run is a row with the reason."""
    head = ["row", "seeds", "setting", "TSTR", *JUDGES, "TSRTR", *COMPARED, *PLAIN, "membership, nearest", "membership, density", "lines"]
    lines = [head]
    control = {seed: cell for seed, cell in rows.get(CONTROL, {}).get("result", {}).items() if "reason" not in cell}
    for row in (REAL, *PEERS):
        cells = rows.get(row, {}).get("result", {})
        good = {seed: cell for seed, cell in cells.items() if "reason" not in cell}
        if not good:
            why = next((cell["reason"] for cell in cells.values()), None)
            lines += [[named(row), f"not run: {why}", *[""] * (len(head) - 2)]] if why else []
            continue
        settings = sorted({str(cell.get("setting", "")) for cell in good.values()})
        line = [named(row), f"{len(good)}{f' ({len(cells) - len(good)} failed)' if len(good) < len(cells) else ''}", ", ".join(settings)]
        against = {} if row == CONTROL else control
        line.append(compared(good, against, "tstr"))
        line += [plain(good, lambda cell, judge=judge: cell.get("tstr", {}).get(judge, {}).get("auprc")) for judge in JUDGES]
        line += [compared(good, against, name) for name in ("tsrtr", *COMPARED.values())]
        line += [plain(good, lambda cell, field=field: cell.get(field), 0 if name in WHOLE else 3) for name, field in PLAIN.items()]
        attacked = rows[row].get("membership", {})
        line += [attack(attacked, name) for name in ("nearest neighbour", "density")]
        lines.append([*line, "" if row == REAL or PEERS[row].lines is None else str(PEERS[row].lines)])
    return markdown(lines)


def named(row: str) -> str:
    """A row's name with what it needs said: 1 complete data only, 2 one fit a class."""
    peer = PEERS.get(row)
    marks = [] if peer is None else [mark for mark, holds in (("1", peer.complete), ("2", peer.by_class)) if holds]
    return f"{row} ({', '.join(marks)})" if marks else row


def plain(cells: BySeed, read: Read, digits: int = 3) -> str:
    """Mean over seeds."""
    values = [value for cell in cells.values() if (value := read(cell)) is not None]
    return f"{np.mean(values):,.{digits}f}" if values else ""


def compared(ours: BySeed, control: BySeed, name: str) -> str:
    """Mean over seeds, and in brackets the paired difference to the control over seeds and, if it has draws, stays."""
    mine, theirs = ({s: draws for s, cell in of.items() if (draws := draws_of(cell, name)) is not None} for of in (ours, control))
    if not mine:
        return ""
    value = f"{np.mean([draws[0] for draws in mine.values()]):.3f}"
    return f"{value} ({shown(*over_seeds(difference(mine, theirs)), signed=True)})" if mine.keys() & theirs.keys() else value


def attack(cells: BySeed, name: str) -> str:
    """AUC with its interval of one seed's attack, or why there is none."""
    cell = next(iter(cells.values()), {})
    if "reason" in cell:
        return "reference not run"
    return shown(*(cell[name][end] for end in ("value", "low", "high"))) if name in cell else ""


def figure(by_data: Mapping[str, Mapping[str, Mapping[str, BySeed]]]) -> Figure:
    """A point a seed: a line of panels a data set, rows from top to bottom; the real stays are the dotted line."""
    names = [name for name in SEEDS if name in by_data]
    rows = [row for row in PEERS if any(row in by_data[name] for name in names)]
    picture = Figure(figsize=(3 * len(PANELS), max(1, len(names)) * (1 + 0.25 * len(rows))), layout="constrained")
    axes = picture.subplots(max(1, len(names)), len(PANELS), sharey=True, squeeze=False)
    for name, line in zip(names, axes, strict=False):
        line[0].set_ylabel(name)
        for place, (title, read) in zip(line, PANELS.items(), strict=True):
            for y, row in enumerate(rows):
                values = [value for cell in by_data[name].get(row, {}).get("result", {}).values() if (value := read(cell)) is not None]
                place.plot(values, [y] * len(values), "o", color="#D55E00" if "ardiff" in row.lower() else "#0072B2", markersize=4)
            real = [value for cell in by_data[name].get(REAL, {}).get("result", {}).values() if (value := read(cell)) is not None]
            if real:
                place.axvline(float(np.mean(real)), color="#555555", linestyle=":", linewidth=0.8)
            if title.startswith("seconds"):
                place.set_xscale("log")
            place.set_title(title, fontsize=10)
            place.set_yticks(range(len(rows)), rows, fontsize=8)
            place.set_ylim(len(rows) - 0.5, -0.5)
            place.spines[["top", "right"]].set_visible(False)
    return picture


def main() -> None:
    """Write both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=HERE / "results.jsonl")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--page", type=Path, default=HERE / "README.md", help="with the two marks between which the tables go")
    options = parser.parse_args()
    by_data = results(Ledger(options.results), options.seconds)
    if not by_data:
        parser.error(f"{options.results}: holds no cell of {options.seconds:g} s; run experiments.peers.run first")
    parts = []
    for name in (name for name in SEEDS if name in by_data):
        seeds = [len(of["result"]) for of in by_data[name].values() if "result" in of]
        commits = {c["commit"] for row in by_data[name].values() for of in row.values() for c in of.values() if "commit" in c}
        said = f"Cells are of several commits: {', '.join(sorted(commits))}.\n\n" if len(commits) > 1 else ""
        parts.append(section(name, seeds, said + table(by_data[name])))
    before, _, rest = options.page.read_text(encoding="utf-8").partition(BEGIN)
    written = "\n".join([before + BEGIN, *parts, "\n![The same, a point a seed](peers.png)\n", END])
    replace_file(options.page, written + rest.partition(END)[2])
    save_png(figure(by_data), options.page.with_name("peers.png"))


if __name__ == "__main__":
    main()
