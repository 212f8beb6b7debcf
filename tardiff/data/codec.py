"""Physical units <-> model space.

Two views of a record. The diffusion model works on `x0` [batch, C, time], the normal scores of what is charted (0 elsewhere), given
the `chart` [batch, C, time], whose symbols say what is charted and on which grid (`tardiff.data.resolution`). Classifiers, judges
and discriminators read `seen` [batch, 2 C, time]: scores carried forward into what is not charted, and the mask.
"""

import hashlib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import norm
from torch import Tensor

from tardiff.base.device import wide
from tardiff.base.files import read_struct, write_struct
from tardiff.data.dataset import Channel, Manifest, Split
from tardiff.data.resolution import ABSENT, FIRST_GRID, WHOLE, Grid, cells_of, channel_grids, chart_of, settle
from tardiff.errors import TardiffError

KNOTS = 129
BEYOND = 20
"""Entries that lie beyond the outermost knots, at least: an extreme would name a patient."""
SPREAD = np.linspace(-0.5, 0.5, 17)[1::2]
"""Where in its grid's interval a value stands, when the map is fitted."""
Z_LIMIT = 4.0
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
    def fit(cls, observed: NDArray[np.float64], width: NDArray[np.float64], beyond: int = BEYOND) -> "ValueMap":
        """Map the distribution of `observed` [n] to a standard normal, at up to `KNOTS` quantiles.

        Each value fills the interval of its grid, `width` [n] across (uniform dequantisation), so that ties have scores of their
        own and `to_value` leads back into the interval. A constant maps to 0, and every score back to it; a variable never
        observed maps to itself.
        """
        if not len(observed):
            return cls((-1.0, 1.0), (-1.0, 1.0))
        levels, count = np.unique(np.stack([observed, width]), axis=1, return_counts=True)
        if levels.shape[1] == 1:
            hair = 1e-6 * max(1.0, abs(levels[0, 0]))
            return cls((float(levels[0, 0] - hair), float(levels[0, 0] + hair)), (-Z_LIMIT, Z_LIMIT))
        places = np.where(levels[1] > 0, SPREAD[:, None], 0.0)
        value, level = np.unique(levels[0] + places * levels[1], return_inverse=True)
        mass = np.bincount(level.ravel(), np.broadcast_to(count / len(SPREAD), places.shape).ravel())
        share = (np.cumsum(mass) - mass / 2) / len(observed)
        edge = min(0.25, beyond / len(observed))
        at = np.linspace(edge, 1 - edge, KNOTS)
        knots = np.interp(at, share, value)
        # Where many share the lowest or highest level, nothing lies beyond its interval.
        ends = [(levels[0, end] + side * levels[1, end] / 2, side * Z_LIMIT) for end, side in ((0, -1), (-1, 1)) if count[end] >= beyond]
        knots, scores = np.append(knots, [value for value, _ in ends]), np.append(norm.ppf(at), [score for _, score in ends])
        order = np.lexsort((scores, knots))
        knots, scores = knots[order], np.maximum.accumulate(scores[order])
        keep = np.append(True, (np.diff(knots) > 1e-12 * np.abs(knots).max()) & (np.diff(scores) > 0))
        return cls(tuple(knots[keep].tolist()), tuple(scores[keep].tolist()))

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


def _interpolated(x: Tensor, xs: tuple[float, ...], ys: tuple[float, ...]) -> Tensor:
    """The same on any device, where a record does not leave it."""
    knots, heights = (torch.tensor(of, dtype=x.dtype, device=x.device) for of in (xs, ys))
    low = (torch.searchsorted(knots, x.contiguous()) - 1).clamp(0, len(xs) - 2)
    slope = (heights[1:] - heights[:-1]) / (knots[1:] - knots[:-1])
    return heights[low] + slope[low] * (x - knots[low])


