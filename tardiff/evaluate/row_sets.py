"""Everything that a fit of an evaluation may read."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tardiff.base.noise import stream
from tardiff.data.codec import Codec
from tardiff.data.dataset import Dataset, Split
from tardiff.evaluate.judges import Rows


@dataclass(frozen=True)
class Bench:
    """Rows of an evaluation by role.

    Attributes:
        rows: `train`, `validation`, `held-out` (the real test split), `test` (what is predicted) and `synthetic/NAME`.
        subject: whose rows they are, by the same names.
        names: the synthetic sets, in order.
        classes: number of labels.
    """

    rows: Mapping[str, Rows]
    subject: Mapping[str, NDArray[np.int64]]
    names: tuple[str, ...]
    classes: int

    @classmethod
    def of(cls, real: Dataset, synthetic: Mapping[str, Dataset], test: Split, codec: Codec) -> "Bench":
        """Rows of the data sets, through a codec that was fitted on real training rows."""
        splits = {"train": real.train, "validation": real.split("validation"), "held-out": real.split("test"), "test": test}
        splits |= {f"synthetic/{name}": dataset.train for name, dataset in synthetic.items()}
        rows = {name: Rows.of(split, codec) for name, split in splits.items()}
        subject = {name: split.subject_id for name, split in splits.items()}
        return cls(rows, subject, tuple(synthetic), len(real.manifest.task.classes))

    @property
    def train(self) -> Rows:
        """Real training rows."""
        return self.rows["train"]

    @property
    def validation(self) -> Rows:
        """Real rows to stop on."""
        return self.rows["validation"]

    @property
    def test(self) -> Rows:
        """Real rows to predict."""
        return self.rows["test"]

    @property
    def synthetic(self) -> dict[str, Rows]:
        """Synthetic rows by name."""
        return {name: self.rows[f"synthetic/{name}"] for name in self.names}

    @cached_property
    def digests(self) -> dict[str, str]:
        """Hash of each set of rows, by role."""
        return {name: rows.digest() for name, rows in self.rows.items()}


def thinned(split: Split, most: int, seed: int) -> Split:
    """At most `most` rows, drawn without replacement, in their order; 0 keeps all.

    Two splits of one length keep the same rows, so that synthetic sets whose rows correspond still do.
    """
    if not most or len(split) <= most:
        return split
    return split.take(np.sort(stream("rows kept", seed).permutation(len(split))[:most]))
