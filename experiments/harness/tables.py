"""Tables and a picture of the ledger, which need no data: gains with intervals, and what they cost beside them.

python -m experiments.harness.tables
python -m experiments.harness.tables --studies scarce rare --judges trees --picture gains.png
"""

import argparse
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.harness.draws import difference, mean_draws, over_seeds, spread_out
from experiments.harness.protocol import PROTOCOL, REAL_ROWS, RESULTS, Cell, Protocol, Study, load, on_curve
from experiments.harness.realism import ASKED, ASKED_OF_DEMO, DERIVED, measured, worst_names
from tardiff.base.estimates import ONE_DRAW, shown
from tardiff.base.ledger import Ledger
from tardiff.compare.worth import Worth, worth
from tardiff.errors import InputError
from tardiff.evaluate.bootstrap import Draws
from tardiff.evaluate.intervals import Interval
from tardiff.evaluate.plots import GREY, SETS, save_png

BEST_RIVAL = "best rival"
"""The real-only row, but for `none`, that is best on validation rows: the mean of judges, and of the seeds that all such rows have."""
COSTS = {
    "trts": "TRTS AUROC",
    "slope": "calibration slope",
    "brier": "Brier score",
    "correlation": "correlations off",
    "descriptor_slopes": "slopes on descriptors off",
    "near_copies": "near copies",
    "ks": "KS distance",
    "co_observation": "charted together off",
    "told_apart_trees": "told apart by trees",
    "told_apart_gru": "by a GRU",
    "nearest neighbour": "membership, nearest row",
    "density ratio": "membership, density",
    "shadow classifier": "membership, shadow classifier",
    "calibrated distance": "membership, calibrated",
    "calibrated denoising": "membership by the weights of values",
    "calibrated charting": "membership by the weights of charting",
}


@dataclass(frozen=True)
class Results:
    """The finished cells of one study: by row, by seed."""

    rows: Mapping[str, Mapping[int, dict[str, Any]]]

    def best_rival(self) -> str | None:
        """The row that `BEST_RIVAL` stands for; None if there is none yet."""
        return self.best(row for row in REAL_ROWS if row != "none")

    def best(self, rows: Iterable[str]) -> str | None:
        """The one of some rows, of those that have been run, that is best on the rows to choose by; None if there is none yet."""
        known = {row: self.rows[row] for row in rows if row in self.rows}
        shared = set.intersection(*map(set, known.values())) if known else set()  # other seeds may have other rows to choose by
        means = {
            row: np.mean([of["validation"] for seed in shared for of in cells[seed]["added"].values()])
            for row, cells in known.items()
            if shared
        }
        return max(means, key=lambda row: means[row]) if means else None

    def cells(self, row: str) -> Mapping[int, dict[str, Any]]:
        """Those of a row, or of the best rival."""
        return self.rows.get(self.best_rival() or "" if row == BEST_RIVAL else row, {})

    def figures(self, row: str, column: str, size: int, metric: str, judges: Sequence[str] = ()) -> dict[int, Draws]:
        """A figure by seed, its draws or the number alone: of judges the mean.

        Args:
            row: of the table.
            column: `alone` or `added`; rows of real records have one kind, for both.
            size: of synthetic rows alone; 0 as many as training rows.
            metric: of a judge, or one of a cell's costs, or of `realism.DERIVED`.
            judges: some of them; all if none is named.
        """
        found = {}
        for seed, cell in self.cells(row).items():
            by_judge = cell.get(column) if column == "added" else cell.get("alone", {}).get(str(size))
            by_judge = by_judge if by_judge is not None else cell.get("added") if row in (*REAL_ROWS, BEST_RIVAL) else None
            if metric in ("auprc", "auroc", "brier", "slope", "slope_off", "brier_platt", "slope_platt"):
                if by_judge is None:
                    continue
                chosen = [of for judge, of in by_judge.items() if not judges or judge in judges]
                draws = [spread_out(of["draws"]) if metric == "auprc" else np.array([_of_judge(of, metric)], dtype=float) for of in chosen]
                value = mean_draws(draws) if draws else np.array([np.nan])
            else:
                value = np.array([_cost(cell, metric)], dtype=float)
            if np.isfinite(value[0]):
                found[seed] = value
        return found

    def compared(
        self, row: str, column: str = "added", size: int = 0, metric: str = "auprc", judges: Sequence[str] = (), against: str | None = None
    ) -> dict[int, Draws]:
        """A figure by seed, or its paired difference to another row's; empty if it has not been run."""
        ours = self.figures(row, column, size, metric, judges)
        return ours if against is None else difference(ours, self.figures(against, column, size, metric, judges))

    def estimate(
        self, row: str, column: str = "added", size: int = 0, metric: str = "auprc", judges: Sequence[str] = (), against: str | None = None
    ) -> Interval | None:
        """The same over seeds, with its interval; None if it has not been run."""
        by_seed = self.compared(row, column, size, metric, judges, against)
        return over_seeds(by_seed) if by_seed else None

    def worth(self, row: str) -> Worth | None:
        """What a row is worth in labelled local stays; None if it, or the learning curve of such stays, has not been run."""
        of_way = self.figures(row, "added", 0, "auprc")
        curve = {learnt_from(cells): self.figures(name, "added", 0, "auprc") for name, cells in self.rows.items() if on_curve(name)}
        shared = sorted(set.intersection(set(of_way), *map(set, curve.values())))
        if not curve or not shared:
            return None
        way, *points = (np.stack([of[seed] for seed in shared], axis=1) for of in (of_way, *curve.values()))
        return worth(way, dict(zip(curve, points, strict=True)))