@dataclass(frozen=True)
class Entries:
    """Records as they are charted.

    Attributes:
        value: middle of the cell in which each value stands on its grid (`resolution.Grid`), physical units, 0 where nothing is
            charted, [N, C, T].
        width: of the cell, 0 where there is none, [N, C, T].
        chart: symbols, int64 [N, C, T].
    """

    value: NDArray[np.float64]
    width: NDArray[np.float64]
    chart: Tensor

    def __len__(self) -> int:
        return len(self.chart)

    def take(self, rows: Tensor) -> "Entries":
        """The rows given by an index tensor."""
        return Entries(self.value[rows.numpy()], self.width[rows.numpy()], self.chart[rows])


class Codec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The transform of one data set, fitted on its training rows only."""

    channels: tuple[Channel, ...]
    steps: int
    maps: tuple[ValueMap, ...]
    grids: tuple[tuple[Grid, ...], ...]
    """By channel, coarsest first."""
    symbol_rate: tuple[tuple[float, ...], ...]
    """Share of each symbol in the training rows' charts, by channel; what was never charted never will be."""
    orderings: tuple[tuple[str, ...], ...]
    before_first: tuple[float, ...] = ()
    """By channel the score that classifiers see before its first value; where none are given, that of its normal value. Local marginals
    keep their source's: to its classifier they mean that nothing is charted."""

    def __post_init__(self) -> None:
        names = [channel.name for channel in self.channels]
        if self.steps < 1 or not names or any(len(of) != len(names) for of in (self.maps, self.grids, self.symbol_rate)):
            raise ValueError("steps must be at least 1, and every channel needs a map, grids and symbol rates")
        if not all(grids and len(rate) == FIRST_GRID + len(grids) for grids, rate in zip(self.grids, self.symbol_rate, strict=True)):
            raise ValueError("every channel needs a grid, and a rate for each of its symbols")
        if not all(name in names for chain in self.orderings for name in chain):
            raise ValueError("orderings name an unknown channel")
        if self.before_first and len(self.before_first) != len(names):
            raise ValueError("before_first needs a score for every channel")

    @classmethod
    def fit(cls, train: Split, manifest: Manifest) -> "Codec":
        """Fit on the training split."""
        maps, grids, rates = [], [], []
        for c, channel in enumerate(manifest.channels):
            mask = train.mask[:, c] == 1
            value = np.where(mask, train.values[:, c], 0.0).astype(np.float64)
            of_channel = (WHOLE,) if channel.kind == "ordinal" else channel_grids(value[mask])
            chart = chart_of(value, mask, of_channel)
            of_channel = tuple(grid.fitted(value[chart == FIRST_GRID + k]) for k, grid in enumerate(of_channel))
            maps.append(ValueMap.fit(*cells_of(value[mask], of_channel)))
            grids.append(of_channel)
            rates.append(tuple((np.bincount(chart.ravel(), minlength=FIRST_GRID + len(of_channel)) / max(1, chart.size)).tolist()))
        return cls(manifest.channels, manifest.steps, tuple(maps), tuple(grids), tuple(rates), manifest.orderings)

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
        """Hash of everything that was fitted on data; codecs of the same training rows agree."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()

    @property
    def symbols(self) -> tuple[int, ...]:
        """Number of symbols of each channel's chart."""
        return tuple(len(rate) for rate in self.symbol_rate)

    def entries(self, rows: Charted) -> Entries:
        """Records in physical units as they are charted."""
        self._check(rows)
        mask = rows.mask == 1
        value = np.where(mask, rows.values, 0.0).astype(np.float64)
        width, chart = np.zeros(value.shape), np.zeros(value.shape, np.int64)
        for c, grids in enumerate(self.grids):
            chart[:, c] = chart_of(value[:, c], mask[:, c], grids)
            value[:, c], width[:, c] = cells_of(value[:, c], grids)
        return Entries(np.where(mask, value, 0.0), np.where(mask, width, 0.0), torch.from_numpy(chart))

    def scores(self, entries: Entries, place: Tensor | None = None) -> Tensor:
        """x0 float32 [N, C, T]: scores of what is charted, 0 elsewhere.

        Args:
            entries: [N, C, T].
            place: where in its cell each value stands, -0.5 .. 0.5, [N, C] (one place a record and channel, so that
                differences stay whole); None is the middle.
        """
        value = entries.value if place is None else entries.value + place.double().numpy()[..., None] * entries.width
        return self._scored(value, entries.chart != ABSENT)

    def encode(self, rows: Charted) -> Tensor:
        """Rows in physical units to what classifiers see, float32 [N, 2 C, T]."""
        self._check(rows)
        seen = torch.empty(len(rows.values), 2 * len(self.channels), self.steps)
        for part in parts(len(seen)):
            mask = torch.from_numpy(rows.mask[part] == 1)
            seen[part] = self._shown(self._scored(rows.values[part].astype(np.float64), mask), mask)
        return seen

    def seen(self, x0: Tensor, chart: Tensor) -> Tensor:
        """What classifiers and guides see of x0 and chart [B, C, T]: filled scores and mask, [B, 2 C, T], differentiable over x0."""
        return self._shown(x0, chart != ABSENT)

    def decode(self, x0: Tensor, chart: Tensor) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """x0 and chart [N, C, T] to values in physical units (NaN where nothing is charted) and mask, both [N, C, T].

        Values come within their limits, on the grids that the chart names, with its repeats; chains of `orderings` that are
        charted together are put in order.
        """
        values, observed = np.empty(x0.shape, np.float32), np.empty(x0.shape, np.uint8)
        for part in parts(len(x0)):
            mask = chart[part].numpy() != ABSENT
            values[part] = np.where(mask, self._settled(self._physical(x0[part]), chart[part].numpy()), np.nan)
            observed[part] = mask
        return values, observed

    def repaired(self, x0: Tensor, chart: Tensor) -> float:
        """Share of the charted values of x0 [N, C, T] that lie out of their limits, or out of order."""
        raw, mask = self._physical(x0), chart.numpy() != ABSENT
        low, high = np.array([channel.limits for channel in self.channels]).T[..., None]
        possible = np.clip(raw, low, high)
        for chain in self.orderings:
            _put_in_order(possible, mask, [self._index(name) for name in chain])
        return float((~np.isclose(possible, raw, rtol=1e-6) & mask).sum() / max(1, mask.sum()))

    def _scored(self, value: NDArray[np.float64], mask: Tensor) -> Tensor:
        """Scores of values [N, C, T], 0 outside the mask."""
        score = np.stack([m.to_score(value[:, c]) for c, m in enumerate(self.maps)], axis=1)
        return torch.from_numpy(np.where(mask.numpy(), score, 0.0).astype(np.float32))

    def _shown(self, score: Tensor, mask: Tensor) -> Tensor:
        """Filled scores and mask, [B, 2 C, T]."""
        return torch.cat([self.forward_fill(score, mask), mask.to(score)], dim=1)

    def _check(self, rows: Charted) -> None:
        if rows.values.shape[1:] != (len(self.channels), self.steps):
            raise TardiffError(f"rows have shape {rows.values.shape[1:]}, this model was fitted on {(len(self.channels), self.steps)}")

    def _physical(self, x0: Tensor) -> NDArray[np.float64]:
        """Values as the maps give them, [N, C, T]."""
        score = x0.double().numpy()
        return np.stack([value_map.to_value(score[:, c]) for c, value_map in enumerate(self.maps)], axis=1)

    def range_of(self, c: int) -> tuple[float, float]:
        """What a channel's values lie within: its limits, and what any score stands for."""
        (low, high), (least, most) = self.channels[c].limits, self.maps[c].to_value(np.array([-Z_LIMIT, Z_LIMIT]))
        return max(low, float(least)), min(high, float(most))

    def _settled(self, raw: NDArray[np.float64], chart: NDArray[np.int64]) -> NDArray[np.float64]:
        """Within limits, on the chart's grids, charted members of a chain in order; [N, C, T]."""
        values = np.stack([settle(raw[:, c], chart[:, c], grids, self.range_of(c)) for c, grids in enumerate(self.grids)], axis=1)
        for chain in self.orderings:
            _put_in_order(values, chart != ABSENT, [self._index(name) for name in chain])
        return values

    def forward_fill(self, value: Tensor, mask: Tensor) -> Tensor:
        """The one filling rule: the last observed value, before the first one the channel's `uncharted` score. [B, C, T]."""
        step = torch.arange(value.shape[-1], device=value.device)
        last = torch.where(mask, step, -1).cummax(dim=-1).values
        filled = value.gather(-1, last.clamp(min=0))
        return torch.where(last >= 0, filled, torch.tensor(self.uncharted, dtype=torch.float64).to(value)[:, None])

    @property
    def uncharted(self) -> tuple[float, ...]:
        """By channel the score that stands before its first value."""
        normal = (float(m.to_score(np.array(c.normal))) for c, m in zip(self.channels, self.maps, strict=True))
        return self.before_first or tuple(normal)

    def clamp(self, x0: Tensor, chart: Tensor) -> Tensor:
        """Scores within +-`Z_LIMIT`, [B, C, T]."""
        return x0.clamp(-Z_LIMIT, Z_LIMIT)

    def project(self, x0: Tensor, chart: Tensor) -> Tensor:
        """The nearest possible x0, [B, C, T], row by row.

        Scores lie within the physiologic limits; charted members of a chain of `orderings` (diastolic, mean, systolic) are in order.
        """
        low, high = (
            torch.tensor([m.to_score(np.array(c.limits[end])) for c, m in zip(self.channels, self.maps, strict=True)]).to(x0)[:, None]
            for end in (0, 1)
        )
        x0 = x0.clamp(low, high)
        for chain in self.orderings:
            members = [self._index(name) for name in chain]
            x0[:, members] = self._in_order(x0[:, members], chart[:, members] != ABSENT, members)
        return x0

    def _in_order(self, score: Tensor, observed: Tensor, members: list[int]) -> Tensor:
        """Scores of a chain, [B, members, T]: what is out of order in physical units changes places; the rest keeps its bits."""
        maps, wider = [self.maps[c] for c in members], wide(score)
        physical = torch.stack([_interpolated(wider[:, k], m.score, m.value) for k, m in enumerate(maps)], dim=1)
        target = _in_order(physical, observed)
        back = torch.stack([_interpolated(target[:, k], m.value, m.score) for k, m in enumerate(maps)], dim=1)
        return torch.where(target != physical, back.clamp(-Z_LIMIT, Z_LIMIT).to(score), score)

    def _index(self, name: str) -> int:
        return [channel.name for channel in self.channels].index(name)


def parts(rows: int) -> list[slice]:
    """Rows in parts of `PART`: the steps between need many times the memory of what they begin and end with."""
    return [slice(first, first + PART) for first in range(0, rows, PART)]


def _put_in_order(values: NDArray[np.float64], mask: NDArray[np.bool_], chain: list[int]) -> None:
    """Sort, in place, the observed members of a chain at every step."""
    values[:, chain] = _in_order(torch.from_numpy(values[:, chain]), torch.from_numpy(mask[:, chain])).numpy()


def _in_order(members: Tensor, observed: Tensor) -> Tensor:
    """The observed members of a chain [N, members, T], sorted at every step: the smallest change that keeps the values."""
    ascending = torch.where(observed, members, torch.inf).sort(dim=1).values  # observed values first
    return torch.where(observed, ascending.gather(1, (observed.cumsum(dim=1) - 1).clamp(min=0)), members)
