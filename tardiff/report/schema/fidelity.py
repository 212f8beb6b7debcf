"""How far the sets look like real data, metric by metric."""

from msgspec import Struct

from tardiff.report.schema.numbers import Count, Estimate, Measure, Number


class Worst(Struct, frozen=True):
    """The channel, descriptor or rule in which a set is most surely worse than the floor."""

    name: str
    value: Number
    low: Number


class AgainstFloor(Struct, frozen=True):
    """How much farther than real held-out rows a set lies from real training rows, paired."""

    mean: Estimate
    worst: Worst | None
    worse: bool


class Fidelity(Struct, frozen=True):
    """How far the sets, and real held-out rows (`floor`), lie from real training rows, by metric."""

    rows: Count
    floor: dict[str, Measure]
    sets: dict[str, dict[str, Measure]]
    against_floor: dict[str, dict[str, AgainstFloor]]
