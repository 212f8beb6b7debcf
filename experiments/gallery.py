"""The gallery of the documentation: every guide and reward on one small data set, from the same noise.

Patients are simulated and the generator is small, so that two cores take some minutes. Writes docs/explanation/gallery.md and
docs/assets/gallery.png.

python -m experiments.gallery
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

from data_prep import PrepareSettings, prepare
from experiments.benchmarks.guidance import prepared_guide
from tardiff import ClassifierSettings, Dataset, GuidanceSettings, SamplerSettings, TarDiffPipeline, TrainSettings, fit_classifier, train
from tardiff.base.estimates import shown
from tardiff.base.noise import row_seeds
from tardiff.classifier.folder import ClassifierFolder
from tardiff.data.resolution import ABSENT
from tardiff.evaluate.intervals import Interval
from tardiff.evaluate.judges import Rows
from tardiff.model.pipeline import Samples
from tardiff.refine import RefineSettings, refine
from tardiff.refine.rewards import FACTORIES
from tardiff.settings import OBJECTIVES
from tardiff.synthesis.diagnosis import label_traces

ROOT = Path(__file__).parents[1]
STAYS, ROWS = 800, 128
TRAINING = TrainSettings(steps=300, widths=(32, 64, 64), blocks=1, validate_every=100, ema_decay=0.98)
REFINEMENT = RefineSettings(iterations=3, rows=64, check_every=3, check_rows=64, allow_worse=True)
STRENGTH = 0.3
GUIDES = {
    "none": GuidanceSettings(guidance="none"),
    "classifier-free": GuidanceSettings(guidance="classifier-free"),
    **{name: GuidanceSettings(objective=f"{name}=1", strength=STRENGTH, cfg_scale=1.0, pilot=ROWS) for name in OBJECTIVES},
    "label, all steps": GuidanceSettings(strength=STRENGTH, cfg_scale=1.0, window=1.0),
}
REWARDS = [name for name, make in FACTORIES.items() if make.__module__ == "tardiff.refine.reward_terms"]
PANELS = 4
COLOURS = ("#0072B2", "#D55E00")
PAGE = """# A gallery of guides and rewards

