"""Everything that a fit may read: rows by role, and parts of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from tardiff.base.noise import stream
from tardiff.data.codec import Codec
from tardiff.data.dataset import Dataset, Split
from tardiff.evaluate.judges import Rows


@dataclass(frozen=True)
class Part:
    """Some rows of one role, in an order; hashable, and small enough to be told to a worker.

    Attributes:
        rows: their numbers, as the bytes of int32; None for all of them.
        label: what they all are called; None for their own labels.
    """

    role: str
    rows: bytes | None = None
    label: int | None = None

    @classmethod
    def of(cls, role: str, rows: NDArray[np.integer] | NDArray[np.bool_], label: int | None = None) -> "Part":
        """The rows given by an index array or a mask."""
        numbers = np.flatnonzero(rows) if rows.dtype == bool else rows
        return cls(role, numbers.astype(np.int32).tobytes(), label)


Parts = tuple[Part, ...]
"""Rows of several roles, one part after the other."""


@dataclass(frozen=True)
class RowSets:
    """Rows by role (`train`, `validation`, `synthetic/NAME` and so on), and whose they are, where somebody asks."""

    rows: Mapping[str, Rows]
    subject: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)

    @classmethod
    def of(cls, real: Dataset, synthetic: Mapping[str, Dataset], test: Split, codec: Codec) -> "RowSets":
        """Rows of an evaluation, through a codec that was fitted on real training rows.

        Roles are `train`, `validation`, `held-out` (the real test split), `test` (what is predicted), `synthetic/NAME`.
        """
        splits = {"train": real.train, "validation": real.split("validation"), "held-out": real.split("test"), "test": test}
        splits |= {f"synthetic/{name}": dataset.train for name, dataset in synthetic.items()}
        rows = {role: Rows.of(split, codec) for role, split in splits.items()}
        return cls(rows, {role: split.subject_id for role, split in splits.items()})

    @property
    def synthetic(self) -> dict[str, str]:
        """Roles of the synthetic sets by name, in order."""
        return {role.removeprefix("synthetic/"): role for role in self.rows if role.startswith("synthetic/")}

    def adding(self, **rows: Rows) -> "RowSets":
        """These, and rows of further roles."""
        return replace(self, rows={**self.rows, **rows})

    def take(self, parts: Parts) -> Rows:
        """The rows of some parts, joined in their order."""
        return reduce(Rows.join, map(self._part, parts))

    def count(self, parts: Parts) -> int:
        """How many rows some parts have."""
        return sum(len(self.rows[part.role]) if part.rows is None else len(part.rows) // 4 for part in parts)

    def _part(self, part: Part) -> Rows:
        rows = self.rows[part.role]
        if part.rows is not None:
            rows = rows.take(np.frombuffer(part.rows, np.int32))
        return rows if part.label is None else rows.labelled(part.label)


def thinned(split: Split, most: int, seed: int) -> Split:
    """At most `most` rows, drawn without replacement, in their order; 0 keeps all.

    Two splits of one length keep the same rows, so that synthetic sets whose rows correspond still do.
    """
    if not most or len(split) <= most:
        return split
    return split.take(np.sort(stream("rows kept", seed).permutation(len(split))[:most]))
