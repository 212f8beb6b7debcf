"""From settings, a generator and classifiers to the guide that they describe."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tardiff.classifier_folder import ClassifierFolder
from tardiff.dataset import Task
from tardiff.errors import TardiffError
from tardiff.gap import Gap, measure_gap
from tardiff.guidance import GradientGuide, Objective, log_probability, mean_of
from tardiff.influence import InfluenceObjective, cosine_influence, fixed_influence, guidance_directions, last_layer, raw_influence
from tardiff.labels import draw_labels
from tardiff.noise import row_seeds
from tardiff.parameter_influence import parameter_influence
from tardiff.pipeline import RecordGenerator
from tardiff.published import PublishedGuide
from tardiff.sampling import Guide
from tardiff.settings import GuidanceSettings, SamplerSettings

PILOT_ROWS = 2**29  # row numbers that no user's sample has
FORMS = {"raw": raw_influence, "cosine": cosine_influence, "fixed": fixed_influence}
CHECKED_ROWS = 8


def build_guide(
    pipeline: RecordGenerator,
    classifiers: Sequence[ClassifierFolder],
    guidance: GuidanceSettings,
    sampler: SamplerSettings,
    seed: int,
    progress: bool = False,
) -> Guide | None:
    """The guide that the settings describe, or None for no guidance.

    Several classifiers guide together: the mean of their objectives is followed.

    Raises:
        TardiffError: no classifier to guide with, or one that reads another space or serves another task.
    """
    if guidance.guidance == "none":
        return None
    if not pipeline.guidable:
        raise TardiffError(f"--guidance {guidance.guidance}: a record policy has no reverse steps to guide; use --guidance none")
    if guidance.guidance == "classifier-free":
        return None  # it works inside the denoiser
    if not classifiers:
        raise TardiffError(
            f"--guidance {guidance.guidance} needs --classifier (make one with `tardiff fit-classifier`, or use --guidance none)"
        )
    served_task(pipeline, classifiers)
    see = pipeline.codec.seen
    if guidance.guidance == "published":
        return _published(pipeline, classifiers[0])
    options: dict[str, Any] = {
        "see": see,
        "strength": 1.0 if isinstance(guidance.strength, str) else guidance.strength,
        "window": guidance.window,
        "clip": guidance.clip,
        "through": guidance.through,
    }
    if guidance.guidance == "classifier":
        return GradientGuide(mean_of([log_probability(folder.classifier) for folder in classifiers]), **options)
    if guidance.form == "gap":
        guide: GradientGuide | None = None
        gaps: list[Gap | None] = [None] * len(classifiers)
        for _ in range(guidance.rounds):
            x, label = pilot_samples(pipeline, classifiers[0], guidance.pilot, sampler, guide, seed, progress)
            measured = [measure_gap(folder, see, x, label, gap) for folder, gap in zip(classifiers, gaps, strict=True)]
            guide, gaps = _towards(measured, options), [*measured]
        return guide
    return GradientGuide(mean_of([influence_objective(folder, guidance, see) for folder in classifiers]), **options)


def _towards(gaps: Sequence[Gap], options: dict[str, Any]) -> GradientGuide:
    """The guide that closes several classifiers' gaps together."""
    size = torch.stack([gap.class_size for gap in gaps]).square().mean(dim=0).sqrt()
    kept = tuple(float(np.mean([gap.kept[c] for gap in gaps])) for c in range(len(size)))
    return GradientGuide(mean_of([gap.objective for gap in gaps]), **options, class_size=size, kept=kept)


def served_task(pipeline: RecordGenerator, classifiers: Sequence[ClassifierFolder]) -> Task:
    """The task of samples: the classifiers', for a generator that learnt without labels, else its own.

    Raises:
        TardiffError: a classifier reads another space, or serves another task than the generator or the other classifiers.
    """
    tasks = ([pipeline.card.task] if pipeline.labelled else []) + [folder.card.task for folder in classifiers]
    if not tasks:
        raise TardiffError("the generator learnt without labels; give --classifier, whose task the samples shall serve")
    for folder in classifiers:
        if folder.codec.digest() != pipeline.codec.digest():
            raise TardiffError(
                "--classifier reads another space than the generator; fit it on the data set that the generator was trained on, "
                "or with `tardiff fit-classifier --run RUN`"
            )
        if folder.card.task != tasks[0]:
            raise TardiffError(f"--classifier serves the task {folder.card.task.name!r}, expected {tasks[0].name!r}")
    return tasks[0]


def influence_objective(folder: ClassifierFolder, guidance: GuidanceSettings, see: Callable[[Tensor], Tensor]) -> Objective:
    """Influence on the loss of a classifier's guidance rows, by every form but `gap`.

    Raises:
        TardiffError: the form is defined for the last layer only.
    """
    counts = torch.tensor(folder.card.guidance_counts, dtype=torch.float32)
    places = slice(None) if guidance.along == "trajectory" else slice(-1, None)
    checkpoints, gradients = folder.checkpoints()[places], folder.gradients[places]
    if guidance.gradient == "last-layer":
        return InfluenceObjective(checkpoints, guidance_directions([last_layer(g) for g in gradients], counts), FORMS[guidance.form])
    if guidance.form != "raw":
        raise TardiffError(f"--gradient {guidance.gradient}: form {guidance.form} is defined for the last layer; use --form raw")
    share = counts / counts.sum()
    x = torch.zeros(CHECKED_ROWS, 2 * len(folder.codec.channels), folder.codec.steps)
    x = see(torch.randn(x.shape, generator=torch.Generator().manual_seed(0)))
    label = torch.arange(CHECKED_ROWS) % len(counts)
    terms = []
    for checkpoint, by_class in zip(checkpoints, gradients, strict=True):
        v = {name: torch.tensordot(share, g, dims=1) for name, g in by_class.items()}
        terms.append(parameter_influence(checkpoint, v, x, label, guidance.gradient))
    return lambda seen, label: torch.stack([term(seen, label).sum() for term in terms]).sum()


def _published(pipeline: RecordGenerator, folder: ClassifierFolder) -> PublishedGuide:
    counts = torch.tensor(folder.card.guidance_counts, dtype=torch.float32)
    total = {name: torch.tensordot(counts, g, dims=1) for name, g in folder.gradients[-1].items()}
    size = torch.stack([g.square().sum() for g in total.values()]).sum().sqrt()
    return PublishedGuide(folder.classifier, {name: g / size for name, g in total.items()}, pipeline.codec.seen)


def pilot_samples(
    pipeline: RecordGenerator,
    folder: ClassifierFolder,
    rows: int,
    sampler: SamplerSettings,
    guide: Guide | None,
    seed: int,
    progress: bool,
) -> tuple[Tensor, Tensor]:
    """Samples by the guide so far, each class as often as the others, and their labels."""
    label = draw_labels("balanced", folder.card.class_counts, rows, seed)
    seeds = row_seeds(seed, range(PILOT_ROWS, PILOT_ROWS + len(label)))
    return pipeline(label, seeds, sampler, guide, progress="pilot" if progress else None).x, torch.from_numpy(label)
