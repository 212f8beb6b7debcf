"""Every cell of the comparison, one line of JSON each; what stands in the file is not run again.

python -m experiments.peers.run --data physionet2012=runs/p12/data --environments runs/peers/env --work runs/peers/work

The README beside it has all commands.
"""

import argparse
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from experiments.harness.data import committed
from experiments.harness.shared import BusyError, Work
from experiments.peers.cells import Lab, PeerError
from experiments.peers.protocol import ATTACKED, PEERS, SECONDS, SEEDS, TRIAL_SECONDS
from tardiff.base.ledger import Ledger
from tardiff.errors import TardiffError

HERE = Path(__file__).parent
REAL = "real stays"


def last(ledger: Ledger, key: dict[str, Any]) -> dict[str, Any] | None:
    """The newest cell with these fields; None if there is none."""
    return next((cell for cell in reversed(ledger.cells()) if key.items() <= cell.items()), None)


def chosen(ledger: Ledger, data: str, row: str) -> str:
    """The setting whose trial did best on validation rows; the defaults if no trial succeeded."""
    trials = {name: last(ledger, {"data": data, "row": row, "stage": f"trial {name}"}) for name in PEERS[row].settings}
    scores = {name: cell["auprc"] for name, cell in trials.items() if cell and "auprc" in cell}
    return max(scores, key=scores.__getitem__) if scores else "defaults"


def main() -> None:
    """Run what is asked for and not there yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", action="append", required=True, metavar="NAME=FOLDER", help=f"prepared data sets: {', '.join(SEEDS)}")
    parser.add_argument("--environments", type=Path, required=True, help="folder that experiments.peers.environments has filled")
    parser.add_argument("--work", type=Path, required=True, help="folder for jobs and fits")
    parser.add_argument("--rows", nargs="+", choices=(REAL, *PEERS), default=[REAL, *PEERS])
    parser.add_argument("--seconds", type=float, default=SECONDS, help="to train, of two cores; other than %(default)s for trying only")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start no cell after so many")
    parser.add_argument("--retry", action="store_true", help="run again what has failed")
    parser.add_argument("--results", type=Path, default=HERE / "results.jsonl")
    options = parser.parse_args()
    if options.seconds != SECONDS and options.results == HERE / "results.jsonl":
        parser.error(f"--seconds {options.seconds:g}: the table is of {SECONDS:g}; name another file by --results")
    torch.set_num_threads(1)
    alone = ExitStack()  # until this process ends
    try:
        alone.enter_context(Work(options.work).lock("peers"))
    except BusyError:
        parser.error(f"--work {options.work}: another process is at it; a budget in time is for one")
    commit = committed()[0]
    ledger, end = Ledger(options.results), time.monotonic() + 60 * options.minutes
    short = {} if options.seconds == SECONDS else {"fits": 1, "resamples": 20}
    labs = {}
    for name, _, folder in (text.partition("=") for text in options.data):
        if name not in SEEDS:
            parser.error(f"--data {name}: must be one of {', '.join(SEEDS)}")
        labs[name] = Lab.open(Path(folder), name, options.work, options.environments, options.seconds, **short)

    def cell(key: dict[str, Any], run: Callable[[], dict[str, Any]]) -> None:
        key = {**key, "seconds": options.seconds}
        found = last(ledger, key)
        if time.monotonic() > end or (found and not (options.retry and "reason" in found)):
            return
        start = time.perf_counter()
        try:
            figures = run()
        except PeerError as error:
            figures = {"reason": str(error)}
        except TardiffError as error:
            print(f"{key['row']}: {error}", flush=True)
            return
        ledger.add(key | {"commit": commit} | figures | {"cell_seconds": round(time.perf_counter() - start, 1)})
        print(*key.values(), figures.get("reason", "done"), f"{time.perf_counter() - start:.0f} s", flush=True)

    trial_seconds = min(TRIAL_SECONDS, options.seconds)
    for name, lab in labs.items():
        for seed in SEEDS[name]:
            for row in options.rows:
                if row == REAL:
                    cell({"data": name, "row": row, "seed": seed, "stage": "result"}, lambda lab=lab, seed=seed: lab.real(seed))
                    continue
                peer, first = PEERS[row], SEEDS[name][0]
                for setting in peer.settings if seed == first and len(peer.settings) > 1 else ():
                    cell(
                        {"data": name, "row": row, "seed": seed, "stage": f"trial {setting}"},
                        lambda lab=lab, peer=peer, setting=setting, seed=seed: lab.trial(peer, setting, trial_seconds, seed),
                    )
                setting = chosen(ledger, name, row)
                key = {"data": name, "row": row, "seed": seed, "setting": setting}
                arguments = (peer, setting, seed)
                cell(key | {"stage": "result"}, lambda lab=lab, arguments=arguments: lab.result(*arguments))
                made = last(ledger, key | {"stage": "result", "seconds": options.seconds})
                if (name, seed) == ATTACKED and not peer.augments and made and "reason" not in made:
                    cell(key | {"stage": "membership"}, lambda lab=lab, arguments=arguments: lab.membership(*arguments))


if __name__ == "__main__":
    main()
