"""Static descriptors: how the model sees them, and a small generator of new ones.

New descriptors are drawn in two steps, given the label. First everything discrete: categories, and whether each number is known, by
a Chow-Liu tree (IEEE Trans. Inf. Theory 14:462, 1968). Then the numbers, in normal scores: the sum of the effects of label,
categories and what is known, and a Gaussian rest whose correlations are those of the training rows. What is stored are quantiles,
shares and correlations, never a patient's row.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree
from sklearn.metrics import mutual_info_score
from torch import Tensor

from tardiff.base.files import read_struct, write_struct
from tardiff.base.noise import normal, uniform
from tardiff.base.scale import scale_of
from tardiff.data.codec import SPREAD, ValueMap
from tardiff.data.dataset import Manifest, Split, Static
from tardiff.data.resolution import FREE, Grid, fit_grids, grid_of

PRIOR = 20.0
"""Rows that the shares of all classes count for in the shares of one; a small class borrows, since its own shares would be its patients."""
RIDGE = 1.0
"""Rows by which the effect of a rare category is drawn towards 0."""
HANDFUL = 5
"""Patients that lie beyond the outermost knots of a number's map."""
LEAST_REST = 0.05
"""Variance of a number that label and categories leave open, at least."""

Array = NDArray[np.float64]


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Shares of one discrete variable given the label and another: a node of the tree."""

    variable: int
    """The descriptor; its values are its categories and then missing, of a number 0 = known and 1 = missing."""
    parent: int | None
    share: tuple[tuple[tuple[float, ...], ...], ...]
    """[classes, values of the parent or 1, values]."""


class Number(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one numeric descriptor is drawn."""

    map: ValueMap
    """Physical units <-> normal scores."""
    grids: tuple[Grid, ...]
    grid_share: tuple[float, ...]
    effect: tuple[float, ...]
    """On the score, of each class and then of each value of each discrete variable."""


class StaticModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Encoding and generator of the static descriptors of one data set."""

    statics: tuple[Static, ...]
    classes: int
    centre: tuple[float, ...]
    scale: tuple[float, ...]
    tables: tuple[Table, ...]
    """Every parent before its children."""
    numbers: tuple[Number, ...]
    """Of each numeric descriptor, in order."""
    covariance: tuple[tuple[float, ...], ...]
    """Of the numbers' rests."""

    def __post_init__(self) -> None:
        size, numbers = len(self.statics), len(self.numeric)
        if any(len(of) != size for of in (self.centre, self.scale, self.tables)) or not all(scale > 0 for scale in self.scale):
            raise ValueError("every descriptor needs a centre, a scale above 0, and a table")
        drawn: set[int] = set()
        for table in self.tables:
            values = 1 if table.parent is None else self.sizes[table.parent] if table.parent in drawn else 0
            if not 0 <= table.variable < size or np.shape(table.share) != (self.classes, values, self.sizes[table.variable]):
                raise ValueError("tables must name their descriptors and parents, and hold a share for each value")
            drawn.add(table.variable)
        width = self.classes + sum(self.sizes)
        if len(drawn) != size or len(self.numbers) != numbers or any(len(number.effect) != width for number in self.numbers):
            raise ValueError("every descriptor needs a table, and every number the effects of all classes and values")
        if any(len(number.grids) != len(number.grid_share) for number in self.numbers) or not _is_covariance(self.covariance, numbers):
            raise ValueError("every grid needs a share, and covariance must be a positive definite matrix of the numbers")

    @classmethod
    def fit(cls, train: Split, manifest: Manifest) -> "StaticModel":
        """Fit on the training split."""
        statics, classes = manifest.statics, len(manifest.task.classes)
        known = [column[np.isfinite(column)] for column in train.static.T]
        centre = tuple(float(k.mean()) if len(k) else 0.0 for k in known)
        scale = tuple(float(scale_of(k)) for k in known)
        discrete = _discrete(train.static, statics)
        sizes = _sizes(statics)
        tables = _tree(discrete, sizes, train.label, classes)
        design = _design(train.label, discrete, classes, sizes)
        drafts, scores = [], []
        for s in (s for s, descriptor in enumerate(statics) if descriptor.kind != "categorical"):
            draft, score = _number(train.static[:, s].astype(np.float64), design)
            drafts.append(draft)
            scores.append(score)
        explained = design @ np.array([number.effect for number in drafts]).reshape(len(drafts), design.shape[1]).T
        covariance = _rest(np.array(scores).reshape(len(drafts), len(train.label)).T, explained)
        return cls(statics, classes, centre, scale, tables, tuple(drafts), tuple(map(tuple, covariance.tolist())))

    @classmethod
    def load(cls, path: str | Path) -> "StaticModel":
        """Read a stored model."""
        return read_struct(path, cls)

    def save(self, path: str | Path) -> None:
        """Write as JSON."""
        write_struct(path, self)

    @property
    def numeric(self) -> list[int]:
        """Which descriptors are numbers."""
        return [s for s, descriptor in enumerate(self.statics) if descriptor.kind != "categorical"]

    @property
    def sizes(self) -> list[int]:
        """Values of each discrete variable."""
        return _sizes(self.statics)

    @property
    def features(self) -> int:
        """Width of `encode`'s result."""
        return sum(len(s.categories) if s.kind == "categorical" else 2 for s in self.statics)

    def encode(self, static: NDArray[np.float32]) -> Tensor:
        """Descriptors [N, S] to model input [N, features]: z-score and a known flag, or one-hot; missing is all zero."""
        columns = []
        for s, descriptor in enumerate(self.statics):
            column = static[:, s]
            known = np.isfinite(column)
            if descriptor.kind == "categorical":
                columns.append(np.where(known, column, -1)[:, None] == np.arange(len(descriptor.categories)))
            else:
                columns.append(np.stack([np.where(known, (column - self.centre[s]) / self.scale[s], 0), known], axis=1))
        if not columns:
            return torch.zeros(len(static), 0)
        return torch.from_numpy(np.concatenate(columns, axis=1).astype(np.float32))

    def sample(self, label: NDArray[np.int64], seeds: Sequence[int]) -> NDArray[np.float32]:
        """New descriptors [N, S] for the given labels; row i depends on label[i] and seeds[i] alone."""
        size, rows = len(self.statics), np.arange(len(label))
        if not size:
            return np.empty((len(label), 0), dtype=np.float32)
        chance, grid = (uniform(use, seeds, 0, (size,)).numpy() for use in ("category", "grid"))
        rest = normal("descriptor", seeds, 0, (size,)).double().numpy()
        discrete = np.zeros((len(label), size), dtype=np.int64)
        for table in self.tables:
            given = 0 if table.parent is None else discrete[:, table.parent]
            discrete[:, table.variable] = _drawn(np.array(table.share)[label, given], chance[:, table.variable])
        result = np.where(discrete == np.array(self.sizes) - 1, np.nan, discrete).astype(np.float64)
        design = _design(label, discrete, self.classes, self.sizes)
        factor = np.linalg.cholesky(np.array(self.covariance).reshape(len(self.numbers), -1)) if self.numbers else np.zeros((0, 0))
        for k, (s, number) in enumerate(zip(self.numeric, self.numbers, strict=True)):
            # Not matrix products, whose rounding may depend on the number of rows.
            score = (design * number.effect).sum(axis=1) + (rest[:, : len(factor)] * factor[k]).sum(axis=1)
            value = number.map.to_value(np.clip(score, number.map.score[0], number.map.score[-1]))
            which = _drawn(np.broadcast_to(number.grid_share, (len(label), len(number.grids))), grid[:, s])
            value = np.stack([of.nearest(value) for of in number.grids])[which, rows]
            result[:, s] = np.where(discrete[:, s] == 1, np.nan, value)
        return result.astype(np.float32)


def _sizes(statics: Sequence[Static]) -> list[int]:
    return [len(s.categories) + 1 if s.kind == "categorical" else 2 for s in statics]


def _discrete(static: NDArray[np.float32], statics: Sequence[Static]) -> NDArray[np.int64]:
    """Category or missing, known or missing, of each descriptor, [N, S]."""
    known = np.isfinite(static)
    codes = np.where(known, static, 0).astype(np.int64)
    categorical = np.array([s.kind == "categorical" for s in statics], dtype=bool)
    return np.where(known, np.where(categorical, codes, 0), np.array(_sizes(statics), dtype=np.int64) - 1)


def _tree(discrete: NDArray[np.int64], sizes: list[int], label: NDArray[np.int64], classes: int) -> tuple[Table, ...]:
    """The tree of most mutual information, from the first descriptor on."""
    size = len(sizes)
    shared = np.zeros((size, size))
    for a in range(size):
        for b in range(a):
            shared[a, b] = shared[b, a] = mutual_info_score(discrete[:, a], discrete[:, b])
    if size == 0:
        return ()
    tree = minimum_spanning_tree(1e-9 - shared - 1) if size > 1 else np.zeros((1, 1))
    order, parents = breadth_first_order(tree, 0, directed=False)
    return tuple(_table(int(s), None if parents[s] < 0 else int(parents[s]), discrete, sizes, label, classes) for s in order)


