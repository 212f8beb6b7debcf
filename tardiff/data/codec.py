"""Physical units <-> model space.

In model space a record is `x` [batch, 2 C, time]: C value channels (normal scores, unobserved entries filled) and
C mask bits (+1 observed, -1 not; "analog bits", arXiv 2208.04202), so that one diffusion model learns both.
"""

import hashlib
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from scipy.stats import norm
from torch import Tensor

from tardiff.base.files import read_struct, write_struct
from tardiff.data.dataset import Channel, Manifest, Split
from tardiff.errors import TardiffError

KNOTS = 129
Z_LIMIT = 4.0
SOFTNESS = 0.1
NEVER, ALWAYS = 2.0, -1.5
"""Thresholds that no mask bit exceeds, and that every bit does."""
PART = 4096


class Charted(Protocol):
    """Records in physical units: a split, or decoded samples."""

    @property
    def values(self) -> NDArray[np.float32]:
        """[N, C, T]; NaN where nothing was observed."""

    @property
    def mask(self) -> NDArray[np.uint8]:
        """[N, C, T]; 1 = observed."""


class ValueMap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Monotone piecewise-linear map between one variable's unit and normal scores."""

    value: tuple[float, ...]
    score: tuple[float, ...]

    def __post_init__(self) -> None:
        if not (len(self.value) == len(self.score) >= 2 and _rises(self.value) and _rises(self.score)):
            raise ValueError("value and score must rise together, from two knots on")

    @classmethod
    def fit(cls, observed: NDArray[np.float32]) -> "ValueMap":
        """Map the empirical distribution of `observed` [n] to a standard normal at up to `KNOTS` quantiles.

        Tied values share their middle rank, so a variable of few levels keeps them apart. A constant variable maps
        to 0, and every score back to the constant; a variable never observed maps to itself.
        """
        levels, counts = np.unique(observed.astype(np.float64), return_counts=True)
        if not len(levels):
            return cls((-1.0, 1.0), (-1.0, 1.0))
        if len(levels) == 1:
            hair = 1e-6 * max(1.0, abs(levels[0]))
            return cls((float(levels[0] - hair), float(levels[0] + hair)), (-Z_LIMIT, Z_LIMIT))
        middle = (np.cumsum(counts) - counts / 2) / counts.sum()
        keep = np.unique(np.searchsorted(middle, np.linspace(middle[0], middle[-1], KNOTS)))
        return cls(tuple(levels[keep].tolist()), tuple(norm.ppf(middle[keep]).tolist()))

    def to_score(self, value: NDArray[np.floating]) -> NDArray[np.float64]:
        """Values in physical units to scores; beyond the end knots the end segments go on."""
        return np.clip(_interpolate(value, self.value, self.score), -Z_LIMIT, Z_LIMIT)

    def to_value(self, score: NDArray[np.floating]) -> NDArray[np.float64]:
        """The inverse of `to_score`."""
        return _interpolate(score, self.score, self.value)


def _rises(knots: tuple[float, ...]) -> bool:
    return all(low < high for low, high in pairwise(knots))


def _interpolate(x: NDArray[np.floating], xs: tuple[float, ...], ys: tuple[float, ...]) -> NDArray[np.float64]:
    result = np.interp(x, xs, ys)
    low, high = (ys[1] - ys[0]) / (xs[1] - xs[0]), (ys[-1] - ys[-2]) / (xs[-1] - xs[-2])
    result = np.where(x < xs[0], ys[0] + low * (x - xs[0]), result)
    return np.where(x > xs[-1], ys[-1] + high * (x - xs[-1]), result)


