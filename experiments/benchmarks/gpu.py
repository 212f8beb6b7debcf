"""Training, sampling and guidance on a GPU and on the CPU of the same machine: whether they agree, and how fast. Eight minutes at most.

The records are made up. Without a GPU it runs all the same and compares the CPU with itself.

    python -m experiments.benchmarks.gpu --out gpu.json
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments.benchmarks.clock import machine
from experiments.benchmarks.made_up import made_up
from tardiff.base.device import use_device
from tardiff.base.files import write_json
from tardiff.base.noise import row_seeds
from tardiff.classifier.folder import ClassifierFolder, fit_classifier
from tardiff.data.dataset import Dataset
from tardiff.guidance.build import build_guide
from tardiff.model.pipeline import Samples, TarDiffPipeline
from tardiff.model.sampling import UNGUIDED, Guide
from tardiff.model.training import train
from tardiff.settings import ClassifierSettings, GuidanceSettings, SamplerSettings, TrainSettings

SECONDS = 480
SLICES = {"train": 0.1, "rows": 0.08}
"""Share of the time that one measurement on one device may take."""
GUIDANCE = GuidanceSettings(strength=0.3, cfg_scale=2.0)
FAR = 4.0
"""Standard errors between the means of two devices that chance does not explain."""


def main(arguments: list[str] | None = None) -> None:
    """Measure both devices, compare them, write the numbers down.

    Raises:
        SystemExit: the devices disagree.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--device", default="auto", help="what is compared with the CPU")
    parser.add_argument("--rows", type=int, default=4096, help="rows learnt and, at most, drawn")
    parser.add_argument("--steps", type=int, default=200, help="training steps")
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 128, 128])
    parser.add_argument("--seconds", type=float, default=SECONDS, help="that the whole may take")
    options = parser.parse_args(arguments)
    name = use_device(options.device).type
    data, settings = made_up(options.rows), TrainSettings(steps=options.steps, widths=tuple(options.widths), validate_every=options.steps)
    found: dict[str, Any] = {}
    drawn: dict[str, dict[str, Samples]] = {}
    pipeline = folder = None
    for device in (name, "cpu"):  # the first one trains what both draw from
        use_device(device)
        found[device] = {"training steps a second": training_speed(data, settings, options.seconds * SLICES["train"])}
        if pipeline is None or folder is None:
            pipeline, folder = trained(data, settings)
        found[device] |= measured(pipeline, folder, device, options.rows, options.seconds * SLICES["rows"], drawn.setdefault(device, {}))
        print(device, *(f"{key} {value:,.3g}" for key, value in found[device].items()), sep="\n  ", flush=True)
    apart = {way: difference(drawn[name][way], drawn["cpu"][way]) for way in drawn["cpu"]}
    print("largest difference of a channel's mean, in standard errors:", *(f"{way} {far:.2f}" for way, far in apart.items()))
    write_json(options.out, {"machine": machine() | {"gpu": gpu_name()}, "devices": found, "difference": apart})
    if max(apart.values()) > FAR:
        raise SystemExit(f"{name} and the CPU draw other records: {apart}")


def trained(data: Dataset, settings: TrainSettings) -> tuple[TarDiffPipeline, ClassifierFolder]:
    """A generator and a classifier, trained on the device that was chosen, to be sampled on any."""
    with tempfile.TemporaryDirectory() as work:
        pipeline = train(data, Path(work) / "run", settings, progress=False)
    return pipeline, fit_classifier(data, ClassifierSettings(width=32, epochs=3), codec=pipeline.codec)


def training_speed(data: Dataset, settings: TrainSettings, seconds: float) -> float:
    """Steps a second of a short training, from the first step to the last, start included; fewer steps where time is short."""
    few = TrainSettings(steps=5, widths=settings.widths, validate_every=5)
    per_step = timed_training(data, few) / few.steps
    steps = max(1, min(settings.steps, int(seconds / 2 / per_step)))
    return steps / timed_training(data, TrainSettings(steps=steps, widths=settings.widths, validate_every=steps))


def timed_training(data: Dataset, settings: TrainSettings) -> float:
    """Seconds."""
    with tempfile.TemporaryDirectory() as work:
        start = time.perf_counter()
        train(data, Path(work) / "run", settings, progress=False)
        return time.perf_counter() - start


def measured(
    pipeline: TarDiffPipeline, folder: ClassifierFolder, device: str, most: int, seconds: float, drawn: dict[str, Samples]
) -> dict[str, float]:
    """Rows a second, unguided and guided, and the largest memory; the samples of each way go into `drawn`."""
    there, here = pipeline.to(device), folder.to(use_device(device))
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    guide = build_guide(there, [here], GUIDANCE, 0.3)
    found = {}
    for way, generator, steered in (("unguided", there, UNGUIDED), ("guided", there.with_cfg(2.0, GUIDANCE.window), guide)):
        _, warm = timed_sampling(generator, steered, 64)
        rows = int(np.clip(64 * seconds / 2 / warm, 64, most))
        drawn[way], taken = timed_sampling(generator, steered, rows)
        found[f"{way} rows a second"] = rows / taken
    peak = torch.cuda.max_memory_allocated() if device == "cuda" else 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return found | {"memory, GB" if device == "cuda" else "memory of the whole process so far, GB": peak / 1e9}


def timed_sampling(generator: Any, guide: Guide, rows: int) -> tuple[Samples, float]:
    """Samples, and the seconds that they took; the numbers are on the CPU by then, so the device has finished."""
    start = time.perf_counter()
    samples = generator(np.arange(rows) % 2, row_seeds(0, range(rows)), SamplerSettings(batch_size=4096), guide)
    return samples, time.perf_counter() - start


def difference(ours: Samples, theirs: Samples) -> float:
    """Largest distance of the mean scores of a channel, by class, in standard errors of that mean; noise is the same, so 0 is usual."""
    rows = min(len(ours.label), len(theirs.label))
    worst = 0.0
    for label in (0, 1):
        a, b = (samples.x0[:rows][samples.label[:rows] == label].double().mean(-1) for samples in (ours, theirs))
        error = ((a.var(0) + b.var(0)) / len(a)).sqrt().clamp(min=1e-6)
        worst = max(worst, float(((a.mean(0) - b.mean(0)).abs() / error).max()))
    return worst


def gpu_name() -> str:
    """Its name, or that there is none."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "none"


if __name__ == "__main__":
    main()
