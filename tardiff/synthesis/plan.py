"""What a sampling job asks for, checked before any work."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tardiff.base.noise import USER_ROWS, row_seeds
from tardiff.classifier.folder import ClassifierFolder
from tardiff.data.dataset import Dataset, Task
from tardiff.data.labels import draw_labels
from tardiff.errors import TardiffError
from tardiff.guidance.build import served_task
from tardiff.model.pipeline import RecordGenerator
from tardiff.settings import GuidanceSettings, SamplerSettings, SelectionSettings
from tardiff.synthesis.privacy_filter import PrivacyFilter


@dataclass(frozen=True)
class Plan:
    """A sampling job.

    Attributes:
        classifiers: what guidance, selection and new labels read.
        label: of each sample that is drawn, [n], or more if some are selected.
        kept: how many samples of each class are kept, [classes].
        privacy_filter: what samples must keep a distance from; None for nothing.
    """

    generator: RecordGenerator
    classifiers: tuple[ClassifierFolder, ...]
    guidance: GuidanceSettings
    sampler: SamplerSettings
    selection: SelectionSettings
    task: Task
    n: int
    label_ratio: str
    label: NDArray[np.int64]
    kept: NDArray[np.intp]
    seed: int
    relabel: bool
    privacy_filter: PrivacyFilter | None

    @property
    def seeds(self) -> list[int]:
        """Of each sample that is drawn."""
        return row_seeds(self.seed, range(len(self.label)))


def make_plan(
    generator: RecordGenerator,
    n: int,
    classifiers: Sequence[ClassifierFolder],
    guidance: GuidanceSettings,
    sampler: SamplerSettings,
    selection: SelectionSettings,
    label_ratio: str,
    label: NDArray[np.int64] | None,
    relabel: bool,
    seed: int,
    privacy_filter: Dataset | None,
    privacy_quantile: float,
) -> Plan:
    """Check a job and settle its labels; arguments as in `synthesise`."""
    task = served_task(generator, classifiers)
    selects = selection.select != "none"
    if relabel and not (classifiers and len(task.classes) == 2):
        raise TardiffError("--relabel needs --classifier, and a task of two classes")
    if selects and not classifiers:
        raise TardiffError(f"--select {selection.select} needs --classifier")
    drawn = n * selection.select_from if selects else n
    if drawn > USER_ROWS:
        raise TardiffError(f"--n {n}: {drawn:,} samples would be drawn, more than {USER_ROWS:,}; draw several sets of another --seed each")
    counts = generator.card.class_counts if generator.labelled else classifiers[0].card.class_counts
    wanted = draw_labels(label_ratio, counts, n, seed) if label is None else label
    if label is None:
        label = draw_labels(label_ratio, counts, drawn, seed) if selects else wanted
    kept = np.bincount(wanted, minlength=len(task.classes))
    keeper = None if privacy_filter is None else PrivacyFilter.of(privacy_filter, generator, privacy_quantile)
    return Plan(generator, tuple(classifiers), guidance, sampler, selection, task, n, label_ratio, label, kept, seed, relabel, keeper)
