"""What screening chose: for every study with a row `chosen`, the influence that did best on the validation rows of NAME-screen.

    python -m experiments.harness.choose

It writes chosen.json, to be committed before the study opens its test rows. What was chosen once is not chosen again.
"""

import argparse
import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from experiments.harness.data import committed
from experiments.harness.protocol import PROTOCOL, Protocol, load
from experiments.harness.run import CHOSEN, RESULTS
from experiments.harness.tables import read
from tardiff.base.files import write_json
from tardiff.base.ledger import Ledger
from tardiff.errors import InputError


def choice(protocol: Protocol, ledger: Ledger, study: str) -> dict[str, Any] | None:
    """The row of highest mean AUPRC over seeds, judges and sizes; None while its screening is not finished.

    Only rows that follow another objective than the label take part.

    Raises:
        InputError: the study has no screening, or that reads test rows.
    """
    name = f"{study}-screen"
    if name not in protocol.studies or protocol.studies[name].reads != "validation":
        raise InputError(f"study {study}: has a row `chosen`, and no study {name} that reads validation rows")
    screen, results = protocol.studies[name], read(ledger).get(name)
    wanted = [(cell.row, cell.seed) for cell in protocol.cells() if cell.study == name]
    if results is None or not wanted or any(seed not in results.rows.get(row, {}) for row, seed in wanted):
        return None
    means = {}
    for row in screen.rows:
        recipe = protocol.recipes.get(row)
        if recipe is None or not recipe.settings.followed.keys() - {"label"}:
            continue
        columns = [("added", 0)] if screen.adds else [("alone", size) for size in screen.sizes]
        means[row] = float(np.mean([draws[0] for column in columns for draws in results.figures(row, *column, "auprc").values()]))
    best = max(means, key=lambda row: means[row])
    rounded = {row: round(mean, 5) for row, mean in means.items()}
    return {
        "row": best,
        "guidance": protocol.recipes[best].guidance,
        "auprc": rounded,
        "commit": committed()[0],
        "date": date.today().isoformat(),
    }


def main() -> None:
    """Choose what can be chosen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--protocol", type=Path, default=PROTOCOL)
    options = parser.parse_args()
    protocol, ledger = load(options.protocol), Ledger(options.results)
    chosen = json.loads(CHOSEN.read_text()) if CHOSEN.exists() else {}
    for name, study in protocol.studies.items():
        if "chosen" in study.rows and name not in chosen:
            found = choice(protocol, ledger, name)
            print(f"{name}: {found['row'] if found else 'screening is not finished'}")
            chosen |= {name: found} if found else {}
    write_json(CHOSEN, chosen)


if __name__ == "__main__":
    main()
