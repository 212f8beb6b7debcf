"""What is charted, entry by entry: nothing, the value before, or a new value on one of the channel's grids.

A grid is what a unit writes its values on: whole numbers, halves, thirds of two decimals, tenths. Its share of a stay's values
belongs to the stay (one device gives whole numbers, another thirds; the mean of two measurements in an hour ends in .5), so it is
part of what is charted. A chart [N, C, T] holds a symbol an entry: `ABSENT`, `REPEAT`, or `FIRST_GRID` + the number of a grid.
"""

from collections.abc import Iterable
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

ABSENT, REPEAT, FIRST_GRID = 0, 1, 2

LEADING = (1.0, 2.0, 2.5, 5.0, 50 / 9)
"""A grid's step is one of these times a power of ten (the last is Fahrenheit's in Celsius), or a whole fraction of the coarsest such
step."""
FRACTIONS = (2, 3, 4, 5, 6, 8, 10, 18, 20, 100)
COMMON = 0.6
"""Share of values that the coarsest grid holds, at least."""
RARE = 0.005
"""Share of values below which a grid is not worth a symbol."""
HEAP = 1.5
"""How many times as many as by chance are not chance."""
MOST = 6
DIGITS = 6
"""Of the largest value, beyond which no step is looked for."""
PERIOD = 20
"""Multiples of a grid in a row that are charted as often as the next so many: tenths of Celsius that come from Fahrenheit have five."""
PRIOR = 10
"""Values of each digit that are there before any is seen."""
NEAR = 10
"""Multiples around every tenth one, among which some are preferred: so wide the line is bent, and no more."""
SIDES = 3
"""Places that are tried on either side of a value, where nearer ones stand on a coarser grid."""

Values = NDArray[np.float64]


