"""The data sets that were read, and how their manifests say that they were made."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from tardiff.report.schema.numbers import Count

Size = Annotated[float, Meta(ge=0, le=1e100)]


class Step(Struct, frozen=True):
    """What a guide did in one reverse step."""

    step: Annotated[int, Meta(ge=0, le=10**6)]
    change: Size
    update: Size
    ratio: Size


class Movement(Struct, frozen=True):
    """How far guidance moved samples."""

    rows: Count
    value: Size
    steps: Annotated[list[Step], Meta(min_length=1)]
    inert: bool


class TaskName(Struct, frozen=True):
    """The task of a prepared data set."""

    name: str


class Served(Struct, frozen=True):
    """Whom guidance serves: rows of a data set, by a rule."""

    data: str
    rule: str


class Origin(Struct, frozen=True):
    """What the manifest of a data set says of how it was made: `task` by `tardiff prepare`, the rest by `tardiff sample`."""

    task: TaskName | None = None
    n: int | None = None
    guidance: dict[str, Any] = {}
    sampler: dict[str, Any] = {}
    selection: dict[str, Any] = {}
    training: dict[str, Any] = {}
    classifiers: list[Any] = []
    serves: list[Served] = []
    generator: str | None = None
    movement: Movement | None = None


class Rows(Struct, frozen=True):
    """Size of a split."""

    rows: Count


class Described(Struct, frozen=True):
    """A data set."""

    source: str
    source_version: str
    task: str
    rule: str
    classes: list[str]
    content_hash: str
    made_by: dict[str, Any]
    splits: dict[str, Rows]

    def __post_init__(self) -> None:
        try:
            _ = self.origin  # checks it
        except msgspec.ValidationError as error:
            raise ValueError(f"`made_by`: {error}") from error

    @property
    def origin(self) -> Origin:
        """What the report understands of `made_by`."""
        return msgspec.convert(self.made_by, Origin)


class Test(Described, frozen=True):
    """The real rows that are predicted."""

    split: str
    rows: Annotated[int, Meta(ge=1)]
    positives: Count

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.positives > self.rows or len(self.classes) != 2:
            raise ValueError("`positives` must be among the `rows`, and `classes` two")
