"""Every cell of the protocol that is not in the ledger, in the protocol's order; what stands there is not run again.

    TARDIFF_DATA=DIR python -m experiments.harness.run --work runs/harness --count
    TARDIFF_DATA=DIR python -m experiments.harness.run --work runs/harness --minutes 600

Several processes may run it on the same --work side by side, each with OMP_NUM_THREADS=1: a cell is claimed by a lock that a process
which dies lets go of, and what cells share (generators, guides, fits) is made once.
"""

import argparse
import sys
import time
import traceback
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from experiments.harness.cell import Lab
from experiments.harness.choose import chosen
from experiments.harness.data import arranged, budget, committed, folder_of, opened, without_test
from experiments.harness.protocol import CHOSEN, OPENINGS, PROTOCOL, RESULTS, Cell, Protocol, load
from experiments.harness.shared import BusyError, WaitingError, Work
from experiments.harness.sites import Sites
from experiments.harness.tables import read
from tardiff.base.ledger import Ledger
from tardiff.data.dataset import Dataset

PAUSE = 20.0
"""Seconds before cells are tried again that other processes hold."""


class Harness:
    """A protocol with its ledger and work folder."""

    def __init__(self, protocol: Protocol, work: Path, results: Path = RESULTS, openings: Path = OPENINGS, choices: Path = CHOSEN) -> None:
        self.protocol, self.work, self.ledger, self.openings = protocol, Work(work), Ledger(results), Ledger(openings)
        self.choices = choices
        self._lab: tuple[tuple[str, int], Lab] | None = None

    def open_cells(self, studies: Iterable[str] = (), seeds: Iterable[int] = ()) -> list[Cell]:
        """Cells that are not in the ledger, in order.

        Args:
            studies, seeds: some of them; all if none is named.

        Raises:
            InputError: a finished cell is of another protocol.
        """
        names, numbers = set(studies), set(seeds)
        done = {(study, row, seed) for study, of in read(self.ledger, self.protocol).items() for row in of.rows for seed in of.rows[row]}
        wanted = [c for c in self.protocol.cells() if (not names or c.study in names) and (not numbers or c.seed in numbers)]
        return [cell for cell in wanted if (cell.study, cell.row, cell.seed) not in done]

    def minutes(self, cells: Iterable[Cell]) -> dict[str, float]:
        """Minutes of one core by study, with what cells share: as the first finished cell of a row took, else as the protocol says."""
        found: dict[str, float] = {}
        measured = {(cell["study"], cell["row"]): cell["cpu"] / 60 for cell in reversed(self.ledger.cells()) if "cpu" in cell}
        shared: set[tuple[Any, ...]] = set()
        for cell in cells:
            study = self.protocol.studies[cell.study]
            found[cell.study] = found.get(cell.study, 0.0) + measured.get((cell.study, cell.row), self.protocol.minutes(cell))
            for piece in self._pieces(cell):
                whose = (study.sender, "all", "test") if study.sender else (study.data, study.regime, study.reads)
                key = *whose, cell.seed, piece
                if key not in shared:
                    shared.add(key)
                    found[cell.study] += self.protocol.pieces[piece]
        return found

    def _pieces(self, cell: Cell) -> list[str]:
        study, recipe = self.protocol.studies[cell.study], self.protocol.recipe(cell)
        if study.sender is None and (recipe is None or recipe.samples is not None or recipe.without or recipe.steps != 1):
            return []
        guided = recipe is None or recipe.settings.reads_classifier or recipe.select or recipe.relabel
        return [f"generator {study.generator}", *(["guide"] if guided else [])]

    def lab(self, cell: Cell) -> Lab:
        """What a cell is run with; the last one is kept, because neighbours share it."""
        key = cell.study, cell.seed
        if self._lab is None or self._lab[0] != key:
            study = self.protocol.studies[cell.study]
            choices = chosen(self.protocol, self.ledger, self.choices) if "chosen" in study.rows else {}
            data = opened(self.protocol, cell.study, self._folder(study.data), self.openings)
            read = budget(data, self.protocol.regimes[study.regime], study.regime, study.reads, cell.seed)
            of: type[Lab] = Lab
            if study.sender:
                of, sent = Sites, arranged(Dataset.load(self._folder(study.sender)), self.protocol.data[study.sender])
                read = replace(read, sent=without_test(sent))
            self._lab = key, of(self.protocol, study, read, cell.seed, self.work, choices)
        return self._lab[1]

    def _folder(self, data: str) -> Path:
        return folder_of(data, self.protocol.data[data], self.work)

    def run(self, cells: list[Cell], minutes: float = float("inf"), pause: float = PAUSE) -> list[str]:
        """Run cells; none is started after so many minutes. One that fails does not stop the others.

        Returns:
            What was left open, a line a cell.
        """
        end, commit = time.monotonic() + 60 * minutes, committed()[0]
        left, told = cells, dict[Cell, str]()
        while left and time.monotonic() < end:
            busy = []
            for cell in left:
                if time.monotonic() > end:
                    break
                try:
                    with self.work.lock(f"cell {cell}"):
                        if not self.ledger.find(**cell.key):
                            line = self.ledger.add(
                                cell.key | {"commit": commit, "protocol": self.protocol.digest(cell)} | self.lab(cell).run(cell)
                            )
                            print(said(line), flush=True)
                except BusyError:
                    busy.append(cell)
                except WaitingError as error:
                    told[cell] = str(error)
                except Exception as error:
                    told[cell] = f"FAILED ({type(error).__name__}: {error})"
                    print(f"{cell}: {told[cell]}\n{traceback.format_exc()}", file=sys.stderr, flush=True)
            left = busy
            if left and time.monotonic() < end:
                time.sleep(pause)
        return [f"{cell}: {told.get(cell, 'not started')}" for cell in self.open_cells() if cell in cells]


def status(left: list[str]) -> int:
    """Exit status of a run that left so much open: 1 if a cell failed."""
    return int(any("FAILED" in line for line in left))


def said(line: dict[str, Any]) -> str:
    """A finished cell in one line."""
    figures = line.get("added") or next(iter(line["alone"].values()))
    auprc = " ".join(f"{judge} {of['auprc']:.3f}" for judge, of in figures.items())
    return f"{time.strftime('%H:%M')} {line['study']}, {line['row']}, seed {line['seed']}: {auprc}; {line['seconds'] / 60:.1f} min"


def main() -> None:
    """Run what is asked for and not there yet, or count it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for data, generators, guides, fits and locks")
    parser.add_argument("--studies", nargs="+", default=(), help="some studies (default: all)")
    parser.add_argument("--seeds", type=int, nargs="+", default=(), help="some seeds (default: all)")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start no cell after so many")
    parser.add_argument("--count", action="store_true", help="only say how many minutes the open cells take")
    parser.add_argument("--results", type=Path, default=RESULTS, help="ledger of finished cells")
    parser.add_argument("--protocol", type=Path, default=PROTOCOL)
    options = parser.parse_args()
    torch.set_num_threads(1)
    harness = Harness(load(options.protocol), options.work, options.results)
    cells = harness.open_cells(options.studies, options.seeds)
    counted = harness.minutes(cells)
    for study, minutes in counted.items():
        print(f"{study}: {sum(cell.study == study for cell in cells)} cells open, {minutes / 60:.1f} h of one core")
    print(f"in all: {len(cells)} cells, {sum(counted.values()) / 60:.1f} h of one core", flush=True)
    if not options.count:
        left = harness.run(cells, options.minutes)
        print("\n".join(left))
        sys.exit(status(left))


if __name__ == "__main__":
    main()
