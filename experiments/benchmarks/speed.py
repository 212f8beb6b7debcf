"""What everything costs, as ratios to the frozen naive implementation (`naive.py`), in one process on one thread.

Jobs that are compared run in turn, and what is compared is processor time, for other work may run beside them. The records are made
up. `--parts` runs some parts only; the file is then written with the others as they were.

    OMP_NUM_THREADS=1 python -m experiments.benchmarks.speed --out experiments/benchmarks/speed.json
"""

import argparse
import contextlib
import io
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from experiments.benchmarks import naive
from experiments.benchmarks.clock import in_turn, machine
from experiments.benchmarks.convolution import throughput
from experiments.benchmarks.made_up import made_up, untrained
from tardiff.base.device import chunk_rows
from tardiff.base.files import write_json
from tardiff.base.noise import row_seeds
from tardiff.classifier.folder import ClassifierFolder, fit_classifier
from tardiff.data.codec import Codec
from tardiff.data.dataset import Dataset
from tardiff.data.labels import draw_labels
from tardiff.data.statics import StaticModel
from tardiff.evaluate import evaluate
from tardiff.guidance.build import build_guide
from tardiff.guidance.influence import guidance_direction
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.model.sampling import UNGUIDED, Guide
from tardiff.model.training import Networks, NoisyRows, Steps, new_optimizer
from tardiff.settings import ClassifierSettings, EvaluateSettings, GuidanceSettings, SamplerSettings, TrainSettings

CHUNK = chunk_rows(torch.device("cpu"))
ROUNDS = 3
STARTS = 7
WORSE = 1.2
OURS, THEIRS, FEW = 64, 16, 2  # records sampled by the package, by the naive implementation, and with its slowest classifier
EVALUATED = (256, 512, 1024)
SIZES = {"N": (256, 1024, 4096), "T": (24, 48, 96), "C": (7, 17, 34)}
FEW_STEPS = SamplerSettings(steps=3)  # growth does not depend on how many there are

KINDS = {
    "convolution": ("convolution",),
    "attention": ("scaled_dot_product",),
    "norm": ("group_norm",),
    "activation": ("silu",),
    "linear layers": ("addmm",),
}


WAYS = {
    "classifier guide": GuidanceSettings(strength=0.1),
    "raw influence, last layer": GuidanceSettings(objective="raw=1", strength=0.1),
}


@dataclass(frozen=True)
class Measure:
    """A number that is printed, written down and compared with the last one.

    Attributes:
        part: part of the benchmark.
        name: what it is.
        value: the number.
        unit: `times` (faster than the naive implementation) and `of peak` are better higher, `exponent` lower. The others are
            not compared: they depend on the machine, or are neither good nor bad.
    """

    part: str
    name: str
    value: float
    unit: Literal["times", "of peak", "exponent", "percent", "ms", "s", "GFLOP/s", "million"]

    def worse(self, last: float) -> bool:
        """Whether it is more than a fifth worse than the last one."""
        if self.unit == "exponent":
            return self.value > last + WORSE - 1
        return self.unit in ("times", "of peak") and self.value * WORSE < last


Measures = Iterator[Measure]


# The convolution and the network


def convolution() -> Measures:
    """Layouts against the matrix product."""
    peak, by_layout = throughput()
    yield Measure("convolution", "matrix product, the peak", peak, "GFLOP/s")
    for name, rate in by_layout.items():
        yield Measure("convolution", name, rate / peak, "of peak")


def network() -> Measures:
    """Where the time of the U-Net's forward pass goes, and how near to the peak it runs."""
    data = made_up(CHUNK)
    pipeline = untrained(data, TrainSettings())
    unet, chart = pipeline.unet, pipeline.codec.entries(data.train).chart
    x, label, static = torch.randn(chart.shape), torch.arange(CHUNK) % 2, pipeline.statics.encode(data.train.static)
    timestep = torch.arange(CHUNK)

    @torch.no_grad()
    def forward() -> None:
        unet(x, timestep, label, static, chart)

    square = torch.randn(1024, 1024)
    taken = in_turn({"forward": forward, "product": lambda: square @ square}, 15)
    with FlopCounterMode(display=False) as counter:
        forward()
    yield Measure("network", "parameters", parameters(unet) / 1e6, "million")
    yield Measure("network", f"forward of {CHUNK} records", 1000 * taken["forward"].cpu, "ms")
    share = counter.get_total_flops() / taken["forward"].cpu / (2 * len(square) ** 3 / taken["product"].cpu)
    yield Measure("network", "forward, all of it", share, "of peak")
    for kind, part in profiled(forward).items():
        yield Measure("network", f"time in {kind}", 100 * part, "percent")


