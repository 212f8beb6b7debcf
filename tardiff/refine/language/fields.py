"""What may be written of each descriptor and channel of a row: the texts, and the value that each stands for."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tardiff.data.codec import Codec
from tardiff.data.resolution import ABSENT, Grid
from tardiff.data.statics import StaticModel
from tardiff.errors import TardiffError

MISSING = "missing"
MOST = 20_000
"""Numbers that a field may choose from; finer grids are left out."""
DECIMALS = 6
LEVELS = 100
"""Numbers of a field that stands on no grid, at least."""


@dataclass(frozen=True)
class Field:
    """One variable of a row.

    Attributes:
        name: as it is written.
        texts: what may be written of it.
        values: what each text stands for, [n], rising: physical units or the index of a category, at last NaN if it may be missing.
    """

    name: str
    texts: tuple[str, ...]
    values: NDArray[np.float64]

    def choices(self, column: NDArray[np.floating]) -> NDArray[np.int64]:
        """Index of the text nearest to each value, [N]; -1 where a value is missing and none may be."""
        may_be_missing = bool(np.isnan(self.values[-1]))
        known = self.values[:-1] if may_be_missing else self.values
        if not len(known):
            return np.zeros(len(column), np.int64)
        middle = (known[1:] + known[:-1]) / 2
        nearest = np.searchsorted(middle, column.astype(np.float64))
        return np.where(np.isfinite(column), nearest, len(known) if may_be_missing else -1).astype(np.int64)

    def unlike(self, column: NDArray[np.floating], choice: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Where what is written [N] is not the value, but the nearest one that may be."""
        written = self.values[choice]
        return np.isfinite(column) & ~np.isclose(written, column, rtol=1e-6, atol=1e-6)


def row_fields(codec: Codec, statics: StaticModel) -> tuple[Field, ...]:
    """The fields of a row: descriptors, then channels, in the data set's order.

    Numbers lie within the limits of their variable and the range of its fitted map, on the grids on which it is charted. What no
    training row lacks cannot be missing.

    Raises:
        TardiffError: a category is called as a missing value is written.
    """
    numbers, fields = iter(statics.numbers), []
    shares = {table.variable: np.array(table.share).max(axis=(0, 1)) for table in statics.tables}
    for s, static in enumerate(statics.statics):
        missing = bool(shares[s][-1] > 0)
        if static.kind == "categorical":
            if MISSING in static.categories:
                raise TardiffError(f"descriptor {static.name}: category {MISSING!r} is how a missing value is written; rename it")
            seen = np.flatnonzero(shares[s][:-1] > 0)
            fields.append(_field(static.name, [static.categories[code] for code in seen], seen.astype(np.float64), missing))
        else:
            number = next(numbers)
            low, high = number.map.value[0], number.map.value[-1]
            if static.limits is not None:
                low, high = max(low, static.limits[0]), min(high, static.limits[1])
            fields.append(_number(static.name, number.grids, low, high, missing))
    for c, channel in enumerate(codec.channels):
        low, high = codec.range_of(c)
        fields.append(_number(channel.name, codec.grids[c], low, high, codec.symbol_rate[c][ABSENT] > 0))
    return tuple(fields)


def _number(name: str, grids: Sequence[Grid], low: float, high: float, missing: bool) -> Field:
    """A number on any of its grids, coarsest first; decimal ones if it stands on none; the middle one if it is a constant."""
    written: dict[str, float] = {}
    decimal = Grid(10.0 ** math.floor(math.log10(max(high - low, 10.0**-DECIMALS) / LEVELS)))
    for of in [grid for grid in grids if grid.step] or [decimal]:
        grid = of
        while not written and (high - low) / grid.step > MOST:
            grid = Grid(10 * grid.step)
        if (high - low) / grid.step <= MOST - len(written):
            multiples = grid.multiples(low, high)
            middle, _ = grid.cells(multiples)  # which a map's range must hold, or decoding finds another value
            for number in multiples[(low <= middle) & (middle <= high)].tolist():
                written.setdefault(_text(number, grid.step), number)
    if not written:
        constant = float(grids[0].nearest(np.array((low + high) / 2)))
        written = {_text(constant, 0): constant}
    ordered = sorted(written.items(), key=lambda item: item[1])
    return _field(name, [text for text, _ in ordered], np.array([value for _, value in ordered]), missing)


def _field(name: str, texts: list[str], values: NDArray[np.float64], missing: bool) -> Field:
    if missing or not texts:
        texts, values = [*texts, MISSING], np.append(values, np.nan)
    return Field(name.replace("_", " "), tuple(texts), values)


def _text(value: float, step: float) -> str:
    """A number in full; of a step without end (a third) with as many decimals as tell its multiples apart."""
    endless = step > 0 and abs(step - round(step, DECIMALS)) > 1e-12
    text = f"{value:.{max(2, math.ceil(-math.log10(step / 3))) if endless else DECIMALS}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text
