"""A user's rows in the terms of a generator that was trained elsewhere, and synthetic rows in the user's."""

import sys
from dataclasses import dataclass, replace

import msgspec

from tardiff.data.contract import Form, arranged
from tardiff.data.dataset import Dataset, Manifest, Static
from tardiff.errors import InputError
from tardiff.model.pipeline import RecordGenerator


@dataclass(frozen=True)
class Meaning:
    """What rows say of themselves; a data set says all of it, an array nothing.

    Attributes:
        step_hours: whether the width of a step is known.
        task: whether the task has a name, and categories of descriptors have theirs.
        classes: the generator's name of each class, in the rows' order; None if the classes have those names themselves.
    """

    channels: bool = True
    units: bool = True
    step_hours: bool = True
    task: bool = True
    classes: tuple[str, ...] | None = None


def in_terms_of(pipeline: RecordGenerator, data: Dataset, meaning: Meaning) -> Dataset:
    """The rows with channels, descriptors and classes in the generator's order; what they leave open is taken from it, and said."""
    form = pipeline.form
    if form.classes is None:
        raise InputError("pipeline: it learnt without labels; give one that learnt with the labels of these rows")
    names = [name for name, _ in form.channels]
    if not meaning.channels:
        raise InputError(f"pipeline: an array does not say which channel is which; give channels=[...] (it has {', '.join(names)})")
    classes = meaning.classes or data.manifest.task.classes
    if not meaning.task:
        if set(classes) != set(form.classes):
            example = ", ".join(f"{label!r}: {name!r}" for label, name in zip(data.manifest.task.classes, form.classes, strict=False))
            raise InputError(
                f"pipeline: its classes are {', '.join(form.classes)}, those of y {', '.join(classes)}; say which label is which, as in "
                f"classes={{{example}}}"
            )
        form = replace(form, task=None, statics=form.statics if data.manifest.statics else None)
    task = msgspec.structs.replace(data.manifest.task, classes=classes)
    data = Dataset(msgspec.structs.replace(data.manifest, task=task, statics=_described(data.manifest, pipeline, meaning)), data.splits)
    taken = []
    if not meaning.units:
        form = replace(form, channels=tuple((name, None) for name in names))
        taken.append("units (" + ", ".join(f"{c.name} {c.unit or '-'}" for c in pipeline.codec.channels) + ")")
    if not meaning.step_hours:
        taken.append(f"the step ({form.step_hours:g} h)")
        form = replace(form, step_hours=None)
    data = arranged(data, form, "the rows", "pipeline")
    if taken:
        print(f"taken from the pipeline, because the rows do not say: {' and '.join(taken)}", file=sys.stderr)
    return Dataset(msgspec.structs.replace(data.manifest, task=pipeline.card.task), data.splits).completed()


def as_they_came(made: Dataset, data: Dataset, meaning: Meaning, pipeline: RecordGenerator) -> Dataset:
    """Synthetic rows in the order of the user's channels, descriptors and classes."""
    manifest = data.manifest
    channels = tuple((channel.name, None) for channel in manifest.channels)
    statics = _described(manifest, pipeline, meaning) or None
    return arranged(made, Form(channels, manifest.steps, None, statics, meaning.classes or manifest.task.classes, None), "the samples")


def _described(manifest: Manifest, pipeline: RecordGenerator, meaning: Meaning) -> tuple[Static, ...]:
    """The rows' descriptors; those of a table as the generator describes them, because it holds the index of a category."""
    theirs = {} if meaning.task else {static.name: static for static in pipeline.statics.statics}
    return tuple(theirs.get(static.name, static) for static in manifest.statics)
