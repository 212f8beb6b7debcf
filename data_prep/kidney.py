"""Acute kidney injury by KDIGO: the minute at which stage 1 is first reached, from creatinine, urine and weight.

KDIGO Clinical Practice Guideline for Acute Kidney Injury, Kidney International Supplements 2012, table 2. Dialysis is not read.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_prep.concepts import Concepts
from data_prep.tasks import NamedTask
from tardiff.errors import TardiffError

VARIABLES: dict[str, tuple[str, ...]] = {"aki_minute": ("creatinine", "urine", "weight")} | dict.fromkeys(
    ("aki_creatinine_minute", "creatinine_first_minute", "creatinine_last_minute"), ("creatinine",)
)
"""The columns that are computed here, and the variables of the dictionary that each needs."""

DAY = 1440.0
HISTORY = 7 * DAY
"""Creatinine is compared with results of so many minutes before, also from before the stay."""
RISE = (2 * DAY, 0.3)
"""An increase of 0.3 mg/dL within 48 h ..."""
RATIO = (HISTORY, 1.5)
"""... or to 1.5 times the lowest within 7 days ..."""
OLIGURIA = (360.0, 0.5)
"""... or less than 0.5 mL/kg/h of urine for 6 h."""
FINE = 1e6
"""Comparisons are made in whole millionths: 1.2 - 0.9 is 0.3, whatever floats say."""


def variables_of(named: NamedTask, concepts: Concepts, source: str) -> tuple[str, ...]:
    """The variables that must be read for a task: those of the columns computed here, and the channels that it looks at ahead.

    Raises:
        TardiffError: naming the task, the variable and the source that does not have it, or has it as a sum of others.
    """
    columns = sorted(named.task.columns & set(VARIABLES))
    channels = [leaf.channel for leaf in named.task.ahead if leaf.channel is not None]
    for name in channels:
        if name in concepts.variables and source in concepts.variables[name].sum_of:
            parts = ", ".join(concepts.variables[name].sum_of[source])
            raise TardiffError(
                f"task {named.name}: the channel {name} is a sum of {parts} in {source}; look at one that is charted as such"
            )
    needed = tuple(dict.fromkeys([*(name for column in columns for name in VARIABLES[column]), *channels]))
    for name in needed:
        if name not in concepts.variables or source not in concepts.variables[name].found:
            other = "; aki_creatinine needs creatinine alone" if named.name == "aki" and name != "creatinine" else ""
            raise TardiffError(f"task {named.name}: needs the variable {name}, which {source} does not have{other}")
    return needed


def kidney(stays: pd.DataFrame, entries: pd.DataFrame, horizon: float) -> pd.DataFrame:
    """The columns of `VARIABLES` for each stay, in minutes since its start; NaN where it never comes.

    Creatinine: a result reaches stage 1 if it is at least 0.3 mg/dL above the lowest of the 48 h before, or at least 1.5 times
    the lowest of the 7 days before.

    Urine: an entry stands for what was made since the entry before it (the first one: since the start of the stay). At an
    entry, those after the last one that is at least 6 h back (or after the start of the stay) are added up; below 0.5 mL for
    each kg and hour that they cover, stage 1 is reached. Nothing charted is nothing known, not nothing made. A stay
    without a weight charted before its origin is told by creatinine alone; otherwise its first weight counts.

    Args:
        stays: columns stay_id (distinct) and origin_minute.
        entries: columns stay_id, variable (creatinine in mg/dL, urine in mL, weight in kg), minute, value; only what is plausible.
        horizon: entries later than this many minutes after a stay's origin are not looked at.
    """
    entries = entries.merge(stays[["stay_id", "origin_minute"]], on="stay_id")
    entries = entries[entries["minute"] <= entries["origin_minute"] + horizon]
    creatinine, urine, weight = (entries[entries["variable"] == name] for name in ("creatinine", "urine", "weight"))
    weight = weight[weight["minute"] <= weight["origin_minute"]].sort_values(["stay_id", "minute", "value"]).drop_duplicates("stay_id")
    by_stay = creatinine.groupby("stay_id")["minute"]
    by_creatinine = _first(_risen(creatinine))
    by_urine = _first(_oliguric(urine, weight.set_index("stay_id")["value"]))
    columns = {
        "aki_minute": pd.concat([by_creatinine, by_urine]).groupby(level=0).min(),
        "aki_creatinine_minute": by_creatinine,
        "creatinine_first_minute": by_stay.min(),
        "creatinine_last_minute": by_stay.max(),
    }
    return pd.DataFrame({name: column.reindex(stays["stay_id"]).to_numpy(np.float64) for name, column in columns.items()}, stays.index)


def _risen(creatinine: pd.DataFrame) -> pd.DataFrame:
    """The results that reach stage 1."""
    results = creatinine.sort_values(["stay_id", "minute", "value"], ignore_index=True)
    value = results["value"].to_numpy()
    lowest = {within: _lowest_before(results, within) for within, _ in (RISE, RATIO)}
    risen = _fine(value) >= _fine(lowest[RISE[0]] + RISE[1])
    return results[risen | (_fine(value) >= _fine(RATIO[1] * lowest[RATIO[0]]))]


def _lowest_before(results: pd.DataFrame, within: float) -> NDArray[np.float64]:
    """The lowest earlier result of the same stay, at most `within` minutes old; infinite if there is none; [n]."""
    stay, minute, value = (results[name].to_numpy() for name in ("stay_id", "minute", "value"))
    lowest = np.full(len(results), np.inf)
    for back in range(1, len(results)):
        age = minute[back:] - minute[:-back]
        near = (stay[back:] == stay[:-back]) & (age <= within)
        if not near.any():  # sorted, so whatever is further back is older still
            break
        earlier = near & (age > 0)
        lowest[back:][earlier] = np.minimum(lowest[back:][earlier], value[:-back][earlier])
    return lowest


def _oliguric(urine: pd.DataFrame, weight: "pd.Series[float]") -> pd.DataFrame:
    """The entries of urine at which stage 1 is reached."""
    hours, rate = OLIGURIA[0] / 60, OLIGURIA[1]
    urine = urine[(urine["minute"] > 0) & urine["stay_id"].isin(weight.index)]
    volumes = urine.groupby(["stay_id", "minute"], as_index=False)["value"].sum()
    total = volumes.groupby("stay_id")["value"].cumsum().to_numpy()
    from_ = _last_at_least(hours * 60, volumes)
    within_stay = from_ >= 0
    since = np.where(within_stay, volumes["minute"].to_numpy()[from_], 0.0)
    volume = total - np.where(within_stay, total[from_], 0.0)
    covered = volumes["minute"].to_numpy() - since
    allowed = rate * volumes["stay_id"].map(weight).to_numpy(np.float64) * covered / 60
    return volumes[(covered >= hours * 60) & (_fine(volume) < _fine(allowed))]


def _last_at_least(minutes: float, rows: pd.DataFrame) -> NDArray[np.int64]:
    """Position of the same stay's last row that is at least so many minutes earlier, -1 if there is none; [n].

    Args:
        minutes: how much earlier.
        rows: sorted by stay_id and minute.
    """
    stay, minute = pd.factorize(rows["stay_id"])[0], rows["minute"].to_numpy()
    far = 2 * (minute.max(initial=0.0) + minutes)
    found = np.searchsorted(stay * far + minute, stay * far + minute - minutes, side="right") - 1
    return np.where((found >= 0) & (stay[found] == stay), found, -1)


def _first(rows: pd.DataFrame) -> "pd.Series[float]":
    return rows.groupby("stay_id")["minute"].min()


def _fine(value: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.rint(value * FINE)
