"""The dictionary's files: `concepts.yaml` and a user's own, merged over it, read and checked."""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar

import msgspec

from data_prep.concepts import Concepts, Descriptor, Names, Place, Variable
from data_prep.yaml_files import read_yaml
from tardiff.errors import TardiffError

CONCEPTS = Path(__file__).with_name("concepts.yaml")
SECTIONS: Mapping[str, type] = {
    **dict.fromkeys(("variables", "found", "units", "sets", "sets_of", "left_out", "statics"), dict),
    "orderings": list,
}
"""The sections of a file, and whether entries stand under names or in a row."""

T = TypeVar("T")
Raw = dict[str, Any]


def load_concepts(own: str | Path | None = None) -> Concepts:
    """The dictionary, with the user's own file merged over it.

    In `variables` an own entry changes the fields that it gives; a variable's places in a source, a set and a descriptor are
    replaced by name; spellings of units and orderings are added.

    Raises:
        TardiffError: naming the file and the entry that is wrong.
    """
    return _built_in() if own is None else _Files((CONCEPTS, Path(own))).concepts()


@cache
def _built_in() -> Concepts:
    return _Files((CONCEPTS,)).concepts()


class _Files:
    """Dictionary files merged in order; remembers which of them an entry stands in, for the messages."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._raw = {path: _read_built_in() if path == CONCEPTS else _read(path) for path in paths}

    def concepts(self) -> Concepts:
        """Merge, read every entry, and check what entries say of each other."""
        units = self._units()
        found: dict[str, dict[str, Any]] = {}
        for source, entries in self._section("found").items():
            for name, entry in self._mapping(entries, f"found.{source}").items():
                found.setdefault(name, {})[source] = entry
        variables = {}
        for name, fields in self._section("variables").items():
            variable = self._convert(
                {**self._mapping(fields, f"variables.{name}"), "found": {}, "sum_of": {}}, Variable, f"variables.{name}"
            )
            variables[name] = self._placed(name, variable, found.pop(name, {}), units)
        for name, entries in found.items():
            for source in entries:
                self._fail(f"found.{source}.{name}", f"there is no variable {name!r}")
        concepts = Concepts(
            variables=variables,
            sets=self._convert(self._section("sets"), dict[str, Names], "sets"),
            sets_of=self._convert(self._section("sets_of"), dict[str, dict[str, Names]], "sets_of"),
            left_out=self._convert(self._section("left_out"), dict[str, Names], "left_out"),
            orderings=self._convert(
                [chain for raw in self._raw.values() for chain in raw.get("orderings", ())], tuple[Names, ...], "orderings"
            ),
            statics={source: self._descriptors(source, entries, variables) for source, entries in self._section("statics").items()},
        )
        for entry, problem in _problems(concepts):
            self._fail(entry, problem)
        return concepts

    def _section(self, name: str) -> Raw:
        """A section of all files: what a later file says of an entry goes before, field by field."""
        merged: Raw = {}
        for raw in self._raw.values():
            merged = _over(merged, raw.get(name, {}), depth=2 if name in ("variables", "found", "sets_of") else 1)
        if name == "statics" and len(self._raw) > 1:
            merged = {source: self._over_descriptors(source) for source in merged}
        return merged

    def _over_descriptors(self, source: str) -> list[Any]:
        entries: dict[Any, Any] = {}
        for raw in self._raw.values():
            given = raw.get("statics", {}).get(source) or ()
            for entry in given if isinstance(given, list | tuple) else (given,):
                entries[entry.get("name") if isinstance(entry, dict) else len(entries)] = entry
        return list(entries.values())

    def _units(self) -> dict[str, Names]:
        """Every spelling of each unit, lower case, from the spellings of all files."""
        spellings: dict[str, list[str]] = {}
        for raw in self._raw.values():
            for unit, others in self._convert(raw.get("units", {}), dict[str, list[str]], "units").items():
                spellings.setdefault(unit, []).extend(others)
        return {unit: tuple(dict.fromkeys(text.lower() for text in (unit, *others))) for unit, others in spellings.items()}

    def _placed(self, name: str, variable: Variable, entries: Raw, units: Mapping[str, Names]) -> Variable:
        """The variable with its places, each with the spellings of its units."""
        found: dict[str, tuple[tuple[Place, ...], ...]] = {}
        sums: dict[str, Names] = {}
        for source, raw in entries.items():
            entry = f"found.{source}.{name}"
            if isinstance(raw, dict) and "sum_of" in raw:
                found[source] = ()
                sums[source] = self._convert(raw, dict[Literal["sum_of"], Names], entry)["sum_of"]
                continue
            places = [raw] if isinstance(raw, dict) else raw
            groups = places if isinstance(places, list) and all(isinstance(group, list) for group in places) else [places]
            found[source] = tuple(
                tuple(self._place(place, variable, units, entry) for place in (group if isinstance(group, list) else [group]))
                for group in groups
            )
        return msgspec.structs.replace(variable, found=found, sum_of=sums)

    def _place(self, raw: Any, variable: Variable, units: Mapping[str, Names], entry: str) -> Place:
        if isinstance(raw, dict) and isinstance(raw.get("item"), int):
            raw = {**raw, "item": str(raw["item"])}
        place = self._convert(raw, Place, entry)
        charted = place.units or (variable.unit,)
        return msgspec.structs.replace(place, units=tuple(s for unit in charted for s in units.get(unit, (unit.lower(),))))

    def _descriptors(self, source: str, entries: Any, variables: Mapping[str, Variable]) -> tuple[Descriptor, ...]:
        descriptors = []
        for i, raw in enumerate(entries if isinstance(entries, list) else [entries]):
            descriptor = self._convert(raw, Descriptor, f"statics.{source}[{i}]")
            if name := descriptor.variable:
                variable = variables.get(name)
                if variable is None or not variable.found.get(source):
                    self._fail(f"statics.{source}", f"{descriptor.name}: {source} has no variable {name!r} with places of its own")
                descriptor = msgspec.structs.replace(descriptor, unit=variable.unit, limits=variable.limits)
            descriptors.append(descriptor)
        return tuple(descriptors)

    def _mapping(self, raw: Any, entry: str) -> Raw:
        if not isinstance(raw, dict):
            self._fail(entry, "expected fields with names")
        return raw

    def _convert(self, raw: Any, kind: type[T], entry: str) -> T:
        try:
            return msgspec.convert(raw, kind)
        except msgspec.ValidationError as error:
            self._fail(entry, str(error))

    def _fail(self, entry: str, problem: str) -> NoReturn:
        """Refuse an entry, in the last file that has it."""
        keys = entry.partition("[")[0].split(".")
        path = next((path for path, raw in reversed(self._raw.items()) if _has(raw, keys)), next(reversed(self._raw)))
        raise TardiffError(f"{path if path != CONCEPTS else path.name}: {entry}: {problem}")


@cache
def _read_built_in() -> Raw:
    return _read(CONCEPTS)


def _read(path: Path) -> Raw:
    try:
        raw = read_yaml(path)
    except OSError as error:
        raise TardiffError(f"{path}: cannot be read ({error.strerror})") from error
    if not isinstance(raw, dict) or not set(raw) <= set(SECTIONS):
        unknown = f", not {', '.join(sorted(map(repr, set(raw) - set(SECTIONS))))}" if isinstance(raw, dict) else ""
        raise TardiffError(f"{path}: expected sections named {', '.join(SECTIONS)}{unknown}")
    for section, kind in SECTIONS.items():
        if not isinstance(raw.get(section, kind()), kind):
            raise TardiffError(f"{path}: {section}: expected {'entries with names' if kind is dict else 'a list'}")
    return raw


def _over(base: Raw, own: Raw, depth: int) -> Raw:
    """`own` over `base`; entries that both have are merged in their turn, `depth` levels down."""
    both = {
        name: _over(base[name], entry, depth - 1)
        for name, entry in own.items()
        if depth > 1 and isinstance(entry, dict) and isinstance(base.get(name), dict)
    }
    return {**base, **own, **both}


def _has(raw: Any, keys: Sequence[str]) -> bool:
    for key in keys:
        if not isinstance(raw, dict) or key not in raw:
            return False
        raw = raw[key]
    return True


def _problems(concepts: Concepts) -> Iterator[tuple[str, str]]:
    """Entry and complaint, for whatever is wrong between entries that are well formed one by one."""
    for name, variable in concepts.variables.items():
        low, high = variable.limits
        if not -math.inf < low < high < math.inf:
            yield f"variables.{name}", f"limits {low:g}, {high:g} are not increasing numbers"
        if not low <= variable.normal <= high:
            yield f"variables.{name}", f"normal {variable.normal:g} is outside the limits"
        for source, groups in variable.found.items():
            entry = f"found.{source}.{name}"
            for part in (parts := variable.sum_of.get(source, ())):
                if part not in concepts.variables or len(concepts.variables[part].found.get(source, ())) != 1:
                    yield entry, f"sum_of: {source} has no variable {part!r} with places of one rank"
                elif concepts.variables[part].aggregation == "mean":
                    yield entry, f"sum_of: {part!r} is a mean, which cannot be added up exactly"
            items = [place.item for group in groups for place in group]
            if not (items or parts) or len(set(items)) != len(items):
                yield entry, "no place, or an item named twice"
            for place in (place for group in groups for place in group):
                if place.limits is not None and not place.limits[0] < place.limits[1]:
                    yield entry, f"item {place.item}: limits are not increasing"
                if place.intubated and place.intubated not in place.texts:
                    yield entry, f"item {place.item}: intubated {place.intubated!r} is not among its texts"
    for entry, names, source in _lists(concepts):
        for name in names:
            if name not in concepts.variables or (source and source not in concepts.variables[name].found):
                yield entry, f"unknown variable {name!r}" + (f" of {source}" if source else "")
    for source, descriptors in concepts.statics.items():
        for descriptor in descriptors:
            if (descriptor.kind == "categorical") != bool(descriptor.categories):
                yield f"statics.{source}", f"{descriptor.name}: categories belong to a categorical descriptor, and only to one"


def _lists(concepts: Concepts) -> Iterator[tuple[str, Names, str]]:
    """Every list of variables: its entry, the names, and the source that must have them ("" for none)."""
    yield from ((f"sets.{choice}", names, "") for choice, names in concepts.sets.items())
    yield from (
        (f"sets_of.{source}.{choice}", names, source) for source, sets in concepts.sets_of.items() for choice, names in sets.items()
    )
    yield from ((f"left_out.{source}", names, source) for source, names in concepts.left_out.items())
    yield from (("orderings", chain, "") for chain in concepts.orderings)