def profiled(job: Callable[[], None]) -> dict[str, float]:
    """Share of the time of each kind of operation."""
    with profile(activities=[ProfilerActivity.CPU]) as record:
        for _ in range(5):
            job()
    shares = dict.fromkeys([*KINDS, "the rest"], 0.0)
    total = sum(event.self_cpu_time_total for event in record.key_averages())
    for event in record.key_averages():
        kind = next((kind for kind, words in KINDS.items() if any(word in event.key for word in words)), "the rest")
        shares[kind] += event.self_cpu_time_total / total
    return shares


def parameters(network: nn.Module) -> int:
    """How many numbers it has."""
    return sum(p.numel() for p in network.parameters())


# Training


class Training:
    """The package's training steps, one after the other."""

    def __init__(self, data: Dataset, settings: TrainSettings) -> None:
        codec, statics = Codec.fit(data.train, data.manifest), StaticModel.fit(data.train, data.manifest)
        pipeline = untrained(data, settings)
        self.networks, self.count = Networks(pipeline.unet, pipeline.charting).train(), 0
        optimizer = new_optimizer(self.networks, settings)
        self.steps = Steps(self.networks, optimizer, NoisyRows(data.train, codec, statics, settings), settings, Path())
        self.averaged = EMAModel(self.networks.parameters(), decay=settings.ema_decay, use_ema_warmup=True, power=0.75)

    def step(self) -> None:
        """The next one."""
        self.steps.gradients(self.count)
        self.steps.apply()
        self.averaged.step(self.networks.parameters())
        self.count += 1


def training() -> Measures:
    """A step of 128 records by either."""
    data = made_up(512)
    ours, x0 = Training(data, TrainSettings()), Codec.fit(data.train, data.manifest).encode(data.train)[: naive.BATCH]
    small = Training(data, TrainSettings(batch_size=naive.BATCH, widths=(32, 64), blocks=1))
    label = torch.from_numpy(data.train.label[: naive.BATCH])
    theirs = naive.Training(naive.NaiveUNet(x0.shape[1], 2))
    taken = in_turn({"ours": ours.step, "small": small.step, "naive": lambda: theirs.step(x0, label)}, 2 * ROUNDS - 1)
    yield Measure("training", "naive network, parameters", parameters(theirs.unet) / 1e6, "million")
    for name, timing in taken.items():
        yield Measure("training", f"step of {naive.BATCH} records, {name}", 1000 * timing.cpu, "ms")
    yield Measure("training", "step, default network", taken["naive"].cpu / taken["ours"].cpu, "times")
    yield Measure("training", "step, small network (32, 64)", taken["naive"].cpu / taken["small"].cpu, "times")
    whole = taken["naive"].cpu * naive.TRAINING_STEPS / (taken["ours"].cpu * TrainSettings().steps)
    yield Measure("training", "whole training at either's default steps, by arithmetic", whole, "times")


# Sampling


def _as_it_is(x: Tensor) -> Tensor:
    """The naive network's records hold values and mask themselves."""
    return x


