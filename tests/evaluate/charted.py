"""Records as a ward charts them, and ways of spoiling them: each control takes a property away and leaves the others."""

from dataclasses import replace

import numpy as np

from tardiff.data.dataset import Channel, Dataset, Manifest, Split, Static, Task

CHANNELS = (
    Channel("hr", "bpm", (0.0, 300.0), "mean", 80.0),
    Channel("sbp", "mmHg", (0.0, 300.0), "mean", 120.0),
    Channel("dbp", "mmHg", (0.0, 200.0), "mean", 60.0),
    Channel("temp", "°C", (20.0, 45.0), "mean", 37.0),
    Channel("resp", "/min", (0.0, 70.0), "mean", 18.0),
)
STATICS = (
    Static("age", "years", limits=(18, 100)),
    Static("sex", kind="categorical", categories=("female", "male")),
    Static("height", "cm", limits=(100, 230)),
    Static("unit", kind="categorical", categories=("cardiac", "medical", "surgical")),
)
HOURS = 24
MANIFEST = Manifest("ward", "1", CHANNELS, STATICS, 1.0, HOURS, Task("death", "a coin", ("survived", "died")))
MEAN, SD = np.array([85, 120, 62, 37.0, 19])[:, None], np.array([12, 15, 9, 0.6, 4])[:, None]
STEP = np.array([1, 1, 1, 0.1, 1])[:, None]


def ward(n: int, seed: int) -> Split:
    """Smooth series on the levels of their devices, charted in rounds; respiration in every hour or never; tall men, slow old hearts."""
    random = np.random.default_rng(seed)
    age, male, unit = random.integers(18, 95, n), random.random(n) < 0.55, random.integers(0, 3, n)
    height = np.where(random.random(n) < 0.3, np.nan, np.round(162 + 14 * male + random.normal(0, 6, n)))
    moves = random.normal(0, 0.3, (n, len(CHANNELS), HOURS))
    level = random.normal(0, 0.9, (n, len(CHANNELS), 1)) + moves.cumsum(2) * 0.5 + random.normal(0, 0.15, moves.shape)
    level[:, 0] -= 0.02 * (age - 60)[:, None]
    level[:, 2] = 0.7 * level[:, 1] + 0.5 * level[:, 2]
    values = MEAN + SD * level
    step = np.where(random.random((n, 1, 1)) < 0.85, STEP, STEP / 3)  # some stays have a device that charts thirds
    values = np.round(values / step) * step
    rounds = random.random((n, 1, HOURS)) < 0.85
    every = np.array([1, 1, 1, 3, 1])[:, None]
    mask = rounds & (np.arange(HOURS) % every == random.integers(0, 3, (n, 1, 1)) % every)
    mask[:, 4] &= (random.random(n) < 0.4)[:, None]
    label = (random.random(n) < 0.3).astype(np.int64)
    ids = 1_000_000 * seed + np.arange(n, dtype=np.int64)
    static = np.column_stack([age, male, height, unit]).astype(np.float32)
    seen = np.where(mask, values, np.nan).astype(np.float32)
    hours = np.full(n, HOURS)
    return Split(seen, mask.astype(np.uint8), static, label, ids, ids, hours.astype(np.int32), 60 * hours)


def ward_data(n: int) -> Dataset:
    """A data set with its three splits."""
    return Dataset(
        MANIFEST, {name: ward(rows, seed) for seed, (name, rows) in enumerate((("train", n), ("validation", n), ("test", n)), 1)}
    )


def with_values(split: Split, values: np.ndarray) -> Split:
    return replace(split, values=np.where(split.mask == 1, values, np.nan).astype(np.float32))


def continuous(split: Split) -> Split:
    """Noise below the charted resolution in every value."""
    return with_values(split, split.values + np.random.default_rng(7).uniform(-0.04, 0.04, split.values.shape))


def one_digit_more(split: Split, channel: int) -> Split:
    """One rounding removed: a channel has a digit more."""
    values, step = split.values.astype(np.float64), {True: 0.01, False: 0.1}[bool(np.nanmean(split.values[:, channel]) < 45)]
    values[:, channel] += step * np.random.default_rng(7).integers(-5, 5, values[:, channel].shape)
    return with_values(split, values)


def rough(split: Split, train: Split, size: float = 0.2) -> Split:
    """Noise of `size` standard deviations, then the nearest level of the training rows."""
    random, values = np.random.default_rng(7), split.values.astype(np.float64)
    for c in range(values.shape[1]):
        levels = np.unique(train.values[:, c][train.mask[:, c] == 1])
        wanted = values[:, c] + random.normal(0, size * np.nanstd(values[:, c]), values[:, c].shape)
        above = np.clip(np.searchsorted(levels, wanted), 1, len(levels) - 1)
        low, high = levels[above - 1], levels[above]
        values[:, c] = np.where(wanted - low < high - wanted, low, high)
    return with_values(split, values)


def charted_independently(split: Split) -> Split:
    """Each hour of each channel charted by a coin of the right rate; values stand where they stood, or are carried."""
    filled = split.values.copy()
    for t in range(1, filled.shape[2]):
        filled[..., t] = np.where(np.isnan(filled[..., t]), filled[..., t - 1], filled[..., t])
    filled = np.where(np.isnan(filled), np.nanmedian(split.values, axis=(0, 2), keepdims=True), filled)
    mask = np.random.default_rng(7).random(split.mask.shape) < split.mask.mean(0)
    return with_values(replace(split, mask=mask.astype(np.uint8)), filled)


def shuffled_descriptors(split: Split) -> Split:
    """Each descriptor shuffled between rows: all is right alone, nothing together."""
    return replace(split, static=np.random.default_rng(7).permuted(split.static, axis=0))