def read(ledger: Ledger, protocol: Protocol) -> dict[str, Results]:
    """The finished cells by study, in the order in which they were first run.

    Raises:
        InputError: a cell was run as another protocol says it; its figures would be mixed with those of this one.
    """
    found: dict[str, dict[str, dict[int, dict[str, Any]]]] = defaultdict(lambda: defaultdict(dict))
    for cell in ledger.cells():
        of = Cell(cell["study"], cell["row"], cell["seed"])
        if of.study in protocol.studies and cell.get("protocol") != protocol.digest(of):
            raise InputError(f"{ledger.path}: {of}: run under another protocol; take the change back, or begin another ledger")
        found[cell["study"]][cell["row"]].setdefault(cell["seed"], cell)
    return {study: Results(rows) for study, rows in found.items()}


def markdown(lines: list[list[str]]) -> str:
    """A table's lines; the first one is its head."""
    head, *rest = lines
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *rest])


def section(title: str, seeds: Iterable[int], text: str) -> str:
    """A heading and what stands under it, which begins with a warning where a row rests on one seed.

    Args:
        title: the heading.
        seeds: how many each row rests on.
        text: tables and sentences.
    """
    return f"\n### {title}\n\n{f'{ONE_DRAW}{chr(10) * 2}' if min(seeds) == 1 else ''}{text}"


def gains(results: Results, study: Study, judges: Sequence[str] = ()) -> str:
    """AUPRC of every row, and its differences to the control, to real rows as they are and to the best of today's methods."""
    columns = [("alone", size) for size in study.sizes] + ([("added", 0)] if study.adds else [])
    others = [study.control, *(row for row in ("none", BEST_RIVAL) if results.cells(row))]
    names = {BEST_RIVAL: f"{BEST_RIVAL} ({results.best_rival()})"}
    head = ["row", "seeds"]
    for column, size in columns:
        head += [_title(column, size), *(f"minus {names.get(other, other)}" for other in others)]
    curve = any(map(on_curve, results.rows))
    lines = [[*head, "worth in local stays"] if curve else head]
    for row, cells in results.rows.items():
        line = [row, str(len(cells))]
        for column, size in columns:
            line.append(written(results.estimate(row, column, size, judges=judges)))
            for other in others:
                same = other == row or (other == BEST_RIVAL and row == results.best_rival())
                line.append("" if same else written(results.estimate(row, column, size, judges=judges, against=other), signed=True))
        lines.append([*line, "" if on_curve(row) else str(results.worth(row) or "")] if curve else line)
    return markdown(lines)


def costs(results: Results, study: Study) -> str:
    """What every row of synthetic records costs, mean over seeds with its interval; of `none` that of real rows nobody has read."""
    rows = [row for row, cells in results.rows.items() if any("costs" in cell for cell in cells.values())]
    size = study.sizes[-1]
    found = {row: {name: results.estimate(row, "alone", size, name) for name in COSTS} for row in rows}
    shown_costs = [name for name in COSTS if any(numbers[name] is not None for numbers in found.values())]
    lines = [["row", *(COSTS[name] for name in shown_costs)]]
    for row in rows:
        lines.append(["real (floor)" if row == "none" else row, *(written(found[row][name]) for name in shown_costs)])
    return markdown(lines) if len(lines) > 1 else ""


