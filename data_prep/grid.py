"""Events to an hourly grid: convert, keep what is plausible, prefer, aggregate. One ibis expression for every source."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_prep.concepts import Concepts, Place, Variable

DECIMALS = 6
"""Sums run over whole numbers of a fraction, so that no order of addition changes a bit. So many decimals are kept, ..."""
DIGITS = 12
"""... but of variables whose limits are at most 1, or beyond a million, so many digits counted from those of the limits."""
SMALL = 2**24
"""Below so many whole numbers single precision could tell more: of such a value, what is left of it is kept as well, ..."""
FINER = 1e12
"""... in so many parts of a whole number, at most half of which are left. Sums of a million of them have room, too."""

LOOK_BACK = 24 * 60.0
"""Minutes before the start of a stay from which on a first value counts: weight and height are often charted on the way in."""

UNOBSERVED = 255
"""Stands for the rank of a group of places where none has a value."""

WORDS = pa.schema({"item": pa.string(), "channel": pa.int64(), "text": pa.string(), "number": pa.float64(), "known": pa.bool_()})

CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    # Some Celsius items hold Fahrenheit and the other way round, so the value decides: 60 °C and 60 °F are both impossible.
    "celsius": lambda value: (value >= 60).ifelse((value - 32) / 1.8, value),
    # Fractions and percentages are charted under one item. What lies between them (litres a minute) is left for the limits to drop.
    "fio2": lambda value: (value <= 1).ifelse(value * 100, value),
    # A pH of 735 is 7.35 charted without its decimal point.
    "ph": lambda value: value.between(650, 800).ifelse(value / 100, value),
}


def decimals(limits: tuple[float, float]) -> int:
    """How many decimals of a variable with these limits are kept: the limits in whole numbers of that fraction have room in 64 bits."""
    largest = max(abs(limits[0]), abs(limits[1]))
    return DECIMALS if 1 < largest <= 1e6 else DIGITS - math.ceil(math.log10(largest))


@dataclass(frozen=True)
class Grid:
    """The slots of an array [row, channel, step], and what a source has to fill them.

    Attributes:
        concepts: the dictionary.
        source: the source's key in it.
        names: the variables; a channel is a position in them.
        steps: how many steps.
        step_hours: width of a step.
        parts: variables that are read for the sake of a sum only; channels after `names`.
        first: variables of which a row has one value, the first between `LOOK_BACK` and the window's end; channels after
            `parts`, in step 0.
        as_charted: entries count from when they were charted, even if they became known only after the window.
    """

    concepts: Concepts
    source: str
    names: tuple[str, ...]
    steps: int = 1
    step_hours: float = 1.0
    parts: tuple[str, ...] = ()
    first: tuple[str, ...] = ()
    as_charted: bool = False

    @property
    def channels(self) -> tuple[str, ...]:
        """The variable of every channel."""
        return (*self.names, *self.parts, *self.first)

    @property
    def variables(self) -> tuple[Variable, ...]:
        """What the dictionary says of the variable of every channel."""
        return tuple(self.concepts.variables[name] for name in self.channels)

    @property
    def aggregations(self) -> tuple[str, ...]:
        """What every channel holds of the entries of a step; "first" if it is one of `first`."""
        return (*(self.concepts.variables[name].aggregation for name in (*self.names, *self.parts)), *["first"] * len(self.first))

    def places(self) -> Iterator[tuple[int, Variable, int, Place]]:
        """Where each channel is found: the channel, its variable, the rank of a group of places, and a place."""
        for channel, variable in enumerate(self.variables):
            for rank, group in enumerate(variable.found[self.source]):
                yield from ((channel, variable, rank, place) for place in group)

    @property
    def fractions(self) -> NDArray[np.float64]:
        """[channels] how many whole numbers of a total make 1."""
        return np.array([10.0 ** decimals(variable.limits) for variable in self.variables])

    @property
    def minutes(self) -> float:
        """Length of the window."""
        return 60.0 * self.steps * self.step_hours

    @property
    def row_slots(self) -> int:
        """How many slots a row has."""
        return len(self.channels) * self.steps


def hourly(events: ibis.Table, windows: ibis.Table, grid: Grid) -> ibis.Table:
    """One row for each slot of the grid, and each group of places, in which something plausible was charted.

    Step k is half open: [k * step_hours, (k + 1) * step_hours) from the start of a window. An entry outside a variable's
    limits is missing before anything is aggregated. An entry that became known after its window is left out. "last" breaks
    ties by minute, by when it became known, by `order`, then by value. A variable that is a sum of others has a value where
    all of them have one in the same step.

    Numbers are whole fractions of a unit (see `decimals`), so that every database gives the same bits. A small number has a rest: a
    value of 1e-9 between limits 0 and 100 is 0 such fractions and a rest. Of a value with no more decimals than that it is 0.

    Args:
        events: as `Source.events` gives them.
        windows: stay_id, row (int64), start (float64, the minute at which step 0 begins).
        grid: the slots.

    Returns:
        Columns slot (int64, (row * channels + channel) * steps + step), rank (int64, of the group of places; the lowest wins),
        total (int64, sum of the values in those fractions), rest (int64, the sum of what they leave, in parts of a fraction) and
        entries (int64, how many they are).
    """
    placed = _placed(events.inner_join(windows, "stay_id"), grid)
    since = placed.minute - placed.start
    known = since if grid.as_charted else placed.available_minute - placed.start
    earliest = since >= 0
    if grid.first:
        earliest = (placed.aggregation == "first").ifelse(placed.minute >= -LOOK_BACK, earliest)
    inside = placed.filter(earliest, since < grid.minutes, known < grid.minutes)
    step = ((inside.minute - inside.start) / (60.0 * grid.step_hours)).floor().cast("int64")
    if grid.first:
        step = (inside.aggregation == "first").ifelse(0, step)
    slots = inside.mutate(slot=(inside["row"] * len(grid.channels) + inside.channel) * grid.steps + step)
    signed = _plausible(slots, grid)
    signed = signed.mutate(value=signed.value * signed.sign)
    entries = signed.mutate(total=(signed.value * signed.fraction + 0.5).floor().cast("int64"))
    left = (entries.value - entries.total.cast("float64") / entries.fraction) * entries.fraction * FINER
    entries = entries.mutate(rest=(entries.total.abs() < SMALL).ifelse((left + 0.5).floor(), 0).cast("int64"))
    late = ("minute", "available_minute", *(["order"] if "order" in entries.columns else []))
    best = {
        "last": (ibis.desc, (*late, "total", "rest")),
        "max": (ibis.desc, ("total", "rest")),
        "first": (ibis.asc, (*late, "total", "rest")),
    }
    parts = [entries.filter(entries.aggregation.isin(["mean", "sum"]))] if {"mean", "sum"} & {*grid.aggregations} else []
    parts += [_best(entries.filter(entries.aggregation == kind), *best[kind]) for kind in best if kind in grid.aggregations]
    together = ibis.union(*(part.select("slot", "rank", "total", "rest") for part in parts))
    sums = {name: together[name].sum().cast("int64") for name in ("total", "rest")}
    found = together.group_by("slot", "rank").aggregate(**sums, entries=together.count())
    return ibis.union(found, *(_summed(found, grid, name) for name in grid.names if grid.concepts.variables[name].sum_of.get(grid.source)))


def plausible(events: ibis.Table, grid: Grid) -> ibis.Table:
    """The entries of the variables of a grid that lie within their limits, whenever they were charted.

    Args:
        events: as `Source.events` gives them.
        grid: whose channels they are.

    Returns:
        Columns stay_id, channel, minute, value.
    """
    entries = _plausible(_placed(events, grid), grid)
    return entries.select("stay_id", "channel", "minute", value=entries.value * entries.sign)


def _placed(events: ibis.Table, grid: Grid) -> ibis.Table:
    """Each entry once for every channel that it serves, with the rules for it there."""
    placed = events.inner_join(ibis.memtable(rules_of(grid)), "item")
    if "specimen" not in placed.columns:
        return placed
    return placed.filter((placed.needs == "") | (placed.specimen == placed.needs))  # blood gases of arterial blood only, where it asks so


def _plausible(placed: ibis.Table, grid: Grid) -> ibis.Table:
    """What `_placed` gives, with numbers for words, converted, and within limits."""
    numbers = worded(placed, grid)
    values = numbers.mutate(value=converted(numbers))
    return values.filter(values.value.between(values.low, values.high))


def _summed(found: ibis.Table, grid: Grid, name: str) -> ibis.Table:
    """The slots of a variable that is a sum of others: those of its parts, where all of them are there."""
    variables = grid.concepts.variables
    parts = variables[name].sum_of[grid.source]
    channels = [grid.channels.index(part) for part in parts]
    places = decimals(variables[name].limits)
    low, high = (round(limit * 10.0**places) for limit in variables[name].limits)
    channel = (found.slot / grid.steps).floor().cast("int64") % len(grid.channels)
    of_parts = found.mutate(channel=channel).filter(lambda table: table.channel.isin(channels))
    shift = (grid.names.index(name) - of_parts.channel) * grid.steps
    more = {grid.channels.index(part): places - decimals(variables[part].limits) for part in parts}
    numbers = {name: of_parts[name] for name in ("total", "rest")}
    if any(more.values()):  # parts that keep other decimals
        factor = ibis.cases(*((of_parts.channel == channel, 10.0**by) for channel, by in more.items()), else_=1.0)
        numbers = {name: (column * factor).round().cast("int64") for name, column in numbers.items()}
    moved = of_parts.mutate(slot=of_parts.slot + shift, **numbers)
    added = {name: moved[name].sum().cast("int64") for name in numbers}
    sums = moved.group_by("slot").aggregate(rank=moved["rank"].min(), **added, there=moved.count())
    whole = sums.filter(sums.there == len(parts), sums.total.between(low, high))
    return whole.select("slot", "rank", *numbers, entries=ibis.literal(1, "int64"))


def _best(entries: ibis.Table, direction: Callable[..., Any], columns: Sequence[str]) -> ibis.Table:
    """Of each slot's entries in a group of places the one that comes first by these columns, one after the other."""
    keys = [direction(entries[column], nulls_first=False) for column in columns]
    place = entries.mutate(place=ibis.row_number().over(group_by=["slot", "rank"], order_by=keys))
    return place.filter(place.place == 0)


