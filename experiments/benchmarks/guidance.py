"""What guidance costs: guided against unguided sampling, by objective and by way of taking the gradient, in one run.

Every guide samples the same rows as its unguided neighbour in time; the ratio is of medians over the repeats. The pilot of `gap` is
drawn once a data set, not once a sample, so it is timed apart. Then the default guide at growing numbers of samples.

    python experiments/benchmarks/guidance.py --run RUN --classifier CLF --out guidance.json
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

from tardiff.base.files import write_json
from tardiff.base.noise import row_seeds
from tardiff.classifier.folder import ClassifierFolder
from tardiff.data.labels import draw_labels
from tardiff.guidance.build import build_guide, pilot_samples
from tardiff.guidance.gradient_guide import GradientGuide
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.model.sampling import Guide
from tardiff.settings import GuidanceSettings, SamplerSettings
from tardiff.synthesis.matched_strength import match_strength

STRENGTH = 0.3


def influence(**options: Any) -> GuidanceSettings:
    """Influence guidance."""
    return GuidanceSettings(guidance="influence", label_scale=1.0, strength=STRENGTH, **options)


WAYS = {
    "default": GuidanceSettings(),
    "classifier-free": GuidanceSettings(guidance="classifier-free"),
    "classifier": GuidanceSettings(label_scale=1.0, strength=STRENGTH),
    "gap, last layer": influence(form="gap"),
    "raw, last layer": influence(form="raw"),
    "cosine, last layer": influence(form="cosine"),
    "raw, last layer, final weights": influence(form="raw", along="final"),
    "raw, finite difference, final weights": influence(form="raw", along="final", gradient="finite-difference"),
    "raw, double backward, final weights": influence(form="raw", along="final", gradient="double-backward"),
    "raw, last layer, final weights, through the denoiser": influence(form="raw", along="final", through=True),
    "raw, last layer, final weights, all steps": influence(form="raw", along="final", window=1.0),
    "published": GuidanceSettings(guidance="published"),
}
SIZES = (128, 256, 512, 1024)


def main() -> None:
    """Time every way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="pipeline folder")
    parser.add_argument("--classifier", type=Path, required=True, help="classifier folder")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    pipeline, folder = TarDiffPipeline.from_pretrained(options.run), ClassifierFolder.load(options.classifier)
    default = GuidanceSettings()
    draw(pipeline, None, 64)  # warm up

    ways: dict[str, Any] = {}
    for name, settings in WAYS.items():
        start = time.perf_counter()
        sharp = pipeline.sharpened(settings.label_scale, settings.window) if settings.sharpens else pipeline
        guide = build_guide(sharp, [folder], settings, SamplerSettings(), seed=0)
        if settings.strength == "matched" and isinstance(guide, GradientGuide):
            guide = match(sharp, guide, folder, settings)
        prepared = time.perf_counter() - start
        pairs = [(draw(pipeline, None, options.rows), draw(sharp, guide, options.rows)) for _ in range(options.repeats)]
        unguided, guided = (statistics.median(times) for times in zip(*pairs, strict=True))
        ways[name] = {"unguided": unguided, "guided": guided, "ratio": guided / unguided, "preparation": prepared}
        print(f"{name:<55} {guided:6.2f} s  {guided / unguided:5.2f} x unguided   (prepared in {prepared:.1f} s)", flush=True)

    guide = build_guide(pipeline, [folder], replace(default, strength=STRENGTH), SamplerSettings(), seed=0)
    sharp, growth = pipeline.sharpened(default.label_scale, default.window), []
    for rows in SIZES:
        seconds = draw(sharp, guide, rows)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        growth.append({"rows": rows, "seconds": seconds, "milliseconds_a_row": 1000 * seconds / rows, "peak_mb": memory})
        print(f"{rows:>6,} rows  {seconds:6.1f} s  {1000 * seconds / rows:5.1f} ms a row  peak {memory:,.0f} MB", flush=True)
    machine = {"processor": platform.processor() or platform.machine(), "torch": torch.__version__, "threads": 1}
    write_json(options.out, {"machine": machine, "rows": options.rows, "ways": ways, "growth": growth})


def match(pipeline: TarDiffPipeline, guide: GradientGuide, folder: ClassifierFolder, settings: GuidanceSettings) -> GradientGuide:
    """The guide at some strength, after matching was paid for: where the match is 0, the default costs what classifier-free costs."""

    def pilot(strength: float) -> tuple[torch.Tensor, torch.Tensor]:
        return pilot_samples(pipeline, folder, settings.pilot, SamplerSettings(), replace(guide, strength=strength), 0, False)

    match_strength(pilot, [folder])
    return replace(guide, strength=STRENGTH)


def draw(pipeline: TarDiffPipeline, guide: Guide | None, rows: int) -> float:
    """Seconds to sample."""
    label = draw_labels("train", pipeline.card.class_counts, rows, seed=0)
    start = time.perf_counter()
    samples = pipeline(label, row_seeds(0, range(rows)), SamplerSettings(), guide)
    assert np.isfinite(samples.x.numpy()).all()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
