"""What trees read of a decoded record: summaries of each channel, in physical units."""

from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from tardiff.data.dataset import Split
from tardiff.evaluate.fidelity.missingness import gaps, stretches
from tardiff.evaluate.fidelity.resolution import CLOSE, GRIDS, changes, on_grid
from tardiff.evaluate.fidelity.sample import ratio

ASPECTS: dict[str, tuple[str, ...]] = {
    "charting": ("count", "first_hour", "last_hour", "gaps", "longest_gap"),
    "level": ("mean", "minimum", "maximum", "sd", "first", "last"),
    "movement": ("change", "largest_change", "repeats"),
    "resolution": tuple(GRIDS),
}
"""Names of the summaries of a channel, by what they are about."""
SUMMARIES = tuple(name for names in ASPECTS.values() for name in names)
_ENDS = list(accumulate(map(len, ASPECTS.values()), initial=0))
PLACES = {aspect: slice(*ends) for aspect, ends in zip(ASPECTS, pairwise(_ENDS), strict=True)}
"""Where the summaries of an aspect stand."""


def summaries(split: Split) -> NDArray[np.float32]:
    """The summaries of each channel, [N, C, SUMMARIES]; NaN where undefined (a channel never charted has counts and gaps only)."""
    mask, values = split.mask == 1, split.values.astype(np.float64)
    steps = values.shape[2]
    count, charted = mask.sum(2), mask.any(2)
    first, last = mask.argmax(2), steps - 1 - mask[..., ::-1].argmax(2)
    gap, change = stretches(gaps(split)), changes(split)
    moves = np.isfinite(change).sum(2)
    filled = np.where(mask, values, 0)
    mean = ratio(filled.sum(2), count)
    sd = np.sqrt(ratio((np.where(mask, values - mean[..., None], 0) ** 2).sum(2), count))
    by_name = {
        "count": count,
        "first_hour": np.where(charted, first, np.nan),
        "last_hour": np.where(charted, last, np.nan),
        "gaps": (gap > 0).sum(2),
        "longest_gap": gap.max(2),
        "mean": mean,
        "minimum": np.where(charted, np.where(mask, values, np.inf).min(2), np.nan),
        "maximum": np.where(charted, np.where(mask, values, -np.inf).max(2), np.nan),
        "sd": sd,
        "first": np.take_along_axis(values, first[..., None], 2)[..., 0],
        "last": np.take_along_axis(values, last[..., None], 2)[..., 0],
        "change": ratio(np.nansum(change, 2), moves),
        "largest_change": np.where(moves > 0, np.where(np.isnan(change), -np.inf, change).max(2), np.nan),
        "repeats": ratio((change <= CLOSE).sum(2), moves),
        **{name: ratio(on_grid(values, step).sum(2), count) for name, step in GRIDS.items()},
    }
    return np.stack([by_name[name] for name in SUMMARIES], axis=2).astype(np.float32)