class Codec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The transform of one data set, fitted on its training rows only."""

    channels: tuple[Channel, ...]
    steps: int
    maps: tuple[ValueMap, ...]
    orderings: tuple[tuple[str, ...], ...]
    observed_rate: tuple[float, ...]
    """Share of entries observed in training, by channel."""
    thresholds: tuple[float, ...]
    """A mask bit above its channel's threshold means observed; fitted once in training, never on a sampled batch."""

    def __post_init__(self) -> None:
        names = [channel.name for channel in self.channels]
        if self.steps < 1 or not names or any(len(of) != len(names) for of in (self.maps, self.observed_rate, self.thresholds)):
            raise ValueError("steps must be at least 1, and every channel needs a map, an observed_rate and a threshold")
        if not all(name in names for chain in self.orderings for name in chain):
            raise ValueError("orderings name an unknown channel")

    @classmethod
    def fit(cls, train: Split, manifest: Manifest) -> "Codec":
        """Fit on the training split."""
        maps = tuple(ValueMap.fit(train.values[:, c][train.mask[:, c] == 1]) for c in range(len(manifest.channels)))
        rate = tuple(train.mask.mean(axis=(0, 2), dtype=np.float64).tolist())
        return cls(manifest.channels, manifest.steps, maps, manifest.orderings, rate, (0.0,) * len(maps))

    @classmethod
    def load(cls, path: str | Path) -> "Codec":
        """Read a stored codec.

        Raises:
            TardiffError: the file is missing or damaged.
        """
        return read_struct(path, cls)

    def save(self, path: str | Path) -> None:
        """Write as JSON."""
        write_struct(path, self)

    def digest(self) -> str:
        """Hash of everything that was fitted on data; codecs of the same training rows agree, whatever their thresholds."""
        plain = msgspec.structs.replace(self, thresholds=(0.0,) * len(self.channels))
        return hashlib.sha256(msgspec.json.encode(plain)).hexdigest()

    def fit_thresholds(self, x: Tensor) -> "Codec":
        """Thresholds at which unguided samples `x` [N, 2 C, T] are observed as often as the training rows were."""
        bits = rearrange(x[:, len(self.channels) :], "n c t -> c (n t)").double().numpy()
        cuts = [np.clip(np.quantile(b, 1 - rate), -0.95, 0.95) for b, rate in zip(bits, self.observed_rate, strict=True)]
        # What was never observed in training never is in a sample, whose bits exceed 1 by no more than rounding.
        never = [rate == 0 for rate in self.observed_rate]
        return msgspec.structs.replace(self, thresholds=tuple(NEVER if n else float(c) for n, c in zip(never, cuts, strict=True)))

    def always_observed(self) -> "Codec":
        """The codec with channels that lacked nothing in training lacking nothing in samples: their bits lie above any threshold."""
        thresholds = [ALWAYS if rate == 1 else t for rate, t in zip(self.observed_rate, self.thresholds, strict=True)]
        return msgspec.structs.replace(self, thresholds=tuple(thresholds))

    def encode(self, split: Charted) -> Tensor:
        """Rows in physical units to x float32 [N, 2 C, T]; unobserved values are filled as `forward_fill` says."""
        if split.values.shape[1:] != (len(self.channels), self.steps):
            raise TardiffError(f"rows have shape {split.values.shape[1:]}, this model was fitted on {(len(self.channels), self.steps)}")
        x = torch.empty(len(split.values), 2 * len(self.channels), self.steps)
        for part in parts(len(x)):
            x[part] = self._encoded(split.values[part], split.mask[part] == 1)
        return x

    def _encoded(self, values: NDArray[np.float32], observed: NDArray[np.bool_]) -> Tensor:
        score = np.stack([m.to_score(values[:, c]) for c, m in enumerate(self.maps)], axis=1)
        mask = torch.from_numpy(observed)
        value = torch.from_numpy(np.where(observed, score, 0.0).astype(np.float32))
        return torch.cat([self.forward_fill(value, mask), mask.float() * 2 - 1], dim=1)

    def decode(self, x: Tensor) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """x [N, 2 C, T] to values in physical units (NaN where unobserved) and mask, both [N, C, T].

        Values are clamped to their limits, ordinal channels rounded, and chains of `orderings` that are observed
        together are put in order.
        """
        shape = len(x), len(self.channels), self.steps
        values, observed = np.empty(shape, np.float32), np.empty(shape, np.uint8)
        for part in parts(len(x)):
            raw, mask = self._physical(x[part])
            values[part], observed[part] = np.where(mask, self._possible(raw, mask), np.nan), mask
        return values, observed

    def repaired(self, x: Tensor) -> float:
        """Share of the observed values of x [N, 2 C, T] that `decode` has to move: out of their limits, or out of order."""
        raw, mask = self._physical(x)
        moved = ~np.isclose(self._possible(raw, mask), self._whole(raw), rtol=1e-6) & mask
        return float(moved.sum() / max(1, mask.sum()))

    def _physical(self, x: Tensor) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Values as the maps give them, and mask, both [N, C, T]."""
        value, bits = x.double().numpy(), x[:, len(self.channels) :].numpy()
        mask = bits > np.array(self.thresholds, dtype=np.float32)[:, None]
        return np.stack([value_map.to_value(value[:, c]) for c, value_map in enumerate(self.maps)], axis=1), mask

    def _whole(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Ordinal channels rounded."""
        ordinal = np.array([channel.kind == "ordinal" for channel in self.channels])
        return np.where(ordinal[:, None], np.rint(values), values)

    def _possible(self, values: NDArray[np.float64], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Within limits, ordinal channels rounded, observed members of a chain in order."""
        low, high = (np.array(edge)[:, None] for edge in zip(*(channel.limits for channel in self.channels), strict=True))
        values = self._whole(np.clip(values, low, high))
        for chain in self.orderings:
            _put_in_order(values, mask, [self._index(name) for name in chain])
        return values

    def seen(self, x: Tensor) -> Tensor:
        """What classifiers and guides see of x [B, 2 C, T]: blended values and soft mask, same shape, differentiable.

        Values are soft_mask * value + (1 - soft_mask) * fill. A bit of +-1, as real rows have, gives the same soft
        mask whatever the thresholds are, so a classifier fits every generator of its data set.
        """
        value, bits = x.chunk(2, dim=1)
        threshold = torch.tensor(self.thresholds, dtype=x.dtype, device=x.device)[:, None]
        above = bits > threshold
        distance = (bits - threshold) / torch.where(above, 1 - threshold, 1 + threshold)
        soft = torch.sigmoid(distance / SOFTNESS)
        fill = self.forward_fill(value, above)
        return torch.cat([soft * value + (1 - soft) * fill, soft], dim=1)

    def forward_fill(self, value: Tensor, mask: Tensor) -> Tensor:
        """The one filling rule: the last observed value, before the first one the channel's normal value. [B, C, T]."""
        step = torch.arange(value.shape[-1], device=value.device)
        last = torch.where(mask, step, -1).cummax(dim=-1).values
        filled = value.gather(-1, last.clamp(min=0))
        normal = torch.tensor([m.to_score(np.array(c.normal)) for c, m in zip(self.channels, self.maps, strict=True)])
        return torch.where(last >= 0, filled, normal.to(value)[:, None])

    def clamp(self, x: Tensor) -> Tensor:
        """x with scores within +-`Z_LIMIT` and bits within +-1, [B, 2 C, T]."""
        value, bits = x.chunk(2, dim=1)
        return torch.cat([value.clamp(-Z_LIMIT, Z_LIMIT), bits.clamp(-1, 1)], dim=1)

    def project(self, x: Tensor) -> Tensor:
        """The nearest possible x, [B, 2 C, T], row by row.

        Scores lie within the physiologic limits and bits within +-1; observed members of a chain of `orderings` (diastolic,
        mean, systolic) are in order.
        """
        value, bits = x.chunk(2, dim=1)
        low, high = (
            torch.tensor([m.to_score(np.array(c.limits[end])) for c, m in zip(self.channels, self.maps, strict=True)]).to(value)[:, None]
            for end in (0, 1)
        )
        value = value.clamp(low, high)
        observed = bits > torch.tensor(self.thresholds, dtype=bits.dtype, device=bits.device)[:, None]
        for chain in self.orderings:
            members = [self._index(name) for name in chain]
            value[:, members] = self._in_order(value[:, members], observed[:, members], members)
        return torch.cat([value, bits.clamp(-1, 1)], dim=1)

    def _in_order(self, score: Tensor, observed: Tensor, members: list[int]) -> Tensor:
        """Scores of a chain, [B, members, T]: what is out of order in physical units changes places; the rest keeps its bits."""
        maps = [self.maps[c] for c in members]
        physical = np.stack([m.to_value(score[:, k].double().cpu().numpy()) for k, m in enumerate(maps)], axis=1)
        target = physical.copy()
        _put_in_order(target, observed.cpu().numpy(), list(range(len(members))))
        back = torch.from_numpy(np.stack([m.to_score(target[:, k]) for k, m in enumerate(maps)], axis=1))
        return torch.where(torch.from_numpy(target != physical).to(score.device), back.to(score), score)

    def _index(self, name: str) -> int:
        return [channel.name for channel in self.channels].index(name)


def parts(rows: int) -> list[slice]:
    """Rows in parts of `PART`: the steps between need many times the memory of what they begin and end with."""
    return [slice(first, first + PART) for first in range(0, rows, PART)]


def _put_in_order(values: NDArray[np.float64], mask: NDArray[np.bool_], chain: list[int]) -> None:
    """Sort, in place, the observed members of a chain at every step: the smallest change that keeps the values."""
    members, observed = values[:, chain], mask[:, chain]
    target = np.sort(np.where(observed, members, np.inf), axis=1)  # observed values first, ascending
    rank = np.cumsum(observed, axis=1) - 1
    values[:, chain] = np.where(observed, np.take_along_axis(target, np.maximum(rank, 0), axis=1), members)
