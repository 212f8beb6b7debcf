"""Static descriptors: how the model sees them, and a small generator of new ones.

New descriptors come from a Gaussian copula per label, fitted on training rows: what is stored and sampled are
quantiles, category shares and correlations, never a patient's row.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import norm, rankdata
from torch import Tensor

from tardiff.base.files import read_struct, write_struct
from tardiff.base.noise import stream
from tardiff.data.dataset import Manifest, Split, Static

QUANTILES = 21
SHRINKAGE = 0.1
TAIL = 0.01
FEWEST_ROWS = 20  # a smaller class borrows all rows, since its own quantiles would be its patients


class Margin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One descriptor's distribution in one class, as consecutive parts of [0, 1]: missing, then its values."""

    missing: float
    quantiles: tuple[float, ...] = ()
    """Numeric: equally spaced quantiles between the 1 % and 99 % points (the extremes would name a patient)."""
    shares: tuple[float, ...] = ()
    """Categorical: share of each category among rows that have one."""

    def sample(self, u: NDArray[np.float64]) -> NDArray[np.float32]:
        """Inverse distribution function at u [N]; NaN where missing."""
        within = np.clip((u - self.missing) / max(1 - self.missing, 1e-12), 0, 1)
        if self.shares:
            value = np.minimum(np.searchsorted(np.cumsum(self.shares), within, side="right"), len(self.shares) - 1).astype(float)
        elif self.quantiles:
            value = np.interp(within, np.linspace(0, 1, len(self.quantiles)), self.quantiles)
        else:
            value = np.full(len(u), np.nan)
        return np.where(u < self.missing, np.nan, value).astype(np.float32)


class StaticModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Encoding and generator of the static descriptors of one data set."""

    statics: tuple[Static, ...]
    centre: tuple[float, ...]
    scale: tuple[float, ...]
    margins: tuple[tuple[Margin, ...], ...]
    """By class, by descriptor."""
    correlation: tuple[tuple[tuple[float, ...], ...], ...]
    """By class: correlation of normal scores [S, S], shrunk towards the identity."""

    def __post_init__(self) -> None:
        size = len(self.statics)
        if any(len(of) != size for of in (self.centre, self.scale, *self.margins)) or not all(scale > 0 for scale in self.scale):
            raise ValueError("every descriptor needs a centre, a scale above 0, and a margin in each class")
        if len(self.correlation) != len(self.margins) or not all(_is_correlation(rows, size) for rows in self.correlation):
            raise ValueError("correlation must be a positive definite matrix of the descriptors for each class")

    @classmethod
    def fit(cls, train: Split, manifest: Manifest) -> "StaticModel":
        """Fit on the training split."""
        known = [column[np.isfinite(column)] for column in train.static.T]
        centre = tuple(float(k.mean()) if len(k) else 0.0 for k in known)
        scale = tuple(float(k.std()) or 1.0 if len(k) else 1.0 for k in known)
        margins, correlation = [], []
        for label in range(len(manifest.task.classes)):
            rows = train.static[train.label == label]
            rows = rows if len(rows) >= FEWEST_ROWS else train.static
            margins.append(tuple(_margin(column, s) for column, s in zip(rows.T, manifest.statics, strict=True)))
            correlation.append(_score_correlation(rows))
        return cls(manifest.statics, centre, scale, tuple(margins), tuple(correlation))

    @classmethod
    def load(cls, path: str | Path) -> "StaticModel":
        """Read a stored model.

        Raises:
            TardiffError: the file is missing or damaged.
        """
        return read_struct(path, cls)

    def save(self, path: str | Path) -> None:
        """Write as JSON."""
        write_struct(path, self)

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
        result = np.empty((len(label), len(self.statics)), dtype=np.float32)
        noise = np.array([stream("static", seed).standard_normal(len(self.statics)) for seed in seeds]).reshape(result.shape)
        for cls, margins in enumerate(self.margins):
            rows = label == cls
            if not self.statics or not rows.any():
                continue
            factor = np.linalg.cholesky(np.array(self.correlation[cls]))
            # Not a matrix product, whose rounding may depend on the number of rows.
            u = norm.cdf((noise[rows, None, :] * factor).sum(axis=2))
            for s, margin in enumerate(margins):
                result[rows, s] = margin.sample(u[:, s])
        return result


def _is_correlation(rows: tuple[tuple[float, ...], ...], size: int) -> bool:
    try:
        return np.linalg.cholesky(np.array(rows).reshape(len(rows), -1 if rows else 0)).shape == (size, size)
    except (ValueError, np.linalg.LinAlgError):  # rows of unequal length, not square, or not positive definite
        return False


def _margin(column: NDArray[np.float32], descriptor: Static) -> Margin:
    known = column[np.isfinite(column)].astype(np.float64)
    missing = 1 - len(known) / max(len(column), 1)
    if not len(known):
        return Margin(1.0)
    if descriptor.kind == "categorical":
        counts = np.bincount(known.astype(int), minlength=len(descriptor.categories))
        return Margin(missing, shares=tuple((counts / counts.sum()).tolist()))
    return Margin(missing, quantiles=tuple(np.quantile(known, np.linspace(TAIL, 1 - TAIL, QUANTILES)).tolist()))


def _score_correlation(rows: NDArray[np.float32]) -> tuple[tuple[float, ...], ...]:
    """Correlation of mid-rank normal scores, missing ranked below every value, as `Margin` lays them out."""
    size = rows.shape[1]
    if size == 0:
        return ()
    ranks = rankdata(np.where(np.isfinite(rows), rows, -np.inf), axis=0)
    scores = norm.ppf((ranks - 0.5) / len(rows))
    scores = scores - scores.mean(axis=0)
    spread = np.sqrt((scores**2).sum(axis=0))
    spread[spread == 0] = 1
    correlation = (scores / spread).T @ (scores / spread)
    correlation = (1 - SHRINKAGE) * correlation + SHRINKAGE * np.eye(size)
    np.fill_diagonal(correlation, 1.0)
    return tuple(tuple(row) for row in correlation.tolist())
