"""What the report reads of `figures.json`."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any

from msgspec import Meta, Struct

from tardiff.report.schema.numbers import Count, Number, Share

Line = list[Number | None]
"""Numbers along an axis; None where one is undefined."""


class Variable(Struct, frozen=True):
    """A channel or descriptor, and the edges of its histograms."""

    name: str
    unit: str
    categories: list[str]
    edges: Annotated[list[Number], Meta(min_length=2)]

    def __post_init__(self) -> None:
        _rises("edges", self.edges)


class Summary(Struct, frozen=True):
    """What is drawn of the training rows of a data set; see `tardiff.evaluate.curves`."""

    rows: list[Count]
    bands: list[list[tuple[Line, Line, Line]]]
    histograms: list[list[Share | None]]
    observed: list[Line]
    correlations: list[Line]


class Curves(Struct, frozen=True):
    """figures.json."""

    hours: Annotated[list[Number], Meta(min_length=1)]
    classes: list[str]
    quantiles: tuple[Number, Number, Number]
    variables: list[Variable]
    real: Summary
    synthetic: dict[str, Summary]

    def __post_init__(self) -> None:
        _rises("hours", self.hours)
        channels, classes, steps = len(self.channels), len(self.classes), len(self.hours)
        bins = [len(variable.edges) - 1 for variable in self.variables]
        for name, of in {"real": self.real, **{f"synthetic.{name}": summary for name, summary in self.synthetic.items()}}.items():
            fits = {
                "rows": _has_shape(of.rows, classes),
                "bands": _has_shape(of.bands, channels, classes, 3, steps),
                "histograms": [len(shares) for shares in of.histograms] == bins,
                "observed": _has_shape(of.observed, channels, steps),
                "correlations": _has_shape(of.correlations, channels, channels),
            }
            if wrong := [field for field, fit in fits.items() if not fit]:
                raise ValueError(f"`{name}.{wrong[0]}` does not fit `hours`, `classes` and `variables`")

    @property
    def channels(self) -> list[Variable]:
        """The variables over time, which come first."""
        return self.variables[: len(self.real.bands)]


def _has_shape(nested: Sequence[Any], *shape: int) -> bool:
    return len(nested) == shape[0] and (len(shape) == 1 or all(_has_shape(part, *shape[1:]) for part in nested))


def _rises(field: str, numbers: Sequence[float]) -> None:
    if any(low >= high for low, high in pairwise(numbers)):
        raise ValueError(f"`{field}` must rise")
