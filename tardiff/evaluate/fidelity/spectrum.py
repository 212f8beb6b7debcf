"""How fast values swing: the power spectrum of filled records."""

import numpy as np

from tardiff.evaluate.fidelity.sample import Array, Sample

NOTHING = 1e-9  # power below which a channel does not move


def power(sample: Sample, value: Array) -> Array:
    """Mean periodogram of each channel of forward-filled normal scores [n, C, T], without its constant part, [1 + B, C, T // 2]."""
    centred = value - value.mean(-1, keepdims=True)
    by_row = np.abs(np.fft.rfft(centred, axis=-1)[..., 1:]) ** 2 / value.shape[-1]
    return sample.sums(by_row) / sample.weights.sum(1, dtype=np.float64)[:, None, None]


def spectral_distance(ours: Array, theirs: Array) -> Array:
    """Mean over frequencies of the absolute log10 ratio of power, [1 + B, C]: 0.3 is twice or half the power. NaN where none moves."""
    moves = (ours > NOTHING).all(-1) & (theirs > NOTHING).all(-1)
    distance = np.abs(np.log10(np.maximum(ours, NOTHING)) - np.log10(np.maximum(theirs, NOTHING))).mean(-1)
    return np.where(moves, distance, np.nan)
