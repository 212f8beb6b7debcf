"""What a generator's folder remembers of its training: card.json."""

from pathlib import Path
from typing import Any

import msgspec

from tardiff.base.files import read_struct
from tardiff.data.dataset import Task
from tardiff.errors import TardiffError

FORMAT = 2
"""Of generator folders. 1 held mask bits beside the values, in versions 0.1."""


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a pipeline folder remembers of its training: data, task, settings, losses."""

    format: int
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
    adaptation: dict[str, Any] = {}
    """Of `tardiff adapt`: its settings, the generator it began from, what it changed, losses before and after; empty without. Settings
    and history are then of the generator it began from, and all else is of the rows it was adapted to."""

    def __post_init__(self) -> None:
        if not self.task.classes or len(self.class_counts) != len(self.task.classes):
            raise ValueError("task.classes must not be empty, and class_counts must count each")
        if min(self.class_counts) < 0 or not sum(self.class_counts):
            raise ValueError("class_counts must not be below 0, nor all be 0")

    @classmethod
    def load(cls, folder: Path) -> "Card":
        """The card of a generator folder."""
        path = folder / "card.json"
        if (found := _format(path)) != FORMAT:
            raise TardiffError(f"{folder}: a generator folder of format {found}, this version of tardiff reads {FORMAT}; train again")
        return read_struct(path, cls)


def _format(path: Path) -> int:
    """The format that a card names; cards of version 0.1 name none."""

    class Header(msgspec.Struct):
        format: int = 1

    return read_struct(path, Header).format
