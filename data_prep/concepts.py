"""The variable dictionary, `concepts.yaml`, loaded and checked."""

import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
import yaml

from tardiff.dataset import Channel, Static
from tardiff.errors import TardiffError

CONCEPTS = Path(__file__).with_name("concepts.yaml")

T = TypeVar("T")


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of the dictionary's entries: immutable, and a misspelt field is an error."""


class Place(_Entry, frozen=True):
    """Where a source keeps a variable: one of its item ids or parameter names."""

    item: str
    table: str = ""
    label: str = ""
    """What the source's own dictionary of items calls it; checked when the source is read."""
    convert: Literal["", "celsius", "ph"] = ""
    """A name in `data_prep.grid.CONVERSIONS`; the empty name leaves the value as it is."""
    sign: Literal[1, -1] = 1
    specimen: str = ""
    """Only results of such a specimen count ("ART." is arterial blood)."""
    units: tuple[str, ...] = ()
    """The units in which it may be charted, in lower case; empty means that the unit is not looked at."""
    text: bool = False
    """Whether its text matters beside the number."""


class Variable(_Entry, frozen=True):
    """One variable over time, in its own unit, and its places in each source."""

    label: str
    unit: str
    limits: tuple[float, float]
    limits_from: str
    aggregation: Literal["mean", "last", "sum", "max"]
    normal: float
    found: dict[str, tuple[tuple[Place, ...], ...]]
    """By source: groups of places in order of preference within a step."""
    kind: Literal["numeric", "ordinal"] = "numeric"


class Descriptor(_Entry, frozen=True):
    """One static descriptor of a stay."""

    name: str
    unit: str = ""
    kind: Literal["numeric", "categorical"] = "numeric"
    limits: tuple[float, float] | None = None
    categories: dict[str, str] = {}
    """From the source's code to the name of the category."""
    column: str = ""
    """The source's name for it, if it is another one."""

    @property
    def source_column(self) -> str:
        """The column of the source's stays that holds it."""
        return self.column or self.name

    def static(self) -> Static:
        """As the manifest records it."""
        return Static(self.name, self.unit, self.kind, self.limits, tuple(self.categories.values()))


class Concepts(_Entry, frozen=True):
    """The whole dictionary."""

    variables: dict[str, Variable]
    sets: dict[str, dict[str, tuple[str, ...]]]
    orderings: tuple[tuple[str, ...], ...]
    statics: dict[str, tuple[Descriptor, ...]]
    digest: str
    """Hash of the file, so that a dataset folder can say which dictionary made it."""

    def select(self, source: str, choice: str) -> tuple[str, ...]:
        """Names of the variables that `choice` means for a source: a set's name or names separated by commas.

        Raises:
            TardiffError: a name that the source does not have, or one given twice.
        """
        sets = self.sets[source]
        if choice in sets:
            return sets[choice]
        names = tuple(name.strip() for name in choice.split(","))
        known = [name for name, variable in self.variables.items() if source in variable.found]
        for name in names:
            if name not in known:
                raise TardiffError(f"variables: {source} has no {name!r}; choose {', '.join(sets)} or names among {', '.join(known)}")
            if names.count(name) > 1:
                raise TardiffError(f"variables: {name!r} is named twice")
        return names

    def channels(self, names: Iterable[str]) -> tuple[Channel, ...]:
        """The manifest's channels for variables, in their order."""
        chosen = ((name, self.variables[name]) for name in names)
        return tuple(Channel(name, v.unit, v.limits, v.aggregation, v.normal, v.kind) for name, v in chosen)

    def chains(self, names: Iterable[str]) -> tuple[tuple[str, ...], ...]:
        """The orderings whose members are all among `names`."""
        chosen = set(names)
        return tuple(chain for chain in self.orderings if chosen.issuperset(chain))

    def places(self, source: str, names: Iterable[str]) -> tuple[Place, ...]:
        """Every place that a source must be searched for these variables; no item twice."""
        places = (place for name in names for group in self.variables[name].found[source] for place in group)
        return tuple({place.item: place for place in places}.values())


@cache
def load_concepts(path: Path = CONCEPTS) -> Concepts:
    """Read and check the dictionary.

    Raises:
        TardiffError: naming the file and the entry that is wrong.
    """
    content = path.read_bytes()
    try:
        raw = yaml.safe_load(content)
    except yaml.YAMLError as error:
        raise TardiffError(f"{path.name}: not valid YAML ({' '.join(str(error).split())})") from error
    if not isinstance(raw, dict) or set(raw) != {"variables", "sets", "orderings", "statics"}:
        raise TardiffError(f"{path.name}: expected the keys variables, sets, orderings and statics")
    variables = {name: _convert(entry, Variable, path, f"variables.{name}") for name, entry in raw["variables"].items()}
    concepts = Concepts(
        variables=variables,
        sets=_convert(raw["sets"], dict[str, dict[str, tuple[str, ...]]], path, "sets"),
        orderings=_convert(raw["orderings"], tuple[tuple[str, ...], ...], path, "orderings"),
        statics={
            source: tuple(_convert(entry, Descriptor, path, f"statics.{source}[{i}]") for i, entry in enumerate(entries))
            for source, entries in raw["statics"].items()
        },
        digest=f"sha256:{hashlib.sha256(content).hexdigest()}",
    )
    for problem in _problems(concepts):
        raise TardiffError(f"{path.name}: {problem}")
    return concepts


def _convert(raw: Any, kind: type[T], path: Path, entry: str) -> T:
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        raise TardiffError(f"{path.name}: {entry}: {error}") from error


def _problems(concepts: Concepts) -> Iterable[str]:
    for name, variable in concepts.variables.items():
        low, high = variable.limits
        if not low < high:
            yield f"variables.{name}: limits {low}, {high} are not increasing"
        if not low <= variable.normal <= high:
            yield f"variables.{name}: normal {variable.normal} is outside the limits"
        for source, groups in variable.found.items():
            items = [place.item for group in groups for place in group]
            if not items or len(set(items)) != len(items):
                yield f"variables.{name}: found.{source} is empty or names an item twice"
    for source, sets in concepts.sets.items():
        for choice, names in sets.items():
            for name in names:
                if name not in concepts.variables or source not in concepts.variables[name].found:
                    yield f"sets.{source}.{choice}: {name!r} is not found in {source}"
    for chain in concepts.orderings:
        for name in chain:
            if name not in concepts.variables:
                yield f"orderings: unknown variable {name!r}"
    for source, descriptors in concepts.statics.items():
        for descriptor in descriptors:
            if (descriptor.kind == "categorical") != bool(descriptor.categories):
                yield f"statics.{source}: {descriptor.name}: categories belong to a categorical descriptor, and only to one"
