"""The confirmation on a data set of your own: the defaults, once, on rows that chose nothing.

    python -m experiments.harness.confirm runs/mimic/data --out runs/confirmation

DATA is any prepared folder with train, validation and test rows and a task of two classes. The study is the protocol's `confirmation`, with
every setting of it; at most 4,000 training rows are read unless --most says otherwise. OUT keeps the ledger, the work in progress and a
note of every opening of test rows; the same command goes on there, and ends by printing the table.
"""

import argparse
import sys
from pathlib import Path

import msgspec
import torch

from experiments.harness.protocol import Data, Protocol, Stage, Study, load
from experiments.harness.run import Harness, status
from experiments.harness.tables import report

NAME = "confirmation"
MOST = 4000


def confirmation(data: Path, seeds: int, most: int = MOST, protocol: Protocol | None = None) -> Protocol:
    """The protocol's confirmation, on another data set.

    Args:
        data: prepared folder.
        seeds: so many.
        most: training rows.
        protocol: of the package if None.
    """
    protocol = protocol or load()
    study: Study = msgspec.structs.replace(protocol.studies[NAME], data="given")
    given = Data(prepare={"folder": str(data.resolve())}, test_for=(NAME,), note="The user's.", most={"train": most})
    return msgspec.structs.replace(
        protocol, data={"given": given}, studies={NAME: study}, order=(Stage(NAME, tuple(range(seeds))),), margins={}
    )


def main() -> None:
    """Confirm, or go on."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="prepared dataset folder")
    parser.add_argument("--out", type=Path, required=True, help="folder for the ledger and work in progress")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--most", type=int, default=MOST, help="training rows")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start no cell after so many")
    options = parser.parse_args()
    torch.set_num_threads(1)
    protocol = confirmation(options.data, options.seeds, options.most)
    options.out.mkdir(parents=True, exist_ok=True)
    harness = Harness(protocol, options.out / "work", options.out / "results.jsonl", options.out / "openings.jsonl")
    left = harness.run(harness.open_cells(), options.minutes)
    print("\n".join(left))
    print(report(protocol, harness.ledger))
    sys.exit(status(left))


if __name__ == "__main__":
    main()
