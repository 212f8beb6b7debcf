"""Events to an hourly grid: convert, keep what is plausible, prefer, aggregate. One ibis expression for every source."""

from collections.abc import Callable, Iterable
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_prep.concepts import Concepts

FIXED_POINT = 1e6
"""Sums run over whole numbers of this fraction, so that no order of addition changes a bit. Six decimals are kept."""

CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    # Some Celsius items hold Fahrenheit and the other way round, so the value decides: 60 °C and 60 °F are both impossible.
    "celsius": lambda value: (value >= 60).ifelse((value - 32) / 1.8, value),
    # A pH of 735 is 7.35 charted without its decimal point.
    "ph": lambda value: value.between(650, 800).ifelse(value / 100, value),
}


def hourly(events: ibis.Table, concepts: Concepts, source: str, names: tuple[str, ...], steps: int, step_hours: float) -> ibis.Table:
    """One row for each stay, channel and step in which something plausible was charted.

    Step k is half open: [k * step_hours, (k + 1) * step_hours) from the start of the stay. An entry outside a variable's
    limits is missing before anything is aggregated. Within a step the first group of places that has a value wins.
    "last" breaks ties by minute, then by value. A sum is held inside the limits.

    Args:
        events: as `Source.events` gives them.
        concepts: the dictionary.
        source: the source's key in it.
        names: the variables; a channel is a position in them.
        steps: how many steps.
        step_hours: width of a step.

    Returns:
        Columns stay_id, channel, step (int64), value (float64).
    """
    window = 60.0 * step_hours * steps
    inside = (events.minute >= 0) & (events.minute < window) & (events.available_minute < window)
    rules = ibis.memtable(_rules(concepts, source, names))
    entries = events.filter(inside).inner_join(rules, "item")
    entries = entries.mutate(value=_converted(entries))
    entries = entries.filter(entries.value.between(entries.low, entries.high))
    entries = entries.mutate(
        step=(entries.minute / (60.0 * step_hours)).floor().cast("int64"),
        value=entries.value * entries.sign,
    )
    aggregations = {concepts.variables[name].aggregation for name in names}
    groups = entries.group_by("stay_id", "channel", "step", "rank").aggregate(
        value=_aggregated(entries, sorted(aggregations)), low=entries.low.min(), high=entries.high.max()
    )
    held = groups.mutate(value=ibis.greatest(groups.low, ibis.least(groups.high, groups.value)))
    return held.group_by("stay_id", "channel", "step").aggregate(value=held.value.argmin(held["rank"]))


def to_arrays(cells: pa.Table, stay_ids: NDArray[np.int64], channels: int, steps: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Values float32 [N, C, T] (NaN unobserved) and mask uint8 [N, C, T] of the stays, which must be sorted and distinct."""
    values = np.full((len(stay_ids), channels, steps), np.nan, np.float32)
    stay = cells["stay_id"].to_numpy()
    known = np.isin(stay, stay_ids)
    row = np.searchsorted(stay_ids, stay[known])
    values[row, cells["channel"].to_numpy()[known], cells["step"].to_numpy()[known]] = cells["value"].to_numpy()[known]
    return values, np.isfinite(values).astype(np.uint8)


def _rules(concepts: Concepts, source: str, names: tuple[str, ...]) -> pa.Table:
    """For each item and channel: how to convert it, what is plausible, and the rank of its group."""
    rows = [
        {
            "item": place.item,
            "channel": channel,
            "rank": rank,
            "convert": place.convert,
            "sign": float(place.sign),
            "low": concepts.variables[name].limits[0],
            "high": concepts.variables[name].limits[1],
            "aggregation": concepts.variables[name].aggregation,
        }
        for channel, name in enumerate(names)
        for rank, group in enumerate(concepts.variables[name].found[source])
        for place in group
    ]
    return pa.Table.from_pylist(rows)


def _converted(entries: ibis.Table) -> Any:
    branches = [(entries.convert == name, convert(entries.value)) for name, convert in CONVERSIONS.items()]
    return ibis.cases(*branches, else_=entries.value)


def _aggregated(entries: ibis.Table, aggregations: Iterable[str]) -> Any:
    """The aggregate that each group's channel asks for; only the kinds that occur are computed."""
    total = (entries.value * FIXED_POINT).round().cast("int64").sum().cast("float64") / FIXED_POINT
    by_kind = {
        "mean": total / entries.count(),
        "sum": total,
        "max": entries.value.max(),
        "last": entries.value.argmax(ibis.struct({"minute": entries.minute, "value": entries.value})),
    }
    kind = entries.aggregation.min()
    return ibis.cases(*((kind == name, by_kind[name]) for name in aggregations))
