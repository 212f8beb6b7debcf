"""What `table.yaml` may say of a long table and of its stays, read and checked."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from data_prep.concepts import Descriptor, Variable
from data_prep.yaml_files import read_yaml
from tardiff.errors import TardiffError

LAYOUT = "table.yaml"


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of the layout's entries: immutable, and a misspelt field is an error."""


class Events(_Entry, frozen=True):
    """The long table: its file and what its columns are called."""

    file: str
    stay: str
    time: str
    variable: str
    value: str
    available: str = ""
    """When the entry could be known, if that was later."""
    words_are_missing: bool = False
    """Whether a value that is not a number is missing; otherwise it is an error."""


class Stays(_Entry, frozen=True):
    """The table of stays: its file and what its columns are called. What is empty is not there."""

    file: str
    stay: str
    patient: str = ""
    start: str = ""
    """When the stay began; needed if times are timestamps."""
    end: str = ""
    """When the stay ended; if times are numbers, how long it was."""
    age: str = ""
    died: str = ""
    death: str = ""
    discharge: str = ""
    """When the hospital stay ended."""
    onset: str = ""
    """When an event of your own happened."""
    label: str = ""
    """A label of your own: 0, 1, ..."""
    split: str = ""
    """train, validation or test."""
    set: str = ""


class Item(_Entry, frozen=True):
    """What a name in the long table means: a concept of the dictionary, or a variable that is described here."""

    concept: str = ""
    label: str = ""
    unit: str = ""
    limits: tuple[float, float] | None = None
    aggregation: Literal["mean", "last", "sum", "max"] | None = None
    normal: float | None = None
    kind: Literal["numeric", "ordinal"] = "numeric"
    scale: float = 1.0
    convert: Literal["", "celsius", "fio2", "ph"] = ""
    texts: dict[str, float | None] = {}
    name: str = ""
    """What the channel is called, if not as in the table."""

    def __post_init__(self) -> None:
        if not 0 < abs(self.scale) < math.inf:
            raise ValueError("scale must be a finite number, and not 0")


class Layout(_Entry, frozen=True):
    """The whole of `table.yaml`."""

    events: Events
    stays: Stays
    variables: dict[str, Item]
    times: Literal["timestamps", "seconds", "minutes", "hours", "days"]
    """Timestamps, or numbers since the start of the stay."""
    descriptors: tuple[Descriptor, ...] = ()
    version: str = "1"


def read_layout(path: Path) -> Layout:
    """Read `table.yaml`.

    Raises:
        TardiffError: naming the field that is wrong.
    """
    try:
        raw = read_yaml(path)
    except FileNotFoundError as error:
        raise TardiffError(f"{path}: no such file; it says what your tables hold (docs/sources.md shows one)") from error
    except OSError as error:
        raise TardiffError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        return msgspec.convert(_with_text_keys(raw), Layout)
    except msgspec.ValidationError as error:
        raise TardiffError(f"{path}: {error}") from error


def own_variable(meaning: Item, name: str, entry: str) -> Variable:
    """A variable that the layout describes, without its places.

    Args:
        meaning: what the layout says.
        name: what the channel is called.
        entry: the file and the entry, for messages.

    Raises:
        TardiffError: a field is missing, or the limits do not hold the normal value.
    """
    for field in ("unit", "limits", "aggregation", "normal"):
        if getattr(meaning, field) in (None, ""):
            raise TardiffError(
                f"{entry}: {field} is missing; a variable needs unit, limits, aggregation and normal, or the name of a concept"
            )
    assert meaning.limits is not None
    assert meaning.aggregation is not None
    assert meaning.normal is not None
    low, high = meaning.limits
    if not (low < high and low <= meaning.normal <= high):
        raise TardiffError(f"{entry}: limits {low:g}, {high:g} must increase and hold the normal value {meaning.normal:g}")
    return Variable(
        label=meaning.label or name,
        unit=meaning.unit,
        limits=meaning.limits,
        limits_from=LAYOUT,
        aggregation=meaning.aggregation,
        normal=meaning.normal,
        kind=meaning.kind,
    )


def _with_text_keys(raw: Any) -> Any:
    """Item ids may be written as numbers."""
    if isinstance(raw, Mapping) and isinstance(raw.get("variables"), Mapping):
        return {**raw, "variables": {str(item): meaning for item, meaning in raw["variables"].items()}}
    return raw