def sampling() -> Measures:
    """Records of 20 reverse steps, unguided and guided, by either."""
    data = made_up(512)
    pipeline = untrained(data, TrainSettings())
    folder = fit_classifier(data, ClassifierSettings(epochs=2))
    shape = (2 * len(data.manifest.channels), data.manifest.steps)
    unet = naive.NaiveUNet(shape[0], 2).eval()
    see, published = _as_it_is, naive.PublishedClassifier(shape[0], 2).eval()
    direction = whole_direction(folder)
    random_direction = {name: torch.randn_like(p) for name, p in published.named_parameters()}

    def by_committee(x0_hat: Tensor, label: Tensor) -> Tensor:
        return naive.influence_gradient(folder.classifier, direction, see, x0_hat, label)

    def by_published(x0_hat: Tensor, label: Tensor) -> Tensor:
        return naive.influence_gradient(published, random_direction, see, x0_hat, label)

    def plain(rows: int, steps: int = naive.REVERSE_STEPS, **options: Any) -> Callable[[], object]:
        return lambda: naive.reverse(unet, torch.arange(rows) % 2, shape, steps, **options)

    guides = {name: build_guide(pipeline, [folder], settings, strength=0.1) for name, settings in WAYS.items()}
    window = GuidanceSettings().window
    jobs: dict[str, tuple[int, Callable[[], object]]] = {
        "ours, unguided": (OURS, lambda: draw(pipeline, UNGUIDED, OURS)),
        "naive, unguided": (OURS, plain(OURS)),
        "naive, unguided, in as small a batch as guided": (THEIRS, plain(THEIRS)),
        "naive, guided": (THEIRS, plain(THEIRS, guidance=by_committee)),
        "naive, guided in our window": (THEIRS, plain(THEIRS, guidance=by_committee, window=window)),
        "naive, guided by the published classifier": (FEW, plain(FEW, guidance=by_published)),
    } | {f"ours, {name}": (OURS, lambda guide=guide: draw(pipeline, guide, OURS)) for name, guide in guides.items()}  # type: ignore[misc]
    draw(pipeline, UNGUIDED, CHUNK)
    plain(8, 2)()
    taken = in_turn({name: job for name, (_, job) in jobs.items()}, ROUNDS, warm_up=False)
    each = {name: timing.cpu / jobs[name][0] for name, timing in taken.items()}
    for name, seconds in each.items():
        yield Measure("sampling", f"a record, {name}", 1000 * seconds, "ms")
    yield Measure("sampling", "unguided", each["naive, unguided"] / each["ours, unguided"], "times")
    for name, settings in WAYS.items():
        same = "naive, guided" if settings.window == 1 else "naive, guided in our window"
        yield Measure("sampling", f"{name}, against naive", each[same] / each[f"ours, {name}"], "times")
    for rival in ("naive, guided", "naive, guided by the published classifier"):
        yield Measure("sampling", f"classifier guide, against {rival}", each[rival] / each["ours, classifier guide"], "times")
    ancestral = each["naive, unguided"] * naive.DIFFUSION_STEPS / naive.REVERSE_STEPS
    yield Measure("sampling", "unguided, against all 200 diffusion steps, by arithmetic", ancestral / each["ours, unguided"], "times")


def draw(pipeline: TarDiffPipeline, guide: Guide, rows: int, settings: SamplerSettings | None = None) -> None:
    """Sample."""
    label = draw_labels("train", pipeline.card.class_counts, rows, seed=0)
    pipeline(label, row_seeds(0, range(rows)), settings or SamplerSettings(), guide)


def whole_direction(folder: ClassifierFolder) -> dict[str, Tensor]:
    """v of all guidance rows at the final weights, by parameter: that of the last layer, 0 elsewhere. It costs as much as any other."""
    last = guidance_direction(folder.gradients[-1], folder.card.guidance_counts)[0]
    v = {name: torch.zeros_like(parameter) for name, parameter in folder.classifier.named_parameters()}
    return v | {"head.weight": last[:, :-1], "head.bias": last[:, -1]}


# Evaluation and start-up


def evaluation() -> Measures:
    """A quick evaluation of as many synthetic rows as real ones. It has no naive counterpart, so what is compared is its growth."""
    settings, seconds = EvaluateSettings(quick=True, workers=1), []
    for rows in EVALUATED:
        data, other = made_up(rows), made_up(rows)
        start = time.process_time()
        with contextlib.redirect_stderr(io.StringIO()):  # its bars
            evaluate(data, {"other": other}, settings)
        seconds.append(time.process_time() - start)
        yield Measure("evaluation", f"quick, {rows:,} rows", seconds[-1], "s")
    yield Measure("evaluation", "quick, over N", exponent(EVALUATED, seconds), "exponent")


