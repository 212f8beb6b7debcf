"""Numbers with their intervals, which every section shows."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

Count = Annotated[int, Meta(ge=0)]
Number = Annotated[float, Meta(ge=-1e100, le=1e100)]
"""What a plot can be scaled to."""
Share = Annotated[float, Meta(ge=0, le=1)]


class Estimate(Struct, frozen=True):
    """A number and its 95 % interval; each is None where undefined."""

    value: Number | None
    low: Number | None
    high: Number | None


class Counted(Estimate, frozen=True):
    """A share of rows, and how many of `n` they are."""

    count: Count
    n: Count


class Measure(Struct, frozen=True):
    """A distance: a number with its interval, or one of each channel and their mean."""

    value: Number | UnsetType | None = UNSET
    low: Number | None = None
    high: Number | None = None
    mean: Estimate | None = None
    by_channel: dict[str, Estimate] = {}

    def __post_init__(self) -> None:
        if self.mean is None and self.value is UNSET:
            raise ValueError("missing `value`, or `mean` over channels")

    @property
    def overall(self) -> Estimate | None:
        """The number, or the mean over channels; None where it is undefined."""
        found = self.mean or Estimate(None if self.value is UNSET else self.value, self.low, self.high)
        return None if found.value is None else found
