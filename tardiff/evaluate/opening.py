"""Opening the data sets of an evaluation, and refusing those that cannot be compared."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tardiff.classifier.folder import ClassifierFolder
from tardiff.data.contract import Form, arranged
from tardiff.data.dataset import Dataset, Split
from tardiff.errors import TardiffError
from tardiff.evaluate.readers import read_synthetic
from tardiff.guidance.build import served_task
from tardiff.model.pipeline import TarDiffPipeline


def opened(data: str | Path | Dataset) -> Dataset:
    """The data set itself, loaded if a folder is given."""
    return data if isinstance(data, Dataset) else Dataset.load(data)


def opened_synthetic(data: str | Path | Dataset, real: Dataset) -> Dataset:
    """The data set itself, read by `read_synthetic` if a folder or file is given."""
    return data if isinstance(data, Dataset) else read_synthetic(data, real)


def check_real(real: Dataset) -> None:
    """The real data set has a task of two classes, the three splits, in each split each class, and no synthetic row."""
    if real.train.synthetic is not None and real.train.synthetic.any():
        raise TardiffError("real data, train split: it was augmented with synthetic rows; give the data set that it was made from")
    task = real.manifest.task
    if len(task.classes) != 2:
        raise TardiffError(f"task {task.name}: it has {len(task.classes)} classes; evaluation is for tasks with two")
    for name in ("train", "validation", "test"):
        check_classes(f"real data, {name} split", real, real.split(name))


def check_classes(name: str, dataset: Dataset, split: Split) -> None:
    """Every class of the task occurs."""
    for index, label in enumerate(dataset.manifest.task.classes):
        if not np.any(split.label == index):
            raise TardiffError(f"{name}: no row has class {label!r}; no judge can be trained or asked about it")


def like_real(name: str, other: Dataset, real: Dataset) -> Dataset:
    """The other data set with channels, descriptors and classes in the real one's order."""
    return arranged(other, Form.of_manifest(real.manifest), f"data set {name!r}", "the real data set")


def check_strangers(real: Dataset, other: Dataset, name: str) -> None:
    """No patient of `other`'s split `name` taught or stopped a model, as far as ids of the same source tell."""
    if real.manifest.source != other.manifest.source:
        return
    known = np.concatenate([real.split(split).subject_id for split in ("train", "validation")])
    if np.isin(other.split(name).subject_id, known).any():
        raise TardiffError(f"test data, {name} split: a patient of it is in the real data set's train or validation split")


def check_models(real: Dataset, pipeline: TarDiffPipeline | None, classifiers: Mapping[str, ClassifierFolder]) -> None:
    """The generator and the classifiers learnt the real training rows, and read the same space."""
    for name, folder in classifiers.items():
        check_made_from(f"--classifier {name}", folder.card.data_hash, real)
    if pipeline is not None:
        check_made_from("--run", pipeline.card.data_hash, real)
        if classifiers:
            served_task(pipeline, list(classifiers.values()))


def check_made_from(what: str, data_hash: str, real: Dataset) -> None:
    """A generator or a classifier was made from `real`, with its labels or without."""
    if data_hash not in real.known_as():
        raise TardiffError(f"{what} was made from another data set (its data_hash is not the content_hash of the real one)")
