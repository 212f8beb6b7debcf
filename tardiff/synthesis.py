"""From a pipeline and a classifier to a synthetic data set: labels, guide, samples, and what guidance did."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tardiff.classifier_folder import ClassifierFolder
from tardiff.dataset import Dataset
from tardiff.errors import TardiffError
from tardiff.gap import measure_gap
from tardiff.guidance import GradientGuide, GuidanceLog, log_probability, rounded
from tardiff.influence import InfluenceObjective, cosine_influence, guidance_directions, last_layer, raw_influence
from tardiff.noise import row_seeds, stream
from tardiff.pipeline import TarDiffPipeline
from tardiff.settings import GuidanceSettings, SamplerSettings

PILOT_ROWS = 2**29  # row numbers that no user's sample has
COMPARED_ROWS = 128


@dataclass(frozen=True)
class Movement:
    """How far guidance moved the samples, against unguided ones of the same seeds.

    Attributes:
        rows: samples compared.
        value: root mean square difference of the value channels, in standard deviations (normal scores).
        mask: share of entries whose observation changed.
        steps: per reverse step, root mean square of the guide's change and of the sampler's update, and their ratio.
        inert: True if guidance did nothing to speak of.
        kept: share of each class's direction that stood above chance (`gap` only).
    """

    rows: int
    value: float
    mask: float
    steps: list[dict[str, float]]
    inert: bool
    kept: tuple[float, ...] | None


@dataclass(frozen=True)
class Synthesis:
    """A synthetic data set and how guidance moved it (None if it was unguided)."""

    dataset: Dataset
    movement: Movement | None


def synthesise(
    pipeline: TarDiffPipeline,
    n: int,
    *,
    classifier: ClassifierFolder | None = None,
    guidance: GuidanceSettings | None = None,
    sampler: SamplerSettings | None = None,
    label_ratio: str = "train",
    seed: int = 0,
    progress: bool = True,
) -> Synthesis:
    """Sample a synthetic data set.

    Args:
        pipeline: a trained generator.
        n: rows.
        classifier: what guidance serves; not needed for `guidance="none"`.
        guidance: form, strength and window; the default settings if None.
        sampler: solver and steps.
        label_ratio: "train", "balanced", or the share of the last class as a number.
        seed: sample i of a seed is the same whatever `n` and the batch size are, as long as its label is.
        progress: show progress bars.

    Raises:
        TardiffError: no classifier to guide with, one fitted on other data, or a label ratio that makes no sense.
    """
    guidance = guidance or GuidanceSettings()
    sampler = sampler or SamplerSettings()
    label = draw_labels(label_ratio, pipeline.card.class_counts, n, seed)
    guide = build_guide(pipeline, classifier, guidance, sampler, seed, progress)
    log = GuidanceLog()
    seeds = row_seeds(seed, range(n))
    samples = pipeline(label, seeds, sampler, guide, log, "sample" if progress else None)
    movement = None
    if guide is not None:
        few = slice(0, min(n, COMPARED_ROWS))
        unguided = pipeline(label[few], seeds[few], sampler)
        channels = len(pipeline.codec.channels)
        difference = (samples.x[few] - unguided.x)[:, :channels].square().mean().sqrt()
        flipped = float((samples.mask[few] != unguided.mask).mean())
        movement = Movement(len(unguided.label), rounded(float(difference)), rounded(flipped), log.summary(), log.inert, guide.kept)
    settings: dict[str, Any] = {
        "n": n,
        "seed": seed,
        "label_ratio": label_ratio,
        "sampler": {k: v for k, v in asdict(sampler).items() if k != "batch_size"},
        "guidance": asdict(guidance) if guide is not None else {"guidance": "none"},
        "generator": pipeline.card.data_hash,
        "movement": asdict(movement) if movement else None,
    }
    return Synthesis(pipeline.dataset(samples, settings), movement)


def draw_labels(label_ratio: str, class_counts: Sequence[int], n: int, seed: int) -> NDArray[np.int64]:
    """Labels [n] in the wanted shares (rounded to whole rows), in an order drawn from the seed.

    Args:
        label_ratio: "train" (as in training), "balanced", or the share of the last class, the others as in training.
        class_counts: training rows of each class.
        n: rows.
        seed: of the order.

    Raises:
        TardiffError: `n` is not positive, or `label_ratio` is neither a word known here nor a number in 0 .. 1.
    """
    if n < 1:
        raise TardiffError(f"--n {n}: at least one row is needed")
    counts = np.array(class_counts, dtype=float)
    if label_ratio == "train":
        share = counts / counts.sum()
    elif label_ratio == "balanced":
        share = np.full(len(counts), 1 / len(counts))
    else:
        try:
            last = float(label_ratio)
        except ValueError:
            last = float("nan")
        if not 0 <= last <= 1:
            raise TardiffError(f"--label-ratio {label_ratio}: give train, balanced, or the last class's share between 0 and 1")
        share = np.append(counts[:-1] / counts[:-1].sum() * (1 - last), last)
    edges = np.rint(np.cumsum(share) * n).astype(int)
    label = np.repeat(np.arange(len(share)), np.diff(edges, prepend=0)).astype(np.int64)
    return stream("label", seed).permutation(label)


def build_guide(
    pipeline: TarDiffPipeline,
    classifier: ClassifierFolder | None,
    guidance: GuidanceSettings,
    sampler: SamplerSettings,
    seed: int,
    progress: bool = False,
) -> GradientGuide | None:
    """The guide that the settings describe, or None for no guidance.

    Raises:
        TardiffError: as `synthesise`.
    """
    if guidance.guidance == "none":
        return None
    if classifier is None:
        raise TardiffError(
            f"--guidance {guidance.guidance} needs --classifier (make one with `tardiff fit-classifier`, or use --guidance none)"
        )
    if classifier.codec.digest() != pipeline.codec.digest():
        raise TardiffError(
            "--classifier was fitted on other data than the generator; fit it on the data set that the generator was trained on"
        )
    see = pipeline.codec.seen
    options: dict[str, Any] = {"see": see, "strength": guidance.strength, "window": guidance.window, "clip": guidance.clip}
    if guidance.guidance == "classifier":
        return GradientGuide(log_probability(classifier.classifier), **options)
    if guidance.form == "gap":
        label = draw_labels("balanced", pipeline.card.class_counts, guidance.pilot, seed)
        seeds = row_seeds(seed, range(PILOT_ROWS, PILOT_ROWS + len(label)))
        pilot = pipeline(label, seeds, sampler, progress="pilot" if progress else None)
        gap = measure_gap(classifier, see, pilot.x, torch.from_numpy(label))
        return GradientGuide(gap.objective, **options, class_size=gap.class_size, kept=gap.kept)
    form = {"raw": raw_influence, "cosine": cosine_influence}[guidance.form]
    gradients = [last_layer(g) for g in classifier.gradients]
    directions = guidance_directions(gradients, torch.tensor(classifier.card.guidance_counts, dtype=torch.float32))
    return GradientGuide(InfluenceObjective(classifier.checkpoints(), directions, form), **options)