class Grid(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """Multiples of `step` (0: any number), written with `decimals` decimals (None: in full).

    Attributes:
        digits: how often each multiple of `PERIOD` in a row is charted, in units of the mean of `NEAR`: hands and devices prefer some
            digits, and round large values more. The first row is of the first `PERIOD` multiples on either side of 0, the second of the
            next, the third of the next two times as many, and so on; the last one holds for all that follow. A preferred multiple fills a
            wider cell of the line, so that a smooth density over the line is the preferences' when each number is written as the multiple
            whose cell it is in. Empty: all alike.
    """

    step: float
    decimals: int | None = None
    digits: tuple[tuple[float, ...], ...] = ()
    alone: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.step < float("inf"):
            raise ValueError("step must be a finite number from 0 on")
        if not all(len(row) == PERIOD and min(row) >= 0 and abs(sum(row) / PERIOD - 1) < 1e-6 for row in self.digits):
            raise ValueError(f"digits must be rows of {PERIOD}, at least 0, and 1 in the mean")

    def holds(self, value: Values) -> NDArray[np.bool_]:
        """Whether each value, stored as float32, stands on this grid."""
        return np.abs(self._written(self._number(value)) - value) <= 3e-7 * np.abs(value) + 2e-6 * self.step

    def cells(self, value: Values) -> tuple[Values, Values]:
        """Middle and width of the cell of each value on this grid."""
        if not self.step:
            return value, np.zeros_like(value)
        block, digit = np.divmod(self._number(value) + NEAR // 2, PERIOD)
        low, high = (self._ends[self._row(block), digit.astype(np.intp) + end] for end in (0, 1))
        return (block * PERIOD + (low + high) / 2) * self.step, (high - low) * self.step

    def nearest(self, value: Values) -> Values:
        """The value on this grid whose cell holds each number."""
        return self._written(self._number_of_cell(value))

    def around(self, value: Values, limits: tuple[float, float]) -> Values:
        """Values of this grid by their distance from each number, the first of them within the limits if any is, [..., 1 + 2 SIDES]."""
        if self.alone or not self.step:
            return np.repeat(self._written(self._number(np.clip(value, *limits)))[..., None], 1 + 2 * SIDES, axis=-1)
        number = np.clip(self._number_of_cell(value), np.ceil(limits[0] / self.step - 1e-6), np.floor(limits[1] / self.step + 1e-6))
        side = np.where(value >= self.cells(self._written(number))[0], 1.0, -1.0)
        away = [0.0 * side] + [sign * n * side for n in range(1, SIDES + 1) for sign in (1, -1)]
        return self._written(number[..., None] + np.stack(away, axis=-1))

    def multiples(self, low: float, high: float) -> Values:
        """All values of this grid within low .. high; none of one that holds any number."""
        if not self.step:
            return np.empty(0)
        return self._written(np.arange(np.ceil(low / self.step - 1e-6), np.floor(high / self.step + 1e-6) + 1))

    def fitted(self, value: Values) -> "Grid":
        """This grid with the digits of the values on it [n], if they span them all; few values change little."""
        number = self._number(value).astype(np.int64)
        if not self.step or not len(number) or np.ptp(np.quantile(number, (0.05, 0.95))) < PERIOD or np.ptp(number) > 10**DIGITS:
            return self
        (first, last), at = (np.array([number.min(), number.max()]) + NEAR // 2) // PERIOD, number + NEAR // 2
        count = np.bincount(at - first * PERIOD, minlength=(last - first + 1) * PERIOD).reshape(-1, NEAR)
        possible: NDArray[np.bool_] = np.zeros(count.size, bool)
        possible[at.min() - first * PERIOD : at.max() + 1 - first * PERIOD] = True
        possible = possible.reshape(-1, NEAR)
        expected = possible * count.sum(axis=1, keepdims=True) / np.maximum(1, possible.sum(axis=1, keepdims=True))
        count, expected = count.reshape(-1, PERIOD), expected.reshape(-1, PERIOD)
        row = _band(np.arange(first, last + 1))
        digits = [(count.sum(axis=0) + PRIOR) / (expected.sum(axis=0) + PRIOR)]
        for k in range(row.max() + 1):  # what few values do not tell is as before
            digits.append((count[row == k].sum(axis=0) + PRIOR * digits[-1]) / (expected[row == k].sum(axis=0) + PRIOR))
        near = np.array(digits[1:]).reshape(-1, NEAR)
        of_row = (near / near.mean(axis=1, keepdims=True)).reshape(-1, PERIOD)
        return msgspec.structs.replace(self, digits=tuple(map(tuple, of_row.tolist())))

    @cached_property
    def _ends(self) -> Values:
        """Where the cells of `PERIOD` multiples begin and end, in steps from the first of them, [rows, PERIOD + 1]."""
        return np.cumsum(np.insert(np.array(self.digits or [[1.0] * PERIOD]), 0, -(NEAR // 2) - 0.5, axis=1), axis=1)

    def _row(self, block: Values) -> NDArray[np.intp]:
        """The row of digits that holds for each block of `PERIOD` multiples."""
        return np.minimum(_band(block), len(self._ends) - 1)

    def _number(self, value: Values) -> Values:
        if self.alone:
            return np.zeros_like(value)
        return np.rint(value / self.step) if self.step else value

    def _number_of_cell(self, value: Values) -> Values:
        if self.alone or not self.step:
            return self._number(value)
        block = np.floor((value / self.step + NEAR // 2 + 0.5) / PERIOD)
        row, place, digit = self._row(block), value / self.step - block * PERIOD, np.zeros(value.shape, np.intp)
        for k, ends in enumerate(self._ends):
            digit = np.where(row == k, np.searchsorted(ends, place, side="right") - 1, digit)
        return block * PERIOD + np.clip(digit, 0, PERIOD - 1) - NEAR // 2

    def _written(self, number: Values) -> Values:
        value = number * self.step if self.step else number
        return value if self.decimals is None else np.round(value, self.decimals)


def _band(block: NDArray[Any]) -> NDArray[np.intp]:
    """0 for the first block on either side of 0, 1 for the next, 2 for the next two, 3 for the next four, and so on."""
    return np.frexp(np.where(block < 0, -block - 1, block))[1].astype(np.intp)


FREE = Grid(0.0)
WHOLE = Grid(1.0)


def channel_grids(value: NDArray[np.floating]) -> tuple[Grid, ...]:
    """The grids of a channel's observed values [n].

    Where nothing lies below 0, and 0 is not rare, it is a grid of its own: a stay without urine has many of it, others none.
    """
    if len(value) and value.min() == 0 < value.max() and np.mean(value == 0) >= RARE:
        grids = fit_grids(value[value > 0])
        return (Grid(grids[0].step or 1.0, alone=True), *grids)
    return fit_grids(value)


def fit_grids(value: NDArray[np.floating]) -> tuple[Grid, ...]:
    """The grids of observed values [n], coarsest first; the last one holds every value."""
    left = value.astype(np.float64)
    base = next((grid for grid in _coarse(left) if grid.holds(left).mean() >= COMMON), None) if len(left) else None
    if base is None:
        return (FREE,)
    grids, fewest = [base], max(1.0, RARE * len(left))
    left = left[~base.holds(left)]
    fractions = [Grid(base.step / n, decimals) for n in FRACTIONS for decimals in _decimals(base.step / n)]
    decimal = list(_coarse(value.astype(np.float64)))
    for grid in sorted([*fractions, *decimal], key=lambda grid: -grid.step):
        held = grid.holds(left)
        if len(grids) < MOST and held.sum() >= fewest and (grid in fractions or _heaped(grid, decimal, left)):
            grids.append(grid)
            left = left[~held]
    return (*grids, FREE) if len(left) else tuple(grids)


def _heaped(grid: Grid, decimal: list[Grid], left: Values) -> bool:
    """Whether more values stand on a decimal grid than would by chance, if a finer one that contains it were theirs."""
    ratios = [(other, grid.step / other.step) for other in decimal]
    finer = [(other, ratio) for other, ratio in ratios if 1.5 < ratio < 10.5 and abs(ratio - round(ratio)) < 1e-6]
    return all(grid.holds(left).sum() * ratio > HEAP * other.holds(left).sum() for other, ratio in finer)


def _coarse(value: Values) -> Iterable[Grid]:
    """Grids from the size of the values downwards."""
    size = np.abs(value).max()
    if not size:
        return
    top = int(np.ceil(np.log10(size)))
    for power in range(top, top - DIGITS, -1):
        for leading in reversed(LEADING):
            yield Grid(float(f"{leading}e{power}"))


def _decimals(step: float) -> tuple[int | None, ...]:
    """In full, and what software writes of a fraction that has no end, if that still tells its multiples apart."""
    ends = abs(step - round(step, 6)) < 1e-12
    return (*(d for d in (2, 1) if not ends and 10.0**-d <= step / 3), None)


def grid_of(value: Values, grids: tuple[Grid, ...]) -> NDArray[np.int8]:
    """The number of the first grid that holds each value."""
    number = np.full(value.shape, len(grids) - 1, np.int8)
    for k in reversed(range(len(grids))):
        number[grids[k].holds(value)] = k
    return number


def cells_of(value: Values, grids: tuple[Grid, ...]) -> tuple[Values, Values]:
    """Middle and width of the cell of each value, on the first grid that holds it."""
    number = grid_of(value, grids)
    middle, width = (np.stack(parts) for parts in zip(*(grid.cells(value) for grid in grids), strict=True))
    return np.take_along_axis(middle, number[None], 0)[0], np.take_along_axis(width, number[None], 0)[0]


def chart_of(value: Values, mask: NDArray[np.bool_], grids: tuple[Grid, ...]) -> NDArray[np.int8]:
    """Symbols of one channel, [N, T]; a value that equals the charted one before is a repeat."""
    chart = np.where(mask, FIRST_GRID + grid_of(np.where(mask, value, 0.0), grids), ABSENT)
    chart[mask & (value == before(value, mask))] = REPEAT
    return chart.astype(np.int8)


def before(value: Values, mask: NDArray[np.bool_]) -> Values:
    """The charted value before each step, [..., T]; NaN where there is none."""
    last = np.maximum.accumulate(np.where(mask, np.arange(mask.shape[-1]), -1), axis=-1)
    last = np.concatenate([np.full_like(last[..., :1], -1), last[..., :-1]], axis=-1)
    return np.where(last >= 0, np.take_along_axis(value, np.maximum(last, 0), axis=-1), np.nan)


def settle(value: Values, chart: NDArray[np.integer], grids: tuple[Grid, ...], limits: tuple[float, float]) -> Values:
    """One channel's values as they would be charted, [N, T]; NaN where nothing is.

    A new value is the nearest within the limits that stands on its grid, on no coarser one, and is not the one before, which would
    be a repeat; the nearest of the grid if there is none. A repeat with nothing before it is a new value on the coarsest grid.
    """
    number = np.where(chart >= FIRST_GRID, chart - FIRST_GRID, 0)
    near = np.empty((*value.shape, 1 + 2 * SIDES))
    for k, grid in enumerate(grids):
        places = grid.around(value, limits)
        wrong = (places < limits[0]) | (places > limits[1])
        for coarser in grids[:k]:
            wrong |= coarser.holds(places)
        near = np.where((number == k)[..., None], np.where(wrong, np.nan, places), near)
    fallback = np.clip(np.choose(number, [grid.nearest(value) for grid in grids]), *limits)
    result, previous = np.full(value.shape, np.nan), np.full(len(value), np.nan)
    for t in range(value.shape[1]):
        apart = np.isfinite(near[:, t]) & ~np.isclose(near[:, t], previous[:, None], rtol=3e-7, atol=0)
        first = apart.argmax(axis=1)
        new = np.where(apart.any(axis=1), near[np.arange(len(near)), t, first], fallback[:, t])
        repeats = (chart[:, t] == REPEAT) & np.isfinite(previous)
        now = np.where(repeats, previous, new)
        result[:, t] = np.where(chart[:, t] == ABSENT, np.nan, now)
        previous = np.where(chart[:, t] == ABSENT, previous, now)
    return result
