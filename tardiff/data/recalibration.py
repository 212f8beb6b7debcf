"""The marginals of other patients: what a fitted codec and static model know of each variable alone, fitted anew.

How variables depend on each other and on the label stays as it was. A map is replaced if the new one foretells the values of patients
that it was not fitted on better than the old one does, by more than the error of that difference; so patients like the old ones
change nothing.
"""

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from tardiff.base.noise import stream
from tardiff.data.codec import BEYOND, Codec, ValueMap
from tardiff.data.dataset import Split
from tardiff.data.resolution import FIRST_GRID, Grid, cells_of, chart_of
from tardiff.data.statics import HANDFUL, StaticModel

FOLDS = 5
LEVELS = (np.arange(20) + 0.5) / 20
OFF = 0.05
PRIOR = 20
"""Rows that the old shares of symbols count for: what a few rows never chart may be charted all the same."""

Values = NDArray[np.float64]


def recalibrated(codec: Codec, train: Split, seed: int) -> Codec:
    """The codec with value maps, preferred digits and symbol rates of other rows; what none of them observes will never be charted."""
    maps, grids, rates = [], [], []
    for c, (old, of_channel, rate) in enumerate(zip(codec.maps, codec.grids, codec.symbol_rate, strict=True)):
        mask = train.mask[:, c] == 1
        value = np.where(mask, train.values[:, c], 0.0).astype(np.float64)
        chart = chart_of(value, mask, of_channel)
        subject = np.broadcast_to(train.subject_id[:, None], mask.shape)[mask]
        new = better_map(old, value[mask], of_channel, subject, BEYOND, seed)
        if new is not old:
            of_channel = tuple(grid.fitted(value[chart == FIRST_GRID + k]) for k, grid in enumerate(of_channel))
            new = ValueMap.fit(*cells_of(value[mask], of_channel))
        local = np.bincount(chart.ravel(), minlength=len(rate)) / chart.size
        weight = PRIOR / (PRIOR + len(train)) if mask.any() else 0.0
        maps.append(new)
        grids.append(of_channel)
        rates.append(tuple((weight * np.array(rate) + (1 - weight) * local).tolist()))
    return msgspec.structs.replace(codec, maps=tuple(maps), grids=tuple(grids), symbol_rate=tuple(rates), before_first=codec.uncharted)


def recalibrated_statics(statics: StaticModel, train: Split, seed: int) -> StaticModel:
    """The static model with the distributions of numbers of other rows; a descriptor that none of them has is always missing."""
    numbers = []
    for s, number in zip(statics.numeric, statics.numbers, strict=True):
        known = np.isfinite(train.static[:, s])
        value = train.static[known, s].astype(np.float64)
        new = better_map(number.map, value, number.grids, train.subject_id[known], HANDFUL, seed)
        numbers.append(msgspec.structs.replace(number, map=new))
    tables = []
    for table in statics.tables:
        if not np.isfinite(train.static[:, table.variable]).any():
            missing = tuple(float(k == statics.sizes[table.variable] - 1) for k in range(statics.sizes[table.variable]))
            table = msgspec.structs.replace(table, share=tuple(tuple(missing for _ in of) for of in table.share))
        tables.append(table)
    return msgspec.structs.replace(statics, numbers=tuple(numbers), tables=tuple(tables))


def better_map(old: ValueMap, value: Values, grids: tuple[Grid, ...], subject: NDArray[np.int64], beyond: int, seed: int) -> ValueMap:
    """A map that was fitted on the values [n], or `old` itself if other patients' values do not say that the new one is better."""
    patients, member = np.unique(subject, return_inverse=True)
    if len(patients) < 2 * FOLDS:
        return old
    fold = (stream("recalibration", seed).permutation(len(patients)) % FOLDS)[member]
    middle, width = cells_of(value, grids)
    gain = foretelling_loss(old, value)
    for k in range(FOLDS):
        gain[fold == k] -= foretelling_loss(ValueMap.fit(middle[fold != k], width[fold != k], beyond), value[fold == k])
    mean, error = mean_by_group(gain, subject)
    return ValueMap.fit(middle, width, beyond) if mean > error else old


def foretelling_loss(value_map: ValueMap, value: Values) -> Values:
    """Continuous ranked probability score of each value [n] under the map's distribution, in the variable's unit; lower is better.

    Twice the mean pinball loss over `LEVELS` quantiles (Gneiting & Raftery, JASA 102:359, 2007).
    """
    above = value[:, None] - value_map.to_value(norm.ppf(LEVELS))
    return 2 * np.maximum(LEVELS * above, (LEVELS - 1) * above).mean(axis=1)


def mean_by_group(value: NDArray[np.floating], group: NDArray[np.integer]) -> tuple[float, float]:
    """Mean over groups (a patient's rows) of the means of their values [n], and its standard error, without end if there is one group."""
    _, member, count = np.unique(group, return_inverse=True, return_counts=True)
    means = np.bincount(member, value) / count
    return float(means.mean()), float(means.std(ddof=1) / len(means) ** 0.5) if len(means) > 1 else float("inf")


def changed_channels(old: Codec, new: Codec) -> tuple[str, ...]:
    """Names of the channels whose value map is another."""
    return tuple(channel.name for channel, one, other in zip(new.channels, old.maps, new.maps, strict=True) if one != other)


def off_the_grids(codec: Codec, train: Split) -> tuple[str, ...]:
    """Names of the channels of which a share of `OFF` or more of the values stands on none of the codec's grids."""
    names = []
    for c, (channel, grids) in enumerate(zip(codec.channels, codec.grids, strict=True)):
        value = train.values[:, c][train.mask[:, c] == 1].astype(np.float64)
        if len(value) and not np.mean(np.any([grid.holds(value) for grid in grids], axis=0)) > 1 - OFF:
            names.append(channel.name)
    return tuple(names)
