"""How long training takes until synthetic records teach what real ones do, against the naive implementation's full training.

Generators are trained from scratch with more and more steps. Each then makes as many records as there are training rows; judges
(trees and logistic regression) are trained on those and asked about real validation and test rows (TSTR), beside judges trained on
real rows. There are two rules of having reached the real score, and each is asked on either split: every judge's AUPRC is at least
the real one minus 0.01 (`point`), or every judge's paired 95 % interval of the difference over patients holds 0 or lies above
(`interval`). Validation rows are few: what they say at a number of steps, the five times as many test rows need not.

Both sides are processor seconds of one thread in this run. The naive implementation is not trained to the end: its time is
its measured seconds a step (one step before each of our trainings) times the 20,000 steps that are published.

    python -m experiments.benchmarks.time_to_quality --data DATA --out experiments/benchmarks/time_to_quality.json
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments.benchmarks import naive
from experiments.benchmarks.clock import machine
from tardiff.base.estimates import shown
from tardiff.base.files import write_json
from tardiff.base.noise import row_seeds, stream
from tardiff.data.codec import Codec
from tardiff.data.dataset import Dataset
from tardiff.data.labels import draw_labels
from tardiff.evaluate.bootstrap import Draws, Resamples
from tardiff.evaluate.intervals import interval
from tardiff.evaluate.judges import Rows
from tardiff.evaluate.metrics import auprc
from tardiff.evaluate.row_sets import Part, RowSets
from tardiff.evaluate.train_and_judge import judge_fit, judged
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.model.training import train
from tardiff.settings import SamplerSettings, TrainSettings

SPLITS = ("validation", "test")
JUDGES = ("trees", "logistic")
FITS, RESAMPLES, MARGIN = 3, 500, 0.01
SIZES: dict[str, dict[str, Any]] = {
    "small": {"batch_size": 64, "widths": (32, 64), "blocks": 1, "ema_decay": 0.998},
    "default": {},
}


def tstr(rows: Rows, asked: RowSets, resamples: dict[str, Resamples]) -> dict[str, dict[str, Draws]]:
    """AUPRC of judges trained on some rows by split that is asked about and judge, [1 + B, `FITS`]."""
    sets, ask = asked.adding(learnt=rows), {split: (Part(split),) for split in SPLITS}
    found: dict[str, dict[str, Draws]] = {split: {} for split in SPLITS}
    for judge in JUDGES:
        answers = []
        for seed in range(FITS):
            answers.append(judge_fit(judge, (Part("learnt"),), ask, seed, sets).run(sets))
        for split in SPLITS:
            score = np.stack([answer[split] for answer in answers])
            found[split][judge] = judged(sets.rows[split].label, score, resamples[split], {"auprc": auprc})["auprc"]
    return found


def compared(synthetic: dict[str, Draws], real: dict[str, Draws]) -> dict[str, dict[str, Any]]:
    """By judge: AUPRC, and its difference to real rows with the paired 95 % interval."""
    result = {}
    for judge in JUDGES:
        difference, low, high = interval(synthetic[judge] - real[judge])
        means = {"tstr": synthetic[judge][0].mean(), "real": real[judge][0].mean()}
        numbers = means | {"difference": difference, "low": low, "high": high}
        result[judge] = {name: round(float(number), 4) for name, number in numbers.items()}
    return result


RULES: dict[str, Callable[[dict[str, Any]], bool]] = {
    "point": lambda numbers: numbers["difference"] >= -MARGIN,
    "interval": lambda numbers: numbers["high"] >= 0,
}


def reached(figures: dict[str, dict[str, dict[str, Any]]]) -> list[str]:
    """The rules that every judge fulfils, each with its split."""
    return [f"{split}, {rule}" for split in figures for rule, holds in RULES.items() if all(map(holds, figures[split].values()))]


class NaiveClock:
    """Processor seconds of naive training steps, taken one at a time."""

    def __init__(self, data: Dataset, codec: Codec) -> None:
        x0 = codec.encode(data.train)
        self.training = naive.Training(naive.NaiveUNet(x0.shape[1], len(data.manifest.task.classes)))
        self.x0, self.label = x0[: naive.BATCH], torch.from_numpy(data.train.label[: naive.BATCH])
        self.training.step(self.x0, self.label)  # the first one also makes the optimizer's moments
        self.seconds: list[float] = []

    def tick(self) -> None:
        """Time one step."""
        start = time.process_time()
        self.training.step(self.x0, self.label)
        self.seconds.append(time.process_time() - start)


def trained(data: Dataset, settings: TrainSettings) -> tuple[TarDiffPipeline, float]:
    """A generator and the processor seconds that training it took."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        pipeline = train(data, Path(folder) / "run", settings, progress=False)
        return pipeline, time.process_time() - start


