"""Conditions on what is charted after the prediction: whether a channel keeps beyond a limit, and for how long."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_prep.tasks import FALSE, ORDER, TRUE, UNKNOWN, Condition, minutes_of


def ahead(condition: Condition, stays: pd.DataFrame, entries: pd.DataFrame, horizon: float) -> NDArray[np.float64]:
    """Whether a condition on a channel holds for each stay: 1 true, 0 false, 0.5 unknown, [N].

    It holds if, between `from` (included) and `to` (excluded) after the origin, every comparison holds at an entry; with `for`, at
    this entry, at another one at least so long after it, and at all those between. Entries of one minute count as one, at which
    all of them must hold. Where nothing is charted in that time it is unknown; so is nothing else.

    Args:
        condition: with a channel.
        stays: columns stay_id (distinct) and origin_minute.
        entries: columns stay_id, variable, minute, value; only what is plausible.
        horizon: minutes of `horizon`.
    """
    begin, end, least = (minutes_of(text, {"origin": 0.0, "horizon": horizon}) for text in condition.span)
    rows = entries[entries["variable"] == condition.channel].merge(stays[["stay_id", "origin_minute"]], on="stay_id")
    rows = rows.assign(minute=rows["minute"] - rows["origin_minute"])
    rows = rows[(rows["minute"] >= begin) & (rows["minute"] < end)]
    value = rows["value"].to_numpy(np.float64)
    holds = np.all([ORDER[name](value, limit) for name, limit in condition.limits.items()], axis=0)
    charted = rows.assign(holds=holds).groupby(["stay_id", "minute"], as_index=False)["holds"].min()
    number = (~charted["holds"]).cumsum()  # those that hold, and are not parted by one that does not, have the same number
    runs = charted[charted["holds"]].groupby(["stay_id", number[charted["holds"]]])["minute"]
    long = runs.max() - runs.min() >= least
    met = long[long].index.get_level_values("stay_id")
    known = stays["stay_id"].isin(charted["stay_id"])
    return np.where(stays["stay_id"].isin(met), TRUE, np.where(known, FALSE, UNKNOWN))