def realism(results: Results, simulated: bool = False) -> str:
    """How real the records are of the rows that were looked at closely, beside what is asked; empty if there is none.

    What is asked holds if the mean over seeds keeps it. The demo's generator is small, and more is allowed to it.
    """
    rows = [row for row, cells in results.rows.items() if any("distances" in cell.get("records", {}) for cell in cells.values())]
    lines = [["measure", "at most", *rows, "held-out real"]]
    for name, (words, usual) in ASKED.items():
        most = ASKED_OF_DEMO.get(name, usual) if simulated else usual
        line = [words, "" if most is None else f"{most:g}"]
        for row in rows:
            found = results.estimate(row, "alone", 0, name)
            kept = "" if found is None or most is None else ", kept" if found[0] <= most else ", **not kept**"
            worst = worst_names(results.cells(row).values(), name)
            line.append(written(found) + kept + (f" ({worst})" if worst else ""))
        floors = [written(results.estimate(row, "alone", 0, f"floor_{name}")) for row in rows]
        lines.append([*line, next(filter(None, floors), "")])
    return markdown(lines) if rows else ""


def report(protocol: Protocol, ledger: Ledger, studies: Sequence[str] = (), judges: Sequence[str] = ()) -> str:
    """The tables of every study that has cells."""
    parts = []
    for name, results in read(ledger, protocol).items():
        study = protocol.studies.get(name)
        if study is None or (studies and name not in studies):
            continue
        said = f"{study.asks} Judged on {study.reads} rows of {study.data}; AUPRC, mean of {', '.join(judges or study.judges)}."
        commits = sorted({cell["commit"] for cells in results.rows.values() for cell in cells.values()})
        warning = f"\n\nCells are of several commits: {', '.join(commits)}." if len(commits) > 1 else ""
        real = realism(results, simulated=study.data == "demo")
        text = f"{said}{warning}\n\n{gains(results, study, judges)}\n\n{costs(results, study)}\n\n{real}".rstrip()
        parts.append(section(name, [len(cells) for cells in results.rows.values()], text))
    return "\n".join(parts) or "No cell has been run yet."


def picture(protocol: Protocol, ledger: Ledger) -> Figure:
    """Each study's rows against its control, with 95 % intervals: with real rows where they are added, else alone."""
    found = {name: results for name, results in read(ledger, protocol).items() if name in protocol.studies}
    figure = Figure(
        figsize=(4.2 * max(len(found), 1), 1.2 + 0.3 * max([len(r.rows) for r in found.values()], default=1)), layout="constrained"
    )
    for axes, (name, results) in zip(np.ravel(figure.subplots(1, max(len(found), 1), squeeze=False)), found.items(), strict=False):
        study = protocol.studies[name]
        rows = [row for row in results.rows if row != study.control]
        for y, row in enumerate(rows):
            change = results.estimate(row, "added" if study.adds else "alone", 0 if study.adds else study.sizes[-1], against=study.control)
            if change is None:
                continue
            colour = SETS[0] if row in REAL_ROWS else SETS[1]
            axes.plot(change[1:], (y, y), color=colour)
            axes.plot(change[0], y, "o", color=colour, markersize=4)
        axes.axvline(0, color=GREY, linestyle=":", linewidth=0.8)
        axes.set_yticks(range(len(rows)), rows, fontsize=8)
        axes.invert_yaxis()
        axes.set_title(f"{name}: AUPRC minus {study.control}", fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def written(found: Interval | None, signed: bool = False) -> str:
    """A figure as tables have it; nothing where there is none."""
    return "" if found is None else shown(*found, signed=signed)


def learnt_from(cells: Mapping[int, Mapping[str, Any]]) -> int:
    """How many rows each cell of a row learnt from."""
    return int(next(of["rows"] for cell in cells.values() for of in cell["added"].values()))


def _of_judge(figures: Mapping[str, Any], metric: str) -> float | None:
    """A metric; `slope_off` is how far the calibration slope lies from 1, above or below."""
    if metric != "slope_off":
        return figures.get(metric)
    return None if figures.get("slope") is None else abs(figures["slope"] - 1)


def _title(column: str, size: int) -> str:
    return "with real rows" if column == "added" else f"{size} alone" if size else "alone"


def _cost(cell: Mapping[str, Any], name: str) -> float:
    records = cell.get("records", {})
    if name in DERIVED:
        return np.nan if (value := measured(cell, name)) is None else value
    found = cell.get("costs", {}).get(name, records.get("told_apart", {}).get(name, records.get("attacks", {}).get(name)))
    return np.nan if found is None else float(found)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS, help="ledger of finished cells")
    parser.add_argument("--protocol", type=Path, default=PROTOCOL)
    parser.add_argument("--studies", nargs="+", default=(), help="some studies (default: all)")
    parser.add_argument("--judges", nargs="+", default=(), help="some judges (default: the mean of all)")
    parser.add_argument("--picture", type=Path, help="also draw a PNG")
    options = parser.parse_args()
    protocol, ledger = load(options.protocol), Ledger(options.results)
    print(report(protocol, ledger, options.studies, options.judges))
    if options.picture:
        save_png(picture(protocol, ledger), options.picture)


if __name__ == "__main__":
    main()