def sampled(pipeline: TarDiffPipeline, rows: int, seed: int) -> tuple[Rows, float]:
    """Synthetic rows with the labels of training, and the processor seconds they took."""
    start = time.process_time()
    label = draw_labels("train", pipeline.card.class_counts, rows, seed)
    samples = pipeline(label, row_seeds(seed, range(rows)), SamplerSettings())
    return Rows.of(pipeline.dataset(samples, {}).train, pipeline.codec), time.process_time() - start


def main() -> None:
    """Train with more and more steps, and say from when on it is enough."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="dataset folder with validation and test rows")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--steps", type=int, nargs="+", default=[250, 500, 1000, 2000, 4000])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--size", choices=SIZES, default="small")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = Dataset.load(options.data)
    codec = Codec.fit(data.train, data.manifest)
    clock, training = NaiveClock(data, codec), Rows.of(data.train, codec)
    asked = RowSets({split: Rows.of(data.split(split), codec) for split in SPLITS})
    resamples = {split: Resamples.draw(data.split(split).subject_id, RESAMPLES, stream("judges", 0)) for split in SPLITS}
    real = tstr(training, asked, resamples)

    runs = []
    for seed in options.seeds:
        for steps in options.steps:
            clock.tick()
            pipeline, seconds = trained(data, TrainSettings(steps=steps, seed=seed, validate_every=10**6, **SIZES[options.size]))
            rows, sampling = sampled(pipeline, len(training), seed)
            figures = {split: compared(draws, real[split]) for split, draws in tstr(rows, asked, resamples).items()}
            run = {"seed": seed, "steps": steps, "cpu_seconds": seconds, "sampling_cpu_seconds": sampling, **figures}
            runs.append(run | {"reached": reached(figures)})
            print(line(runs[-1]), flush=True)

    step = statistics.median(clock.seconds)
    full = step * naive.TRAINING_STEPS
    print(f"naive: {step:.2f} s a step (measured) x {naive.TRAINING_STEPS:,} steps (published) = {full:,.0f} s (arithmetic)")
    crossings = [crossing for seed in options.seeds for crossing in first_reached([r for r in runs if r["seed"] == seed], full)]
    theirs = {"cpu_seconds_a_step": step, "ticks": clock.seconds, "steps": naive.TRAINING_STEPS, "cpu_seconds_by_arithmetic": full}
    found = {"size": options.size, "margin": MARGIN, "runs": runs, "naive": theirs, "crossings": crossings}
    write_json(options.out, {"machine": machine()} | found)


def first_reached(runs: list[dict[str, Any]], full: float) -> Iterator[dict[str, Any]]:
    """Of one seed's runs, the first that fulfils each rule, and how many times faster it was than `full` seconds."""
    for rule in (f"{split}, {rule}" for split in SPLITS for rule in RULES):
        first = next((run for run in runs if rule in run["reached"]), None)
        if first is None:
            print(f"{rule}: not reached")
            continue
        ratio = full / first["cpu_seconds"]
        print(f"{rule}: seed {first['seed']}, {first['steps']:,} steps, {first['cpu_seconds']:.0f} s (measured), {ratio:.0f} times faster")
        yield {key: first[key] for key in ("seed", "steps", "cpu_seconds")} | {"rule": rule, "times_faster": ratio}


def line(run: dict[str, Any]) -> str:
    """A run in words."""
    parts = [f"seed {run['seed']}  {run['steps']:>5,} steps  {run['cpu_seconds']:6.1f} s"]
    for split in SPLITS:
        for judge, n in run[split].items():
            difference = shown(n["difference"], n["low"], n["high"], signed=True)
            parts.append(f"{split} {judge} {n['tstr']:.3f} (real {n['real']:.3f}, {difference})")
    return "\n    ".join([*parts, f"reached: {'; '.join(run['reached']) or 'no'}"])


if __name__ == "__main__":
    main()
