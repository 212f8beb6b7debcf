"""What long records cost: processor seconds a training step and a sampled row, by number of steps, on one thread.

python -m experiments.benchmarks.long_records

The network is the default one, records are noise of seven channels. A step of training is the difference of two short trainings, so
that what both have in common (fitting the codec, start-up) is left out; a row is a share of one sample.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from tardiff.base.threads import one_thread
from tardiff.data.dataset import Channel, Dataset, Manifest, Split, Task
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.model.training import train
from tardiff.settings import GuidanceSettings, TrainSettings
from tardiff.synthesis import synthesise

LENGTHS = (1, 24, 48, 168, 517, 1000)
CHANNELS, ROWS, BATCH = 7, 128, 128
FEW, SAMPLED = 2, 64
"""Steps of the shorter training, and rows of the sample."""


def main() -> None:
    """Measure each length and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS, help="steps of a record")
    options = parser.parse_args()
    measured(1)  # what the first use of everything takes
    print(f"| steps | s a training step of {BATCH} rows | s a sampled row |\n|---|---|---|")
    for steps in options.lengths:
        training, sampling = measured(steps)
        print(f"| {steps:,} | {training:.2g} | {sampling:.2g} |", flush=True)


def measured(steps: int) -> tuple[float, float]:
    """Processor seconds of a training step and of a sampled row."""
    data = noise(steps)
    runs: list[TarDiffPipeline] = []
    with one_thread(), tempfile.TemporaryDirectory() as folder:

        def trained(times: int) -> None:
            settings = TrainSettings(steps=times, batch_size=BATCH, validate_every=times)
            runs.append(train(data, Path(folder, str(times)), settings, progress=False))

        def sampled() -> None:
            synthesise(runs[-1], SAMPLED, guidance=GuidanceSettings(guidance="none"), seed=0, progress=False)

        more = min(30, 3 + 500 // steps)  # the shorter the records, the more steps
        short, long = (seconds(partial(trained, times)) for times in (FEW, FEW + more))
        return (long - short) / more, seconds(sampled) / SAMPLED


def seconds(job: Callable[[], None]) -> float:
    """Of the processor."""
    start = time.process_time()
    job()
    return time.process_time() - start


def noise(steps: int) -> Dataset:
    """Records of two classes, half observed."""
    random = np.random.default_rng(0)
    channels = tuple(Channel(f"v{c}", "", (-10, 10), "mean", 0.0) for c in range(CHANNELS))
    manifest = Manifest("noise", "1", channels, (), 1.0, steps, Task("coin", "a coin", ("heads", "tails")))
    mask = random.random((ROWS, CHANNELS, steps)) < 0.5
    values = np.where(mask, random.standard_normal(mask.shape), np.nan).astype(np.float32)
    number = np.arange(ROWS)
    static, length = np.empty((ROWS, 0), np.float32), np.full(ROWS, steps, np.int32)
    rows = Split(values, mask.astype(np.uint8), static, number % 2, number, number, length, np.full(ROWS, 60 * steps))
    return Dataset(manifest, {"train": rows}).completed()


if __name__ == "__main__":
    main()
