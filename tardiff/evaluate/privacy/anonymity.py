"""k-anonymity of the descriptors: how few synthetic rows share theirs, and how many have a real patient's own."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tardiff.base.noise import stream
from tardiff.data.dataset import Manifest, Split, Static
from tardiff.evaluate.bootstrap import row_weights
from tardiff.evaluate.intervals import estimate
from tardiff.evaluate.privacy.closest import RESAMPLES, weighted_means

BANDS = 5


@dataclass(frozen=True)
class Bands:
    """Descriptors as few levels: a category is its own; a number is banded at the quintiles of real training rows."""

    statics: tuple[Static, ...]
    edges: tuple[NDArray[np.float64], ...]

    @classmethod
    def fit(cls, train: Split, manifest: Manifest) -> "Bands":
        """Edges from the training split."""
        edges = []
        for descriptor, column in zip(manifest.statics, train.static.T, strict=True):
            known = column[np.isfinite(column)]
            banded = descriptor.kind == "numeric" and len(known)
            edges.append(np.unique(np.quantile(known, np.linspace(0, 1, BANDS + 1)[1:-1])) if banded else np.empty(0))
        return cls(manifest.statics, tuple(edges))

    def levels(self, split: Split) -> NDArray[np.int64]:
        """The level of each descriptor, [N, S]; -1 where missing."""
        result = np.empty(split.static.shape, dtype=np.int64)
        for s, (descriptor, edges) in enumerate(zip(self.statics, self.edges, strict=True)):
            column = split.static[:, s]
            known = np.isfinite(column)
            filled = np.where(known, column, 0)
            level = filled.astype(np.int64) if descriptor.kind == "categorical" else np.searchsorted(edges, filled, side="right")
            result[:, s] = np.where(known, level, -1)
        return result


def k_anonymity(synthetic: Split, train: Split, held: Split, bands: Bands, seed: int) -> dict[str, Any]:
    """How identifying the descriptors of a synthetic set are (Sweeney 2002), all of them taken as quasi-identifiers.

    - `k`: rows in the smallest group of equal descriptors, of `n`; 1 means that one row stands alone.
    - `unique_matches`: share of synthetic rows whose descriptors are those of exactly one real training row, with their
      `count`; `stranger_matches`, the same of held-out rows, is what descriptors drawn anew would give.
    """
    ours, real, strangers = (_combinations(bands.levels(split)) for split in (synthetic, train, held))
    names, counts = np.unique(real, return_counts=True)
    alone, random = names[counts == 1], stream("descriptors", seed)
    result: dict[str, Any] = {"k": int(np.unique(ours, return_counts=True)[1].min()), "n": len(ours)}
    for key, combination in (("unique_matches", ours), ("stranger_matches", strangers)):
        match = np.isin(combination, alone)
        draws = weighted_means(row_weights(len(match), RESAMPLES, random), match)
        result[key] = estimate(draws, len(match), share=True) | {"count": int(match.sum())}
    return result


def _combinations(levels: NDArray[np.int64]) -> NDArray[np.str_]:
    """One name for each row's levels, [N]; equal for equal levels, and for all rows if there are no descriptors."""
    return np.array([",".join(map(str, row)) for row in levels.tolist()])
