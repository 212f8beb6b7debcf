"""The contract between a model and data: they meet by what channels, descriptors and classes mean, never by shape.

The same names in another order are put in order; whatever else differs is one line that names it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from tardiff.data.dataset import UNLABELLED, Channel, Dataset, Manifest, Split, Static, Task
from tardiff.data.units import same_unit
from tardiff.errors import InputError


@dataclass(frozen=True)
class Form:
    """What the arrays of a record mean.

    Attributes:
        channels: names and units, in order; a unit None is not known.
        step_hours: width of a step; None is not known.
        statics: descriptors, in order; None where they do not matter.
        classes: names of the labels, in order; None where labels do not matter.
        task: name of the task; None is not known.
    """

    channels: tuple[tuple[str, str | None], ...]
    steps: int
    step_hours: float | None
    statics: tuple[Static, ...] | None
    classes: tuple[str, ...] | None
    task: str | None

    @classmethod
    def of(
        cls, channels: Sequence[Channel], steps: int, step_hours: float | None, statics: tuple[Static, ...] | None, task: Task
    ) -> "Form":
        """The form of a model's or a data set's records; a model that learnt without labels takes any."""
        named = tuple((channel.name, channel.unit) for channel in channels)
        if task == UNLABELLED:
            return cls(named, steps, step_hours, statics, None, None)
        return cls(named, steps, step_hours, statics, task.classes, task.name)

    @classmethod
    def of_manifest(cls, manifest: Manifest) -> "Form":
        """The form of a data set's records."""
        return cls.of(manifest.channels, manifest.steps, manifest.step_hours, manifest.statics, manifest.task)


def arranged(data: Dataset, form: Form, what: str, needs: str = "the model") -> Dataset:
    """The data set with channels, descriptors, categories and classes in the order of a form; itself if they are."""
    manifest = data.manifest
    _check_grid(manifest, form, what, needs)
    order = _order(manifest.channel_names, [name for name, _ in form.channels], f"{what}: channel", needs)
    channels = tuple(manifest.channels[place] for place in order)
    for channel, (name, unit) in zip(channels, form.channels, strict=True):
        if unit is not None and not same_unit(channel.unit, unit):
            raise InputError(f"{what}: channel {name} is in {channel.unit!r}, {needs} has it in {unit!r}; convert it")
    statics, places, codes = _statics(manifest, form, what, needs)
    task, labels = _classes(manifest.task, form, what, needs)
    changed = msgspec.structs.replace(manifest, channels=channels, statics=statics, task=task)
    if changed == manifest:
        return data
    splits = {name: _moved(split, order, places, codes, labels) for name, split in data.splits.items()}
    return Dataset(changed, splits).completed()


def _check_grid(manifest: Manifest, form: Form, what: str, needs: str) -> None:
    if manifest.steps != form.steps:
        raise InputError(f"{what}: has {manifest.steps} steps, {needs} has {form.steps}; prepare it with the same window and step")
    if form.step_hours is not None and not np.isclose(manifest.step_hours, form.step_hours):
        raise InputError(f"{what}: a step is {manifest.step_hours:g} h, for {needs} it is {form.step_hours:g} h; prepare it with that step")
    if form.task is not None and manifest.task.name != form.task:
        raise InputError(f"{what}: has the task {manifest.task.name!r}, {needs} has {form.task!r}")


def _order(names: Sequence[str], wanted: Sequence[str], what: str, needs: str) -> list[int]:
    """Where each wanted name stands among the names."""
    missing = [name for name in wanted if name not in names]
    further = [name for name in names if name not in wanted]
    if missing:
        have = ", ".join(names) or "none"
        raise InputError(f"{what} {missing[0]!r} is missing ({needs} has {', '.join(wanted)}; here are {have})")
    if further:
        raise InputError(f"{what} {further[0]!r} is unknown to {needs} (it has {', '.join(wanted) or 'none'}); leave it out")
    return [list(names).index(name) for name in wanted]


def _statics(manifest: Manifest, form: Form, what: str, needs: str) -> tuple[tuple[Static, ...], list[int], dict[int, list[int]]]:
    """Descriptors in order, where each stood, and new codes of the categories of those whose categories move."""
    if form.statics is None:
        return manifest.statics, list(range(len(manifest.statics))), {}
    places = _order(manifest.static_names, [static.name for static in form.statics], f"{what}: descriptor", needs)
    statics, codes = [], {}
    for place, (theirs, ours) in enumerate(zip(form.statics, (manifest.statics[p] for p in places), strict=True)):
        if ours.kind != theirs.kind or not same_unit(ours.unit, theirs.unit):
            has, wants = (f"{s.kind}{f' in {s.unit}' if s.unit else ''}" for s in (ours, theirs))
            raise InputError(f"{what}: descriptor {ours.name} is {has}, {needs} has it {wants}")
        order = _order(ours.categories, theirs.categories, f"{what}: descriptor {ours.name}: category", needs)
        if order != list(range(len(order))):
            codes[place] = [order.index(code) for code in range(len(order))]
        statics.append(msgspec.structs.replace(ours, categories=theirs.categories))
    return tuple(statics), places, codes


def _classes(task: Task, form: Form, what: str, needs: str) -> tuple[Task, list[int]]:
    """The task with its classes in order, and the new code of each class."""
    if form.classes is None:
        return task, list(range(len(task.classes)))
    order = _order(task.classes, form.classes, f"{what}: class", needs)
    return msgspec.structs.replace(task, classes=form.classes), [order.index(code) for code in range(len(order))]


def _moved(split: Split, order: list[int], places: list[int], codes: dict[int, list[int]], labels: list[int]) -> Split:
    static = split.static[:, places]
    for place, code in codes.items():
        static[:, place] = _recoded(static[:, place], code)
    return replace(
        split,
        values=split.values[:, order],
        mask=split.mask[:, order],
        static=static,
        label=np.array(labels, np.int64)[split.label],
    )


def _recoded(column: NDArray[np.float32], code: list[int]) -> NDArray[np.float32]:
    known = np.isfinite(column)
    return np.where(known, np.array(code, np.float32)[np.where(known, column, 0).astype(int)], np.nan).astype(np.float32)