def to_arrays(
    batches: Iterable[pa.RecordBatch], grid: Grid, row: NDArray[np.int64], length: NDArray[np.int32]
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Fill the arrays, a batch of slots at a time.

    Of several groups of places the one of the lowest rank wins. "mean" divides by the entries; a sum is held inside the
    limits. Steps beyond a row's length stay empty.

    Args:
        batches: of the columns that `hourly` gives.
        grid: the slots.
        row: [rows of `windows`] the row of the arrays, -1 for one that is left out.
        length: int32 [N], valid steps of the rows of the arrays.

    Returns:
        values float32 [N, C, T] (NaN unobserved) and mask uint8 [N, C, T].
    """
    shape = (len(length), len(grid.names), grid.steps)
    row_slots = len(grid.names) * grid.steps
    values, best = np.full(shape, np.nan, np.float32), np.full(shape, UNOBSERVED, np.uint8)
    limits = np.array([variable.limits for variable in grid.variables])
    averaged = np.array(grid.aggregations) == "mean"
    fractions = grid.fractions
    for batch in batches:
        from_row, place = np.divmod(batch["slot"].to_numpy(), grid.row_slots)
        channel, step = np.divmod(place, grid.steps)
        to_row = row[from_row]
        valid = (to_row >= 0) & (channel < len(grid.names))
        valid[valid] = step[valid] < length[to_row[valid]]
        at, channel = (to_row * row_slots + place)[valid], channel[valid]
        rank, entries = batch["rank"].to_numpy()[valid], batch["entries"].to_numpy()[valid]
        divisor = np.where(averaged[channel], entries, 1)
        total, rest = (batch[name].to_numpy()[valid] / divisor for name in ("total", "rest"))
        value = total / fractions[channel] + rest / fractions[channel] / FINER
        _keep_best(values.reshape(-1), best.reshape(-1), at, rank, np.clip(value, limits[channel, 0], limits[channel, 1]))
    np.not_equal(best, UNOBSERVED, out=best.view(bool))
    return values, best


def first_values(batches: Iterable[pa.RecordBatch], grid: Grid, rows: int) -> dict[str, NDArray[np.float64]]:
    """The one value [rows] of each variable in `grid.first`, NaN where there is none; the rest as in `to_arrays`."""
    values, best = np.full((len(grid.first), rows), np.nan), np.full((len(grid.first), rows), UNOBSERVED, np.uint8)
    before, fractions = len(grid.names) + len(grid.parts), grid.fractions
    for batch in batches:
        row, place = np.divmod(batch["slot"].to_numpy(), grid.row_slots)
        channel = place // grid.steps
        chosen = channel >= before
        row, channel = row[chosen], channel[chosen]
        total, rest, rank = (batch[name].to_numpy()[chosen] for name in ("total", "rest", "rank"))
        value = total / fractions[channel] + rest / fractions[channel] / FINER
        _keep_best(values.reshape(-1), best.reshape(-1), (channel - before) * rows + row, rank, value)
    return dict(zip(grid.first, values, strict=True))


def _keep_best(
    values: NDArray[Any], best: NDArray[np.uint8], at: NDArray[np.int64], rank: NDArray[np.int64], value: NDArray[np.float64]
) -> None:
    """Put values in their places, where none of a lower rank stands yet."""
    for group in np.unique(rank)[::-1]:  # the best group of places last, so that it stays
        chosen = (rank == group) & (best[at] > group)
        values[at[chosen]], best[at[chosen]] = value[chosen], group


def rules_of(grid: Grid) -> pa.Table:
    """For each item and channel: how to convert it, what is plausible, and the rank of its group."""
    rows = [
        {
            "item": place.item,
            "channel": channel,
            "rank": rank,
            "scale": place.scale,
            "only_texts": place.only_texts,
            "convert": place.convert,
            "sign": place.sign,
            "fraction": 10.0 ** decimals(variable.limits),
            "needs": place.specimen,
            "low": (place.limits or variable.limits)[0],
            "high": (place.limits or variable.limits)[1],
            "aggregation": grid.aggregations[channel],
        }
        for channel, variable, rank, place in grid.places()
    ]
    return pa.Table.from_pylist(rows)


def worded(entries: ibis.Table, grid: Grid) -> ibis.Table:
    """The entries, where a charted word that the dictionary knows stands for its number; null if it stands for none."""
    words = [
        {"item": place.item, "channel": channel, "text": text, "number": number, "known": True}
        for channel, _, _, place in grid.places()
        for text, number in place.texts.items()
    ]
    if not words or "text" not in entries.columns:
        return entries
    table = ibis.memtable(pa.Table.from_pylist(words, schema=WORDS))
    joined = entries.left_join(table, ["item", "channel", "text"])
    value = ibis.cases((joined.known.fill_null(False), joined.number), (joined.only_texts, ibis.null("float64")), else_=joined.value)
    return joined.select(*entries.drop("value").columns, value=value)


def converted(entries: ibis.Table) -> Any:
    """The values in the units of their variables, by the rules beside them."""
    value = entries.value * entries.scale
    branches = [(entries.convert == name, convert(value)) for name, convert in CONVERSIONS.items()]
    return ibis.cases(*branches, else_=value)
