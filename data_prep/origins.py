"""When the prediction for a stay is made: the end of its observation window, in minutes since the start of the stay."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_prep.tasks import Task

HALF_LIFE_HOURS = 24.0
"""Of the hourly origins, half lie within so many hours after the first one that is possible."""


def origins(task: Task, stays: pd.DataFrame, hours: int, seed: int) -> NDArray[np.int64]:
    """The origin of each stay, [N].

    `hourly` draws one whole hour a stay, from the first that has a full window onwards, out of one geometric distribution that
    is the same for every stay; who is no longer there at that hour has no row (a rule of the task sees to it). Given that a
    patient is there at hour t, the chance to be drawn at t is then the same whatever happens later, so the hour tells no more
    about the label than time since admission does at the bedside. To draw uniformly among the hours that a stay has would not
    do: short stays would be drawn from more densely, and at an early origin the end would be near more often than it is.

    Args:
        task: whose origins they are.
        stays: columns stay_id, minutes and where labels came with a time given_minute. An unknown time counts as `window`.
        hours: length of the window.
        seed: the origin of a stay depends on its id and this alone.
    """
    window = 60 * hours
    told = {"end": "minutes", "given": "given_minute"}.get(task.origin, "")
    if told in stays:
        minute = np.floor(stays[told].to_numpy(np.float64))
        return np.where(np.isfinite(minute), minute, window).astype(np.int64)
    if task.origin != "hourly":
        return np.full(len(stays), window, np.int64)
    drawn = uniform(stays["stay_id"].to_numpy(np.int64), seed)
    later = np.floor(-HALF_LIFE_HOURS * np.log2(1.0 - drawn))
    return window + 60 * later.astype(np.int64)


def uniform(key: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    """Numbers in [0, 1), one a key, the same for the same key and seed: SplitMix64 (Steele, Lea, Flood, OOPSLA 2014)."""
    with np.errstate(over="ignore"):
        state = _mixed(_mixed(np.full(len(key), seed, np.uint64)) ^ key.astype(np.uint64))
    return (state >> np.uint64(11)) / 2.0**53


def _mixed(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    state = state + np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