Each [guide](../how-to/steer.md#other-objectives) and each [reward](../how-to/refine.md#rewards) by itself, on one small data set of
simulated patients. All samples start from the same noise and have the same labels, charts and descriptors, so only the guide or the
reward makes the difference. `python -m experiments.gallery` makes this page and its picture anew. Simulated patients show what each of them
does. They do not say which of them pays on real ones.

![{channel} by hour: samples of each guide and reward, with unguided samples of the same noise](../assets/gallery.png)

{channel} by hour, means of {rows} samples: those who die in orange, survivors in blue, unguided samples dotted. Thin lines are single
made-up patients.

* **moved**: root mean square change against unguided samples, in standard deviations (normal scores).
* **sure**: mean probability of the label by a classifier of another kind, which guided nothing.
* **label readable**: AUROC of the label in the directions in which unguided samples hardly vary, with its 95 % interval. If it is above the
  first line's, it is a [trace](../glossary.md) that models can learn as a shortcut.
* **cost**: processor time of sampling as a multiple of unguided sampling. A refined generator samples as fast as its base; its cost
  is that of refining, as a multiple of training the base. Measured once, while other work ran: a quarter more or less is noise.

| way | moved | sure | label readable | cost |
|---|---|---|---|---|
{guides}

Guides have strength {strength:g} in the first 40 % of the steps, without classifier-free guidance, which is shown alone, with scale 2.
In `sample` both act together, and a strength is [matched](guidance.md#how-strongly-the-match), to at most this one.
Here a trace lies beyond both intervals with {traced}.

| reward alone | moved | sure | label readable | cost |
|---|---|---|---|---|
{rewards}

Each refinement has {iterations} iterations of {refined} samples, far fewer than `tardiff refine` takes, and is kept even if its checks
say that it is worse than its base.
"""


@dataclass(frozen=True)
class Way:
    """One way of sampling: samples of the common noise, and what they cost."""

    samples: Samples
    cost: float


@dataclass(frozen=True)
class Base:
    """What every way begins with."""

    data: Dataset
    pipeline: TarDiffPipeline
    seconds: float
    classifier: ClassifierFolder
    judge: ClassifierFolder
    label: NDArray[np.int64]

    def line(self, name: str, way: Way, plain: Way, readable: Interval) -> str:
        """A line of a table; `readable` is what `trace` finds."""
        codec = self.pipeline.codec
        charted = (plain.samples.chart != ABSENT).sum()
        moved = float(((way.samples.x0 - plain.samples.x0).square().sum() / charted).sqrt())
        sure = self.judge.classifier.probability(codec.encode(way.samples))[np.arange(len(self.label)), self.label].mean()
        return f"| `{name}` | {moved:.3f} | {sure:.3f} | {shown(*readable, digits=2)} | {way.cost:.2f} |"

    def trace(self, way: Way, plain: Way) -> Interval:
        """How well the label can be read in the directions of little variance."""
        guided, unguided = (Rows.of(self.pipeline.dataset(of.samples, {}).train, self.pipeline.codec).features for of in (way, plain))
        return label_traces(guided, unguided, self.label, seed=0)[1].guided


def main() -> None:
    """Make the page and the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="folder with explanation/ and assets/")
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as work:
        base = begun(Path(work))
        guides = dict(guided(base))
        rewards = dict(refined(base, guides["none"], Path(work)))
    plain, channel = guides["none"], base.data.manifest.channels[0]
    title = f"{channel.name} ({channel.unit})"
    lines = {"guides": guides, "rewards": rewards}
    readable = {name: base.trace(way, plain) for name, way in {**guides, **rewards}.items()}
    tables = {key: "\n".join(base.line(name, way, plain, readable[name]) for name, way in ways.items()) for key, ways in lines.items()}
    tables["traced"] = ", ".join(f"`{name}`" for name in guides if readable[name][1] > readable["none"][2]) or "none"
    (out / "explanation" / "gallery.md").write_text(
        PAGE.format(**tables, channel=title, rows=ROWS, strength=STRENGTH, iterations=REFINEMENT.iterations, refined=REFINEMENT.rows)
    )
    draw({**guides, **rewards}, plain, base.label, title, out / "assets" / "gallery.png")


def begun(work: Path) -> Base:
    """Simulated patients, a small generator, a classifier that guides and another kind that judges."""
    data = prepare(PrepareSettings("simulate", out=work / "data", stays=STAYS))
    start = time.process_time()
    pipeline = train(data, work / "run", TRAINING, progress=False)
    seconds = time.process_time() - start
    classifier, judge = (fit_classifier(data, ClassifierSettings(kind)) for kind in ("gru", "tcn"))
    return Base(data, pipeline, seconds, classifier, judge, np.repeat([0, 1], ROWS // 2))


def guided(base: Base) -> Iterator[tuple[str, Way]]:
    """Samples of every guide."""
    first = 1.0
    for name, settings in GUIDES.items():
        generator, guide = prepared_guide(base.pipeline, base.classifier, settings)
        start = time.process_time()
        samples = generator(base.label, row_seeds(0, range(ROWS)), SamplerSettings(), guide)
        seconds = time.process_time() - start
        first = seconds if name == "none" else first
        print(f"{name:<20} {seconds:6.1f} s", flush=True)
        yield name, Way(samples, seconds / first)


def refined(base: Base, plain: Way, work: Path) -> Iterator[tuple[str, Way]]:
    """Samples of the generator, refined by every reward alone."""
    for name in REWARDS:
        start = time.process_time()
        settings = replace(REFINEMENT, rewards=f"{name}=1")
        pipeline = refine(base.pipeline, base.data, work / name, settings, classifier=base.classifier, progress=False).pipeline
        seconds = time.process_time() - start
        print(f"{name:<20} {seconds:6.1f} s", flush=True)
        yield name, Way(pipeline(base.label, row_seeds(0, range(ROWS)), SamplerSettings(), like=plain.samples), seconds / base.seconds)


def draw(ways: dict[str, Way], plain: Way, label: NDArray[np.int64], title: str, path: Path) -> None:
    """A panel for each way: means of the classes, dotted without the way, and two made-up patients of each."""
    height = -(-len(ways) // PANELS)
    figure, axes = plt.subplots(height, PANELS, figsize=(2.6 * PANELS, 1.8 * height), sharex=True, sharey=True, layout="constrained")
    for place, (name, way) in zip(axes.flat, ways.items(), strict=False):
        for c, colour in enumerate(COLOURS):
            for row in np.flatnonzero(label == c)[:2]:
                place.plot(way.samples.values[row, 0], color=colour, linewidth=0.5, alpha=0.5)
            place.plot(np.nanmean(plain.samples.values[label == c, 0], axis=0), color=colour, linestyle=":")
            place.plot(np.nanmean(way.samples.values[label == c, 0], axis=0), color=colour)
        place.set_title(name, fontsize=9)
    for place in axes.flat[len(ways) :]:
        place.axis("off")
    figure.supxlabel("hour", fontsize=9)
    figure.supylabel(title, fontsize=9)
    figure.savefig(path, dpi=70)


if __name__ == "__main__":
    main()
