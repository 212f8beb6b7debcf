"""Fits one peer and samples it, in the peer's environment: `python -m experiments.peers.worker JOB`.

The folder JOB holds `job.json` (adapter, function, setting, seconds, seed, hash of the stays), `train.npz` (the training stays) and
`labels.npy` (a label for each stay that is to be made). The worker adds `samples.npz` and, last, `costs.json`.
"""

import json
import resource
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiments.peers.clock import Clock, two_cores
from experiments.peers.records import Records

Sampler = Callable[[NDArray[np.int64]], Records]
"""What an adapter's function of (train, clock, seed, **setting) gives: labels [N] to stays that have them."""


def main(job: Path) -> None:
    """Do the job."""
    asked = json.loads((job / "job.json").read_text())
    train, label = Records.load(job / "train.npz"), np.load(job / "labels.npy")
    two_cores()
    adapter = import_module(f"experiments.peers.adapters.{asked['adapter']}")  # imports the peer, before the clock runs
    with tempfile.TemporaryDirectory(dir=job) as tempfile.tempdir:  # what the peer leaves behind goes
        clock = Clock(asked["seconds"])
        sampler: Sampler = getattr(adapter, asked["function"])(train, clock, asked["seed"], **asked["setting"])
        costs = {"fit_seconds": clock.elapsed(), "fit_real_seconds": clock.real(), "fit_processor_seconds": clock.processor()}
        drawing = Clock(float("inf"))
        samples = sampler(label)
        costs |= {"draw_seconds_1000": 1000 * drawing.elapsed() / len(label), "memory_mb": peak_memory()}
    if not np.array_equal(samples.label, label):
        raise ValueError("the adapter gave stays of other labels than were asked for")
    samples.save(job / "samples.npz")
    (job / "costs.json").write_text(json.dumps(costs))


def peak_memory() -> float:
    """Most memory that the process or one of its children held so far, MB of 10^6 bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) * unit / 1e6


if __name__ == "__main__":
    main(Path(sys.argv[1]))
