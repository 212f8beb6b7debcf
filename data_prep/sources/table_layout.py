"""What `table.yaml` may say of a long table and of its stays, read and checked."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
import pandas as pd

from data_prep.concepts import Descriptor, Variable
from data_prep.sources.columns import plain
from data_prep.sources.tables import Encoding
from data_prep.tasks import Value
from data_prep.yaml_files import read_yaml
from tardiff.errors import TardiffError

LAYOUT = "table.yaml"
COLUMNS = {"died": "died", "death_minute": "death", "discharge_minute": "discharge", "unit_minutes": "end", "given": "label"}
"""Outcomes of `Source.stays`, and the field of `stays` that gives each."""
NARROWEST = 1e-30
"""Limits below are beyond the numbers that a data set holds."""


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of the layout's entries: immutable, and a misspelt field is an error."""


class Events(_Entry, frozen=True):
    """The long table: its file and what its columns are called."""

    file: str
    stay: str
    time: str
    variable: str = ""
    value: str = ""
    """Both needed in a long table; in a wide one every variable has a column of its name."""
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
    """When the stay began; needed if times are timestamps. If they are numbers they count from it; without it from the stay's start."""
    end: str = ""
    """When the stay ended, on the same clock; what is empty is unknown."""
    age: str = ""
    died: str = ""
    death: str = ""
    discharge: str = ""
    """When the hospital stay ended."""
    onset: str = ""
    """When an event of your own happened."""
    label: str = ""
    """A label of your own: 0 and 1, or one of the layout's `classes`."""
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
    times: Literal["timestamps", "microseconds", "milliseconds", "seconds", "minutes", "hours", "days"]
    """Timestamps, or numbers since `stays.start`, or without that since the start of the stay."""
    layout: Literal["long", "wide"] = "long"
    """Whether a row of the events is one value, or has a column for each variable."""
    encoding: Encoding = "utf-8"
    """Of CSV files."""
    classes: tuple[Value, ...] = ()
    """The values of `stays.label` in order, if they are not 0 and 1."""
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
        raise TardiffError(f"{path}: no such file; it says what your tables hold (docs/reference/sources.md shows one)") from error
    except OSError as error:
        raise TardiffError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        layout = msgspec.convert(_with_text_keys(raw, path), Layout)
    except msgspec.ValidationError as error:
        raise TardiffError(f"{path}: {error}") from error
    for field in ("variable", "value"):
        if (layout.layout == "long") != bool(getattr(layout.events, field)):
            needed = "is missing" if layout.layout == "long" else "belongs to a long table: in a wide one each variable has a column"
            raise TardiffError(f"{path}: events.{field} {needed}")
    return layout


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
    described = {field: getattr(meaning, field) for field in ("unit", "limits", "aggregation", "normal", "kind")}
    variable = Variable(label=meaning.label or name, limits_from=LAYOUT, **described)
    low, high = variable.limits
    if not (low < high and low <= variable.normal <= high):
        raise TardiffError(f"{entry}: limits {low:g}, {high:g} must increase and hold the normal value {variable.normal:g}")
    if not NARROWEST <= max(abs(low), abs(high)) < math.inf:
        raise TardiffError(f"{entry}: limits {low:g}, {high:g} are beyond what a data set holds; scale to another unit")
    return variable


def _with_text_keys(raw: Any, path: Path) -> Any:
    """Item ids and the codes of categories may be written as numbers."""
    if not isinstance(raw, Mapping):
        return raw
    changed = {**raw}
    if isinstance(raw.get("variables"), Mapping):
        changed["variables"] = _plain_keys(raw["variables"], f"{path}: variables")
    if isinstance(raw.get("descriptors"), list):
        changed["descriptors"] = [
            {**each, "categories": _plain_keys(each["categories"], f"{path}: descriptors")}
            if isinstance(each, Mapping) and isinstance(each.get("categories"), Mapping)
            else each
            for each in raw["descriptors"]
        ]
    return changed


def _plain_keys(entries: Mapping[Any, Any], where: str) -> dict[str, Any]:
    names = plain(pd.Series([str(name) for name in entries], dtype=object))
    if names.duplicated().any():
        raise TardiffError(f"{where}: {names[names.duplicated()].iloc[0]} stands twice")
    return dict(zip(names, entries.values(), strict=True))