def start_up() -> Measures:
    """`tardiff --help`, and the same with everything imported at once, as a plain package would."""
    eager = "import tardiff.model.training, tardiff.synthesis.run, tardiff.evaluate, tardiff.cli as cli; cli.main(['--help'])"
    commands = {"help": ["-m", "tardiff", "--help"], "eager": ["-c", eager]}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for name in [*["help"] * (STARTS - ROUNDS), *["help", "eager"] * ROUNDS]:
        before, clock = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([sys.executable, *commands[name]], check=True, capture_output=True)
        wall, after = time.perf_counter() - clock, resource.getrusage(resource.RUSAGE_CHILDREN)
        taken[name].append((after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall))
    cpu, wall = ({name: statistics.median(row[k] for row in rows) for name, rows in taken.items()} for k in (0, 1))
    yield Measure("start-up", "tardiff --help, processor", cpu["help"], "s")
    yield Measure("start-up", "tardiff --help, clock", wall["help"], "s")
    yield Measure("start-up", "everything imported, processor", cpu["eager"], "s")
    yield Measure("start-up", "tardiff --help", cpu["eager"] / cpu["help"], "times")


# Growth


def growth() -> Measures:
    """How a training step and sampling grow with the rows N (batch and steps as they are), the hours T and the channels C."""
    for axis, sizes in SIZES.items():
        times: dict[str, list[float]] = {}
        for size in sizes:
            for name, seconds in grown(axis, size).items():
                times.setdefault(name, []).append(seconds)
        for name, seconds_by_size in times.items():
            for size, seconds in zip(sizes, seconds_by_size, strict=True):
                yield Measure("growth", f"{name}, {axis} = {size:,}", 1000 * seconds, "ms")
            yield Measure("growth", f"{name}, over {axis}", exponent(sizes, seconds_by_size), "exponent")


def grown(axis: str, size: int) -> dict[str, float]:
    """Processor seconds of one training step and of sampling, at one size of one axis."""
    data = made_up(size if axis == "N" else 256, size if axis == "C" else 7, size if axis == "T" else 24)
    steps, pipeline = Training(data, TrainSettings()), untrained(data, TrainSettings())
    taken = in_turn({"training step": steps.step, "warm": lambda: draw(pipeline, UNGUIDED, CHUNK, FEW_STEPS)}, ROUNDS)
    rows = size if axis == "N" else OURS
    drawn = in_turn({"sampling": lambda: draw(pipeline, UNGUIDED, rows, FEW_STEPS)}, 1 if axis == "N" else ROUNDS, warm_up=False)
    return {"training step": taken["training step"].cpu, "sampling": drawn["sampling"].cpu}


def exponent(sizes: tuple[int, ...], seconds: list[float]) -> float:
    """Slope of log seconds over log size: 1 is in proportion."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


PARTS: dict[str, Callable[[], Measures]] = {
    "convolution": convolution,
    "network": network,
    "training": training,
    "sampling": sampling,
    "evaluation": evaluation,
    "start-up": start_up,
    "growth": growth,
}


# The table


def line(measure: Measure, last: float | None) -> str:
    """One row of the table: the number, the last one, and whether it got worse."""
    digits = 3 if measure.value < 1 else 2 if measure.value < 10 else 1
    before = f"{last:10.{digits}f}" if last is not None else " " * 10
    flag = "  WORSE" if last is not None and measure.worse(last) else ""
    return f"  {measure.name:<78}{measure.value:10.{digits}f} {measure.unit:<9}{before}{flag}"


def main() -> None:
    """Run the parts, print the table, write it down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write; what it holds now is what is compared with")
    parser.add_argument("--parts", choices=PARTS, nargs="+", default=list(PARTS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    measures = json.loads(options.out.read_text(encoding="utf-8"))["measures"] if options.out.exists() else []
    last = {(m["part"], m["name"]): m["value"] for m in measures}
    worse = 0
    for part in options.parts:
        start = time.perf_counter()
        print(f"{part:<80}{'now':>10} {'':<9}{'last':>10}", flush=True)
        measures = [m for m in measures if m["part"] != part]
        for measure in PARTS[part]():
            before = last.get((measure.part, measure.name))
            worse += before is not None and measure.worse(before)
            print(line(measure, before), flush=True)
            measures.append(asdict(measure) | {"value": float(f"{measure.value:.4g}")})
        print(f"  ({time.perf_counter() - start:.0f} s)", flush=True)
    order = {part: place for place, part in enumerate(PARTS)}
    write_json(options.out, {"machine": machine(), "measures": sorted(measures, key=lambda m: order[m["part"]])})
    print(f"{worse} compared numbers are more than a fifth worse than the last ones")


if __name__ == "__main__":
    main()