def _table(s: int, parent: int | None, discrete: NDArray[np.int64], sizes: list[int], label: NDArray[np.int64], classes: int) -> Table:
    given = np.zeros(len(discrete), np.int64) if parent is None else discrete[:, parent]
    counts = np.zeros((classes, 1 if parent is None else sizes[parent], sizes[s]))
    np.add.at(counts, (label, given, discrete[:, s]), 1)
    everywhere = counts.sum(axis=(0, 1)) / max(1, counts.sum())
    of_parent = counts.sum(axis=0)
    of_parent = (of_parent + everywhere) / (of_parent.sum(axis=1, keepdims=True) + 1)
    shares = (counts + PRIOR * of_parent) / (counts.sum(axis=2, keepdims=True) + PRIOR)
    return Table(s, parent, tuple(tuple(tuple(row) for row in of) for of in shares.tolist()))


def _design(label: NDArray[np.int64], discrete: NDArray[np.int64], classes: int, sizes: list[int]) -> Array:
    """Classes and discrete values as 0 and 1, [N, classes + values]."""
    parts = [label[:, None] == np.arange(classes)] + [discrete[:, s, None] == np.arange(size) for s, size in enumerate(sizes)]
    return np.concatenate(parts, axis=1).astype(np.float64)


def _number(column: Array, design: Array) -> tuple[Number, Array]:
    """A number's map, grids and effects, and its scores [N], NaN where missing.

    A coarse variable's scores vary less than its latent ones; divided by their variance, their covariances with other scores are the
    latent ones (to first order: the polyserial correlation).
    """
    known = np.isfinite(column)
    value = column[known]
    grids = fit_grids(value) if len(value) else (FREE,)
    which = grid_of(value, grids)
    width = np.array([grid.step for grid in grids])[which]
    number_map = ValueMap.fit(value, width, HANDFUL)
    share = np.bincount(which, minlength=len(grids)) / max(1, len(value)) if len(value) else np.ones(1)
    score = np.full(len(column), np.nan)
    # The mean over its grid's interval is what is known of a value's latent score.
    score[known] = np.mean([number_map.to_score(value + place * width) for place in SPREAD], axis=0)
    if len(value) > 1 and score[known].var() > 0:
        score[known] = (score[known] - score[known].mean()) / score[known].var()
        rows = design[known]
        effect = np.linalg.solve(rows.T @ rows + RIDGE * np.eye(rows.shape[1]), rows.T @ score[known])
    else:
        score[known], effect = 0.0, np.zeros(design.shape[1])
    return Number(number_map, grids, tuple(share.tolist()), tuple(effect.tolist())), score


def _rest(score: Array, explained: Array) -> Array:
    """Covariance of what the effects leave open, from pairs that are both known; the nearest positive definite one."""
    size = score.shape[1]
    rest = score - explained
    covariance = np.zeros((size, size))
    for a in range(size):
        for b in range(a):
            both = np.isfinite(rest[:, a]) & np.isfinite(rest[:, b])
            if both.sum() > PRIOR:
                covariance[a, b] = covariance[b, a] = np.mean(rest[both, a] * rest[both, b])
        known = np.isfinite(score[:, a])
        covariance[a, a] = max(LEAST_REST, 1 - explained[known, a].var()) if known.any() else 1.0
    spread = np.sqrt(np.diag(covariance))
    values, vectors = np.linalg.eigh(covariance / np.outer(spread, spread))
    correlation = (vectors * np.maximum(values, 1e-3)) @ vectors.T
    scale = spread / np.sqrt(np.diag(correlation))
    return correlation * np.outer(scale, scale)


def _drawn(share: Array, chance: Array) -> NDArray[np.int64]:
    """One value a row, from shares [N, values] and uniform numbers [N]."""
    return np.minimum((np.cumsum(share, axis=1) < chance[:, None]).sum(axis=1), share.shape[1] - 1)


def _is_covariance(rows: tuple[tuple[float, ...], ...], size: int) -> bool:
    if size == 0:
        return not rows
    try:
        return np.linalg.cholesky(np.array(rows).reshape(len(rows), -1)).shape == (size, size)
    except (ValueError, np.linalg.LinAlgError):  # rows of unequal length, not square, or not positive definite
        return False
