"""Resamples of a figure in little room, and paired differences of cells."""

import base64
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tardiff.evaluate.bootstrap import Draws, unpacked
from tardiff.evaluate.intervals import LEVEL, Interval, interval


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


def over_seeds(by_seed: Mapping[int, Draws], level: float = LEVEL) -> Interval:
    """Mean over seeds, with its 95 % interval over seeds and patients (over seeds alone if there is one draw each)."""
    return interval(np.stack([by_seed[seed] for seed in sorted(by_seed)], axis=1), level=level)


def difference(ours: Mapping[int, Draws], theirs: Mapping[int, Draws]) -> dict[int, Draws]:
    """Paired differences of a figure by seed, of the seeds that both have; patients pair, because their resamples are shared.

    Args:
        ours, theirs: by seed, [1 + B]; the first draw is the rows as they are, and may be the only one.
    """
    return {seed: ours[seed] - theirs[seed] for seed in ours.keys() & theirs.keys()}


def holm(chances: Mapping[str, float]) -> dict[str, float]:
    """P-values of a family of comparisons, corrected for their number (Holm, Scand J Stat 6:65, 1979); an unknown one counts as 1."""
    found, least = dict[str, float](), 0.0
    known = {name: 1.0 if np.isnan(p) else p for name, p in chances.items()}
    for rank, name in enumerate(sorted(known, key=lambda name: known[name])):
        found[name] = least = max(least, min(1.0, (len(known) - rank) * known[name]))
    return found


def mean_draws(draws: Sequence[Draws] | NDArray[np.float64]) -> Draws:
    """Mean over judges, draw by draw."""
    return np.mean(draws, axis=0)
