"""Descriptors of a stay: each alone, in pairs, and with the series."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from tardiff.base.scale import scale_of
from tardiff.data.dataset import Manifest, Static
from tardiff.evaluate.bootstrap import Draws
from tardiff.evaluate.fidelity.distance import Distance, Distances
from tardiff.evaluate.fidelity.marginals import of_entries
from tardiff.evaluate.fidelity.missingness import total_variation
from tardiff.evaluate.fidelity.sample import FEWEST, Array, Sample, correlation, mean, ratio
from tardiff.evaluate.metrics import auroc


@dataclass(frozen=True)
class Association:
    """How two descriptors go together, where both are known.

    Attributes:
        first, second: names; a category stands behind its descriptor: `sex=male`.
        measure: `spearman` (two numbers), `auroc` (a category told by a number), `phi` (two categories).
        draws: [1 + B]; NaN below `FEWEST` rows.
    """

    first: str
    second: str
    measure: str
    draws: Draws

    @property
    def centred(self) -> Draws:
        """From -1 to 1, 0 for independence."""
        return 2 * self.draws - 1 if self.measure == "auroc" else self.draws


def distances(sample: Sample, train: Sample, manifest: Manifest) -> Distances:
    """Numbers of descriptors, each 0 for identical sets; none of a data set that has none.

    - `descriptors`: Kolmogorov-Smirnov distance of numbers, total variation of categories, of those known, 0 to 1.
    - `descriptors_missing`: share of rows that lack it, set minus train, -1 to 1.
    - `descriptor_pairs`: by pair, mean absolute difference of its associations, from -1 to 1 each, 0 to 2.
    - `descriptor_slopes`: by channel and number, difference of the slopes of record means, set minus train, in real standard deviations.
    """
    n, names, statics = len(sample.split), manifest.static_names, manifest.statics
    if not statics:
        return {}
    alone = np.stack([_alone(sample, train, s, static) for s, static in enumerate(statics)], axis=1)
    found = {
        "descriptors": Distance(alone, n, names),
        "descriptors_missing": Distance(missing(sample) - missing(train), n, names, signed=True),
    }
    if len(statics) > 1:
        pairs = list(combinations(range(len(statics)), 2))
        apart = np.stack([_pair_distance(sample, train, manifest, *pair) for pair in pairs], axis=1)
        found["descriptor_pairs"] = Distance(apart, n, tuple(f"{names[a]}, {names[b]}" for a, b in pairs))
    numbers = [s for s, static in enumerate(statics) if static.kind == "numeric"]
    if numbers:
        scale = np.stack([_scale(train, s) for s in numbers])  # [numbers, C]
        gap = np.stack([slopes(sample, s)[0] - slopes(train, s)[0] for s in numbers], axis=1) * scale
        named = tuple(f"{channel} on {names[s]}" for s in numbers for channel in manifest.channel_names)
        found["descriptor_slopes"] = Distance(gap.reshape(len(gap), -1), n, named, signed=True)
    return found


def missing(sample: Sample) -> Array:
    """Share of the rows that lack each descriptor, [1 + B, S]."""
    return sample.sums(np.isnan(sample.split.static).astype(np.float64)) / sample.weights.sum(1, dtype=np.float64)[:, None]


def category_shares(sample: Sample, place: int, static: Static) -> Array:
    """Share of each category among the known, [1 + B, categories]."""
    counts = sample.sums((sample.split.static[:, place, None] == np.arange(len(static.categories))).astype(np.float64))
    return ratio(counts, counts.sum(1, keepdims=True))


def associations(sample: Sample, manifest: Manifest, first: int, second: int) -> Iterator[Association]:
    """The associations of a pair of descriptors: one, or one for each category beyond two."""
    a, b = manifest.statics[first], manifest.statics[second]
    if a.kind == "numeric" and b.kind == "categorical":
        yield from associations(sample, manifest, second, first)
        return
    x, y = sample.split.static[:, first], sample.split.static[:, second]
    known = np.isfinite(x) & np.isfinite(y)
    x, y, weights = x[known], y[known], sample.weights[:, known]
    if a.kind == "numeric":
        yield Association(a.name, b.name, "spearman", _pearson(weights, rankdata(x), rankdata(y)))
        return
    for code, category in _shown(a):
        member = (x == code).astype(np.int64)
        if b.kind == "numeric":
            yield Association(f"{a.name}={category}", b.name, "auroc", _auroc(weights, member, y))
        else:
            for other, name in _shown(b):
                yield Association(f"{a.name}={category}", f"{b.name}={name}", "phi", _pearson(weights, member * 1.0, (y == other) * 1.0))


def slopes(sample: Sample, place: int) -> tuple[Array, Array]:
    """Slope of the mean of each channel's record on a number, by least squares, and its standard error, both [1 + B, C].

    In the channel's unit a unit of the descriptor, over the rows that have both.
    """
    x, y = sample.split.static[:, place, None].astype(np.float64), record_means(sample)
    both = np.isfinite(x) & np.isfinite(y)
    x, y = np.where(both, x - np.nanmean(x) if np.isfinite(x).any() else 0, 0), np.where(both, y, 0)
    y = np.where(both, y - ratio(y.sum(0), both.sum(0)), 0)
    n, sx, sy, xx, yy, xy = (sample.sums(part) for part in (both.astype(np.float64), x, y, x * x, y * y, x * y))
    n = np.where(n >= FEWEST, n, np.nan)
    spread, spread_y, shared = xx - sx * sx / n, yy - sy * sy / n, xy - sx * sy / n
    slope = ratio(shared, spread)
    return slope, np.sqrt(ratio(np.maximum(spread_y - slope * shared, 0), (n - 2) * spread))


def record_means(sample: Sample) -> Array:
    """Mean of each record's charted values, [n, C]; NaN where there is none."""
    mask = sample.split.mask == 1
    return ratio(np.where(mask, sample.split.values, 0).sum(2, dtype=np.float64), mask.sum(2))


