"""What a sampling job asks for, checked before any work."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tardiff.base.noise import USER_ROWS, row_seeds
from tardiff.classifier.folder import ClassifierFolder
from tardiff.data.dataset import Task
from tardiff.data.labels import draw_labels
from tardiff.errors import TardiffError
from tardiff.guidance.build import served_task
from tardiff.model.pipeline import RecordGenerator
from tardiff.settings import GuidanceSettings, SamplerSettings, SelectionSettings


@dataclass(frozen=True)
class Plan:
    """A sampling job, with the arguments of `synthesise`; one that cannot be done is refused.

    Attributes:
        classifiers: what guidance, selection and new labels read.
        given: the label of each sample, in place of a ratio.
    """

    generator: RecordGenerator
    n: int
    classifiers: Sequence[ClassifierFolder]
    guidance: GuidanceSettings
    sampler: SamplerSettings
    selection: SelectionSettings
    label_ratio: str = "train"
    given: NDArray[np.int64] | None = None
    relabel: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        task = self.task
        if self.relabel and not (self.classifiers and len(task.classes) == 2):
            raise TardiffError("--relabel needs --classifier, and a task of two classes")
        if self.selection.select != "none" and not self.classifiers:
            raise TardiffError(f"--select {self.selection.select} needs --classifier")
        if self.drawn > USER_ROWS:
            raise TardiffError(
                f"--n {self.n}: {self.drawn:,} samples would be drawn, more than {USER_ROWS:,}; draw several sets of another --seed each"
            )
        _ = self.kept  # looks at the ratio

    @property
    def drawn(self) -> int:
        """How many samples are drawn: `n`, or more if some are selected."""
        return self.n if self.selection.select == "none" else self.n * self.selection.select_from

    @cached_property
    def task(self) -> Task:
        """Whose classes the labels are."""
        return served_task(self.generator, self.classifiers)

    @cached_property
    def label(self) -> NDArray[np.int64]:
        """Of each sample that is drawn."""
        return self._labels(self.drawn)

    @cached_property
    def kept(self) -> NDArray[np.intp]:
        """How many samples of each class are kept, [classes]."""
        return np.bincount(self._labels(self.n), minlength=len(self.task.classes))

    @property
    def seeds(self) -> list[int]:
        """Of each sample that is drawn."""
        return row_seeds(self.seed, range(len(self.label)))

    def _labels(self, count: int) -> NDArray[np.int64]:
        if self.given is not None:
            return self.given
        counts = self.generator.card.class_counts if self.generator.labelled else self.classifiers[0].card.class_counts
        return draw_labels(self.label_ratio, counts, count, self.seed)
