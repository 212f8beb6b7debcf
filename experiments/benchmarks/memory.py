"""Largest memory of training and sampling at the size of MIMIC-IV, on records of noise; writes memory.json beside itself.

python -m experiments.benchmarks.memory --work runs/memory
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from tardiff.data.dataset import Channel, Dataset, Manifest, Split, Task

HERE = Path(__file__).parent
STAYS, CHANNELS, STEPS = 94_458, 34, 48
TRAIN = ("--steps", "20", "--batch-size", "64", "--widths", "32", "64", "--validate-every", "10")


def main() -> None:
    """Simulate, train, sample; print and keep the peaks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the data set and what is made of it (about 2 GB)")
    parser.add_argument("--stays", type=int, default=STAYS)
    options = parser.parse_args()
    data, run = options.work / f"data-{options.stays}", options.work / "run"
    if not data.exists():
        simulated(options.stays).save(data)
    peaks = {"stays": options.stays, "channels": CHANNELS, "steps": STEPS}
    peaks["train_gb"] = peak("train", data, *TRAIN, "--out", run)
    for n in (1024, 4096):
        peaks[f"sample_{n}_gb"] = peak("sample", run, "--guidance", "none", "--n", n, "--out", options.work / f"samples-{n}")
    for name, value in peaks.items():
        print(f"{name:16} {value}")
    (HERE / "memory.json").write_text(json.dumps(peaks, indent=2) + "\n")


def simulated(stays: int) -> Dataset:
    """Noise in the shape of ICU records, 30 % observed."""
    rng = np.random.default_rng(0)
    channels = tuple(Channel(f"v{c}", "", (-10, 10), "mean", 0.0) for c in range(CHANNELS))
    manifest = Manifest("noise", "1", channels, (), 1.0, STEPS, Task("death", "a coin", ("survived", "died")))
    sizes = {"train": round(0.8 * stays), "validation": round(0.1 * stays), "test": stays - round(0.8 * stays) - round(0.1 * stays)}
    first, splits = 0, {}
    for name, rows in sizes.items():
        mask = rng.random((rows, CHANNELS, STEPS), dtype=np.float32) < 0.3
        values = rng.standard_normal((rows, CHANNELS, STEPS), dtype=np.float32)
        values[~mask] = np.nan
        number = np.arange(first, first + rows)
        label = (rng.random(rows) < 0.1).astype(np.int64)
        static, length = np.empty((rows, 0), np.float32), np.full(rows, STEPS, np.int32)
        splits[name] = Split(values, mask.astype(np.uint8), static, label, number, number, length, np.full(rows, 60 * STEPS))
        first += rows
    return Dataset(manifest, splits)


def peak(command: str, *arguments: object) -> float:
    """Largest resident memory of a command, in GB, mapped files included."""
    child = subprocess.Popen([sys.executable, "-m", "tardiff", command, *map(str, arguments)], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        sys.exit(f"tardiff {command} failed")
    return round(usage.ru_maxrss * 1024 / 1e9, 2)


if __name__ == "__main__":
    main()
