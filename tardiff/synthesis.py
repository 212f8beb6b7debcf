"""From a pipeline and a classifier to a synthetic data set: labels, guide, samples, and what guidance did."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tardiff.classifier_folder import ClassifierFolder
from tardiff.dataset import Dataset, Split
from tardiff.errors import TardiffError
from tardiff.guidance import INERT, GradientGuide, GuidanceLog, rounded
from tardiff.guides import build_guide, influence_objective, pilot_samples, served_task
from tardiff.labels import draw_labels, ranked_labels
from tardiff.matching import Match, match_strength
from tardiff.noise import row_seeds
from tardiff.pipeline import RecordGenerator, Samples
from tardiff.privacy_filter import Dropped, PrivacyFilter
from tardiff.selection import best_of_each_class, influence_scores, knn_shapley
from tardiff.settings import GuidanceSettings, SamplerSettings, SelectionSettings
from tardiff.shelf import Shelf
from tardiff.strength import Choice, choose_strength

COMPARED_ROWS = 128


@dataclass(frozen=True)
class Movement:
    """How far guidance moved the samples, against unguided ones of the same seeds.

    Attributes:
        rows: samples compared.
        value: root mean square difference of the value channels, in standard deviations (normal scores).
        mask: share of entries whose observation changed.
        steps: per reverse step, root mean square of the guide's change (classifier-free guidance, which works inside the denoiser,
            has no part in it) and of the sampler's update, and their ratio.
        inert: True if guidance did nothing to speak of.
        repaired: share of the observed values that decoding moved (out of limits or out of order), guided and unguided.
        kept: share of each class's direction that stood above chance (`gap` only).
    """

    rows: int
    value: float
    mask: float
    steps: list[dict[str, float]]
    inert: bool
    repaired: tuple[float, float]
    kept: tuple[float, ...] | None


@dataclass(frozen=True)
class Synthesis:
    """A synthetic data set, and what came to pass on the way.

    Attributes:
        dataset: with a training split.
        movement: how guidance moved it; None if it was unguided.
        choice: how its strength was chosen; None if it was given.
        dropped: what the privacy filter dropped; None if there was none.
    """

    dataset: Dataset
    movement: Movement | None
    choice: Choice | Match | None = None
    dropped: Dropped | None = None


def synthesise(
    pipeline: RecordGenerator,
    n: int,
    *,
    classifier: ClassifierFolder | Sequence[ClassifierFolder] = (),
    guidance: GuidanceSettings | None = None,
    sampler: SamplerSettings | None = None,
    selection: SelectionSettings | None = None,
    label_ratio: str = "train",
    label: NDArray[np.int64] | None = None,
    relabel: bool = False,
    seed: int = 0,
    data: Dataset | None = None,
    privacy_filter: Dataset | None = None,
    shelf: Shelf | None = None,
    progress: bool = True,
) -> Synthesis:
    """Sample a synthetic data set.

    Args:
        pipeline: a trained generator.
        n: rows.
        classifier: what guidance serves, one or several (their mean is followed); not needed for `guidance="none"`.
        guidance: form, strength and window; the default settings if None.
        sampler: solver and steps.
        selection: whether to choose among more samples; the default settings (no) if None.
        label_ratio: "train", "balanced", or the share of the last class as a number. For a generator that learnt without
            labels, "train" is the share in the classifier's training rows.
        label: [n], the label of each sample, in place of a ratio; nothing is selected then.
        relabel: give the samples new labels, as many of each: the classifiers' mean probability ranks them. For a generator that
            learnt without labels this serves better than steering (experiments/guidance); the task must have two classes.
        seed: sample i of a seed is the same whatever `n` and the batch size are, as long as its label is.
        data: real records whose validation rows choose the strength ("auto") or judge samples ("shapley").
        privacy_filter: real records from whose training rows samples shall keep as far as its held-out rows do; samples that
            do not are replaced by others.
        shelf: where samples are put as they are drawn, and are looked for; None keeps them in memory.
        progress: show progress bars.

    Raises:
        TardiffError: no classifier to guide with, one fitted on other data, a label ratio that makes no sense, no data to choose
            or filter by, or a generator that draws nothing which the filter lets pass.
    """
    guidance, sampler, selection = guidance or GuidanceSettings(), sampler or SamplerSettings(), selection or SelectionSettings()
    folders = [classifier] if isinstance(classifier, ClassifierFolder) else list(classifier)
    task = served_task(pipeline, folders)
    if relabel and not (folders and len(task.classes) == 2):
        raise TardiffError("--relabel needs --classifier, and a task of two classes")
    if selection.select != "none" and not folders:
        raise TardiffError(f"--select {selection.select} needs --classifier")
    if selection.select == "shapley" and data is None:
        raise TardiffError("--select shapley needs --data, whose validation rows judge")
    many = n * selection.select_from if selection.select != "none" else n
    counts = pipeline.card.class_counts if pipeline.labelled else folders[0].card.class_counts
    label = draw_labels(label_ratio, counts, many, seed) if label is None else label
    seeds = row_seeds(seed, range(len(label)))

    keeper = None if privacy_filter is None else PrivacyFilter.of(privacy_filter, pipeline)
    plain, pipeline = pipeline, pipeline.sharpened(guidance.label_scale, guidance.window) if guidance.sharpens else pipeline
    guide = build_guide(pipeline, folders, guidance, sampler, seed, progress)
    choice: Choice | Match | None = None
    if isinstance(guidance.strength, str) and isinstance(guide, GradientGuide):
        if guidance.strength == "auto":
            choice = _judged(plain, pipeline, guide, label, seeds, sampler, data, seed, progress)
            pipeline = pipeline if choice.strength else plain
        else:
            choice = _matched(pipeline, guide, folders, guidance, sampler, seed, progress)
        guide = replace(guide, strength=choice.strength) if choice.strength else None

    def draw(label: NDArray[np.int64], seeds: Sequence[int], log: GuidanceLog, where: str = "") -> Samples:
        return pipeline(label, seeds, sampler, guide, log, f"sample{where}" if progress else None)

    log, dropped = GuidanceLog(), None
    if shelf is None:
        samples = draw(label, seeds, log)
        log = log.over_processes()
    else:
        samples, log = shelf.draw(draw, label, seeds)
    if keeper is not None:
        again = GuidanceLog()
        samples, seeds, dropped = keeper.refilled(samples, seeds, seed, lambda label, seeds: draw(label, seeds, again))
        log = log.joined(again.over_processes())
    if selection.select != "none":
        chosen = _selected(samples, pipeline, folders, selection, data, draw_labels(label_ratio, counts, n, seed))
        samples, seeds = samples.take(chosen), [seeds[row] for row in chosen]
    movement = None
    if guidance.guidance != "none":
        few = slice(0, min(n, COMPARED_ROWS))
        unguided = plain(samples.label[few], seeds[few], sampler)
        movement = compare(pipeline, samples, unguided, log, getattr(guide, "kept", None))
    if relabel:
        seen = pipeline.codec.seen(pipeline.codec.encode(pipeline.dataset(samples, {}, task).train))
        score = np.mean([folder.classifier.probability(seen)[:, 1] for folder in folders], axis=0)
        samples = replace(samples, label=ranked_labels(score, samples.label))
    reads_classifiers = guidance.guidance not in ("none", "classifier-free") or relabel or selection.select != "none"
    settings: dict[str, Any] = {
        "n": n,
        "seed": seed,
        "label_ratio": label_ratio,
        "relabel": relabel,
        "sampler": {k: v for k, v in asdict(sampler).items() if k != "batch_size"},
        "guidance": asdict(guidance) if guidance.guidance != "none" else {"guidance": "none"},
        "selection": asdict(selection),
        "generator": pipeline.card.data_hash,
        "classifiers": [folder.card.data_hash for folder in folders] if reads_classifiers else [],
        "training": {"labels": pipeline.labelled} | pipeline.card.settings,
        "strength": asdict(choice) if choice else None,
        "movement": asdict(movement) if movement else None,
    } | ({"privacy_filter": asdict(dropped)} if dropped else {})
    return Synthesis(pipeline.dataset(samples, settings, task), movement, choice, dropped)


def _judged(
    plain: RecordGenerator,
    pipeline: RecordGenerator,
    guide: GradientGuide,
    label: NDArray[np.int64],
    seeds: list[int],
    sampler: SamplerSettings,
    data: Dataset | None,
    seed: int,
    progress: bool,
) -> Choice:
    """The strength that validation rows choose; 0 is unguided, by the plain generator."""
    if data is None:
        raise TardiffError("--strength auto needs --data, whose validation rows choose")

    def draw(strength: float) -> Split:
        drawn = pipeline(label, seeds, sampler, replace(guide, strength=strength)) if strength else plain(label, seeds, sampler)
        return pipeline.dataset(drawn, {}).train

    return choose_strength(draw, pipeline.codec, data, seed, progress=progress)


def _matched(
    pipeline: RecordGenerator,
    guide: GradientGuide,
    folders: Sequence[ClassifierFolder],
    guidance: GuidanceSettings,
    sampler: SamplerSettings,
    seed: int,
    progress: bool,
) -> Match:
    """The strength at which samples are as typical of their labels as training rows."""

    def draw(strength: float) -> tuple[Tensor, Tensor]:
        return pilot_samples(pipeline, folders[0], guidance.pilot, sampler, replace(guide, strength=strength), seed, progress)

    return match_strength(draw, folders)


def _selected(
    samples: Samples,
    pipeline: RecordGenerator,
    folders: Sequence[ClassifierFolder],
    selection: SelectionSettings,
    data: Dataset | None,
    wanted: NDArray[np.int64],
) -> NDArray[np.intp]:
    """Rows to keep: of each label as many as are wanted."""
    seen = pipeline.codec.seen(samples.x)
    if selection.select == "influence":
        objective = influence_objective(folders[0], GuidanceSettings(form="cosine"), pipeline.codec.seen)
        score = influence_scores(objective, seen, torch.from_numpy(samples.label))
    else:
        assert data is not None  # `synthesise` saw to it
        judge = data.split("validation")
        embed = folders[0].classifier.embedding
        with torch.no_grad():
            ours, theirs = (embed(s).numpy() for s in (seen, pipeline.codec.seen(pipeline.codec.encode(judge))))
        score = knn_shapley(ours, samples.label, theirs, judge.label)
    return best_of_each_class(score, samples.label, np.bincount(wanted, minlength=int(samples.label.max()) + 1))


def compare(
    pipeline: RecordGenerator, guided: Samples, unguided: Samples, log: GuidanceLog, kept: tuple[float, ...] | None = None
) -> Movement:
    """How far guided samples lie from unguided ones of the same seeds, of which there may be fewer."""
    rows, channels = len(unguided.label), len(pipeline.codec.channels)
    difference = (guided.x[:rows] - unguided.x)[:, :channels].square().mean().sqrt()
    flipped = float((guided.mask[:rows] != unguided.mask).mean())
    repaired = rounded(pipeline.codec.repaired(guided.x[:rows])), rounded(pipeline.codec.repaired(unguided.x))
    inert = log.inert and float(difference) < INERT and flipped < INERT
    return Movement(rows, rounded(float(difference)), rounded(flipped), log.summary(), inert, repaired, kept)
