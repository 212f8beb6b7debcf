"""What guidance costs: guided against unguided sampling, by objective, in one run.

Every guide samples the same rows as its unguided neighbour in time; the ratio is of medians over the repeats. What comes once a
data set (matching a strength) is timed apart. Then the default guide at growing numbers of samples.

    python -m experiments.benchmarks.guidance --data DATA --run RUN --classifier CLF --out guidance.json
"""

import argparse
import platform
import resource
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments.harness.published import published_guide
from tardiff.base.files import write_json
from tardiff.base.noise import row_seeds
from tardiff.classifier.folder import ClassifierFolder
from tardiff.data.dataset import Dataset
from tardiff.data.labels import draw_labels
from tardiff.guidance.build import build_guide
from tardiff.model.pipeline import RecordGenerator, TarDiffPipeline
from tardiff.model.sampling import UNGUIDED, Guide
from tardiff.settings import GuidanceSettings, SamplerSettings, SelectionSettings
from tardiff.synthesis.guide import steer
from tardiff.synthesis.plan import Plan

STRENGTH = 0.3
CLASSIFIER = GuidanceSettings(cfg_scale=1.0, strength=STRENGTH)
WAYS: dict[str, GuidanceSettings] = {
    "default": GuidanceSettings(),
    "classifier-free": GuidanceSettings(guidance="classifier-free"),
    "classifier": CLASSIFIER,
    "raw, last layer": replace(CLASSIFIER, objective="raw=1"),
    "cosine, last layer": replace(CLASSIFIER, objective="cosine=1"),
}
SIZES = (128, 256, 512, 1024)


def main() -> None:
    """Time every way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="dataset folder that both learnt from")
    parser.add_argument("--run", type=Path, required=True, help="pipeline folder")
    parser.add_argument("--classifier", type=Path, required=True, help="classifier folder")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    pipeline, folder = TarDiffPipeline.from_pretrained(options.run), ClassifierFolder.load(options.classifier)
    draw(pipeline, UNGUIDED, 64)  # warm up

    ways: dict[str, Any] = {}
    generator: RecordGenerator
    guide: Guide
    for name in (*WAYS, "published"):
        start = time.perf_counter()
        if name == "published":
            generator, guide = pipeline, published_guide(folder, Dataset.load(options.data).train)
        else:
            generator, guide = prepared_guide(pipeline, folder, WAYS[name])
        prepared = time.perf_counter() - start
        pairs = [(draw(pipeline, UNGUIDED, options.rows), draw(generator, guide, options.rows)) for _ in range(options.repeats)]
        unguided, guided = (statistics.median(times) for times in zip(*pairs, strict=True))
        ways[name] = {"unguided": unguided, "guided": guided, "ratio": guided / unguided, "preparation": prepared}
        print(f"{name:<20} {guided:6.2f} s  {guided / unguided:5.2f} x unguided   (prepared in {prepared:.1f} s)", flush=True)

    generator, guide = prepared_guide(pipeline, folder, replace(WAYS["default"], strength=STRENGTH))
    growth = []
    for rows in SIZES:
        seconds = draw(generator, guide, rows)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        growth.append({"rows": rows, "seconds": seconds, "milliseconds_a_row": 1000 * seconds / rows, "peak_mb": memory})
        print(f"{rows:>6,} rows  {seconds:6.1f} s  {1000 * seconds / rows:5.1f} ms a row  peak {memory:,.0f} MB", flush=True)
    machine = {"processor": platform.processor() or platform.machine(), "torch": torch.__version__, "threads": 1}
    write_json(options.out, {"machine": machine, "rows": options.rows, "ways": ways, "growth": growth})


def prepared_guide(pipeline: TarDiffPipeline, folder: ClassifierFolder, settings: GuidanceSettings) -> tuple[RecordGenerator, Guide]:
    """What steers, at some strength after matching was paid for: where the match is 0, the default costs what classifier-free costs."""
    plan = Plan(pipeline, 1, [folder], settings, SamplerSettings(), SelectionSettings())
    steering = steer(plan, progress=False)
    return steering.generator, build_guide(pipeline, [folder], settings, STRENGTH) if steering.match else steering.guide


def draw(pipeline: RecordGenerator, guide: Guide, rows: int) -> float:
    """Seconds to sample."""
    label = draw_labels("train", pipeline.card.class_counts, rows, seed=0)
    start = time.perf_counter()
    samples = pipeline(label, row_seeds(0, range(rows)), SamplerSettings(), guide)
    assert np.isfinite(samples.x0.numpy()).all()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
