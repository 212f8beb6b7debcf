"""From settings, a generator and classifiers to the guide that they describe."""

from collections.abc import Callable, Sequence
from functools import partial

from tardiff.classifier.folder import ClassifierFolder
from tardiff.data.dataset import Task
from tardiff.errors import TardiffError
from tardiff.guidance.gradient_guide import GradientGuide
from tardiff.guidance.influence import contrastive, cosine, raw
from tardiff.guidance.objectives import Objective, Repulsion, entropy, log_probability, mean_of
from tardiff.model.pipeline import RecordGenerator
from tardiff.model.sampling import UNGUIDED, Guide
from tardiff.settings import GuidanceSettings


def build_guide(
    pipeline: RecordGenerator,
    classifiers: Sequence[ClassifierFolder],
    guidance: GuidanceSettings,
    strength: float,
    repulsion: Repulsion | None = None,
) -> Guide:
    """The guide that the settings describe; `UNGUIDED` where they ask for none (classifier-free guidance works inside the denoiser).

    Several classifiers guide together: the mean of each objective over them is followed.
    """
    if guidance.guidance == "none":
        return UNGUIDED
    if not pipeline.guidable:
        raise TardiffError(f"--guidance {guidance.guidance}: RUN has no reverse steps to guide; use --guidance none")
    if guidance.guidance == "classifier-free":
        return UNGUIDED
    if guidance.reads_classifier and not classifiers:
        raise TardiffError(
            f"--objective {guidance.objective} needs --classifier (make one with `tardiff fit-classifier`, or use --guidance none)"
        )
    served_task(pipeline, classifiers)
    made: dict[str, Callable[[ClassifierFolder], Objective]] = {
        "label": lambda folder: log_probability(folder.classifier),
        "cosine": cosine,
        "raw": partial(raw, curvature=guidance.curvature),
        "contrastive": contrastive,
        "entropy": lambda folder: entropy(folder.classifier),
    }
    parts = {name: mean_of([made[name](folder) for folder in classifiers]) for name in guidance.terms if name != "repulsion"}
    if "repulsion" in guidance.terms:
        if repulsion is None:
            raise TardiffError("--objective repulsion: there are no rows to keep away from; give some")
        parts["repulsion"] = repulsion
    weighted = tuple((weight, parts[name]) for name, weight in guidance.terms.items())
    return GradientGuide(weighted, pipeline.codec.seen, strength, guidance.window, guidance.clip, guidance.through_denoiser)


def served_task(pipeline: RecordGenerator, classifiers: Sequence[ClassifierFolder]) -> Task:
    """The task of samples: the classifiers', for a generator that learnt without labels, else its own."""
    tasks = ([pipeline.card.task] if pipeline.labelled else []) + [folder.card.task for folder in classifiers]
    if not tasks:
        raise TardiffError("the generator learnt without labels; give --classifier, whose task gives the samples their labels")
    for folder in classifiers:
        if folder.codec.digest() != pipeline.codec.digest():
            raise TardiffError(
                "--classifier reads another space than the generator; fit it on the data set that the generator was trained on, "
                "or with `tardiff fit-classifier --run RUN`"
            )
        if folder.card.task != tasks[0]:
            raise TardiffError(f"--classifier serves the task {folder.card.task.name!r}, expected {tasks[0].name!r}")
    return tasks[0]
