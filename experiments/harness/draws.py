"""Resamples of a figure in little room, and paired differences of cells."""

import base64
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tardiff.evaluate.bootstrap import Draws, unpacked
from tardiff.evaluate.intervals import Interval, interval


def condensed(draws: Draws | str) -> str:
    """Draws [1 + B] as text: the first, then how far each other one lies from it, in half precision (an error of .05 %).

    Args:
        draws: of a figure, the rows as they are first; or the same as `bootstrap.packed` writes it.
    """
    full = unpacked(draws) if isinstance(draws, str) else draws
    return base64.b64encode(np.float32(full[0]).tobytes() + (full[1:] - full[0]).astype("<f2").tobytes()).decode()


def spread_out(text: str) -> Draws:
    """The inverse of `condensed`.

    Raises:
        ValueError: it is no such text.
    """
    content = base64.b64decode(text)
    first = float(np.frombuffer(content[:4], "<f4")[0])
    return np.append(first, first + np.frombuffer(content[4:], "<f2").astype(np.float64))


def over_seeds(by_seed: Mapping[int, Draws]) -> Interval:
    """Mean over seeds, with its 95 % interval over seeds and patients (over seeds alone if there is one draw each)."""
    return interval(np.stack([by_seed[seed] for seed in sorted(by_seed)], axis=1))


def difference(ours: Mapping[int, Draws], theirs: Mapping[int, Draws]) -> Interval:
    """Paired difference of a figure over the seeds that both have, and over patients, whose resamples are shared.

    Args:
        ours, theirs: by seed, [1 + B]; the first draw is the rows as they are, and may be the only one.
    """
    return over_seeds({seed: ours[seed] - theirs[seed] for seed in ours.keys() & theirs.keys()})


def mean_draws(draws: Sequence[Draws] | NDArray[np.float64]) -> Draws:
    """Mean over judges, draw by draw."""
    return np.mean(draws, axis=0)