def _alone(sample: Sample, train: Sample, place: int, static: Static) -> Draws:
    if static.kind == "categorical":
        return total_variation(category_shares(sample, place, static), category_shares(train, place, static))
    ours, theirs = ((rows := np.flatnonzero(np.isfinite(s.split.static[:, place])), s.split.static[rows, place]) for s in (sample, train))
    return of_entries(sample, train, ours, theirs)[0]


def _pair_distance(sample: Sample, train: Sample, manifest: Manifest, first: int, second: int) -> Draws:
    pairs = zip(associations(sample, manifest, first, second), associations(train, manifest, first, second), strict=True)
    return mean(np.abs(np.stack([ours.centred - theirs.centred for ours, theirs in pairs], axis=1)))


def _scale(train: Sample, place: int) -> Array:
    """What makes a slope one of standard deviations, [C]."""
    means = record_means(train)
    spread = np.array([np.nanstd(channel) if np.isfinite(channel).any() else np.nan for channel in means.T])
    column = train.split.static[:, place]
    return ratio(np.full(len(spread), np.nanstd(column) if np.isfinite(column).any() else np.nan), spread)


def _shown(static: Static) -> list[tuple[int, str]]:
    """Categories with their codes; of two the second alone, for the first mirrors it."""
    every = list(enumerate(static.categories))
    return every[1:] if len(every) == 2 else every


def _pearson(weights: NDArray[np.float32], a: NDArray[np.float64], b: NDArray[np.float64]) -> Draws:
    a, b = (x - x.mean() if len(x) else x for x in (a, b))
    a, b = (x / scale_of(x) for x in (a, b))
    w = weights.astype(np.float64)
    return correlation(w.sum(1), w @ a, w @ b, w @ (a * a), w @ (b * b), w @ (a * b))


def _auroc(weights: NDArray[np.float32], member: NDArray[np.int64], number: NDArray[np.floating]) -> Draws:
    few = min(member.sum(), len(member) - member.sum()) == 0 or len(member) < FEWEST
    return np.full(len(weights), np.nan) if few else auroc(member, number, weights)
