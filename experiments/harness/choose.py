"""What screening chooses: for every study with a row `chosen`, the influence that does best on the validation rows of its `screen`.

The run of the harness does it by itself before such a study opens its test rows; by hand:

    python -m experiments.harness.choose

It stands in chosen.json, with date and commit. What was chosen once is not chosen again.
"""

import argparse
import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from experiments.harness.data import committed
from experiments.harness.protocol import CHOSEN, PROTOCOL, RESULTS, Protocol, load
from experiments.harness.tables import read
from tardiff.base.files import write_json
from tardiff.base.ledger import Ledger


def choice(protocol: Protocol, ledger: Ledger, study: str) -> dict[str, Any] | None:
    """The row of highest mean AUPRC over seeds, judges and sizes; None while its screening is not finished.

    Only rows that follow another objective than the label take part.
    """
    name = str(protocol.studies[study].screen)
    screen, results = protocol.studies[name], read(ledger, protocol).get(name)
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


def chosen(protocol: Protocol, ledger: Ledger, path: Path) -> dict[str, Any]:
    """What was chosen, by study; what can be chosen by now is written down first."""
    known = json.loads(path.read_text()) if path.exists() else {}
    missing = [name for name, study in protocol.studies.items() if "chosen" in study.rows and name not in known]
    new = {name: found for name in missing if (found := choice(protocol, ledger, name))}
    if new:
        write_json(path, known | new)
    return known | new


def main() -> None:
    """Choose what can be chosen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS, help="ledger of finished cells")
    options = parser.parse_args()
    protocol = load(PROTOCOL)
    found = chosen(protocol, Ledger(options.results), CHOSEN)
    for name in (name for name, study in protocol.studies.items() if "chosen" in study.rows):
        print(f"{name}: {found[name]['row'] if name in found else 'screening is not finished'}")


if __name__ == "__main__":
    main()
