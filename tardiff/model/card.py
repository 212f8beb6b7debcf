"""What a generator's folder remembers of its training: card.json."""

from typing import Any

import msgspec

from tardiff.data.dataset import Task


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a pipeline folder remembers of its training: data, task, settings, losses."""

    source: str
    source_version: str
    data_hash: str
    task: Task
    step_hours: float
    class_counts: tuple[int, ...]
    settings: dict[str, Any]
    history: tuple[dict[str, float], ...]
    privacy: dict[str, float] = {}
    """Of differentially private training: epsilon, delta, noise multiplier, sampling rate, clipping norm; empty without."""
    refinement: dict[str, Any] = {}
    """Of `tardiff refine`: its settings, the weights it began from, the iteration that was kept and how it did; empty without."""

    def __post_init__(self) -> None:
        if not self.task.classes or len(self.class_counts) != len(self.task.classes):
            raise ValueError("task.classes must not be empty, and class_counts must count each")
        if min(self.class_counts) < 0 or not sum(self.class_counts):
            raise ValueError("class_counts must not be below 0, nor all be 0")
