"""What gives the records of a set away."""

from typing import Literal

from msgspec import Struct

from tardiff.report.schema.numbers import Estimate, Number, Share


class Reason(Struct, frozen=True):
    """Something that gives the records of a set away, in words."""

    words: str
    importance: Number
    alone: Share


class RuleGroup(Struct, frozen=True):
    """A clinical rule in a class, or in all rows (None)."""

    group: str | None
    real: Estimate
    floor: Estimate
    sets: dict[str, Estimate]


class Rule(Struct, frozen=True):
    """A clinical rule."""

    name: str
    expression: str
    kind: Literal["share", "mean"]
    groups: list[RuleGroup]


class Skipped(Struct, frozen=True):
    """A rule whose channels a data set lacks."""

    name: str
    missing: list[str]


class Clinical(Struct, frozen=True):
    """Rules that clinicians check."""

    rules: list[Rule]
    skipped: list[Skipped]


class Pair(Struct, frozen=True):
    """How two descriptors go together."""

    first: str
    second: str
    measure: str
    value: Number | None


class Slope(Struct, frozen=True):
    """How the mean of a channel depends on a descriptor."""

    channel: str
    descriptor: str
    slope: Number | None
    standard_error: Number | None


class DescriptorProfile(Struct, frozen=True):
    """A descriptor alone: `mean` and `sd` of a number, or `shares` of categories."""

    missing: Share
    mean: Number | None = None
    sd: Number | None = None
    shares: dict[str, Share | None] = {}


class Profile(Struct, frozen=True):
    """What is charted of a set, and how; `charting` and `resolution` by channel."""

    charting: dict[str, dict[str, Number | None]]
    resolution: dict[str, dict[str, Number | None]]
    descriptors: dict[str, DescriptorProfile]
    pairs: list[Pair]
    slopes: list[Slope]


class Profiles(Struct, frozen=True):
    """Profiles of real training rows, real held-out rows and the sets."""

    real: Profile
    floor: Profile
    sets: dict[str, Profile]


class Realism(Struct, frozen=True):
    """What gives the records of each set away."""

    reasons: dict[str, list[Reason]]
    clinical: Clinical
    profiles: Profiles

    @property
    def sets(self) -> dict[str, Profile]:
        """The profiles of the sets."""
        return self.profiles.sets
