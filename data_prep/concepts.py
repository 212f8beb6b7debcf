"""The variable dictionary, `concepts.yaml`, loaded and checked; a user's own file is merged over it."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
import pandas as pd
import yaml

from tardiff.dataset import Channel, Static
from tardiff.errors import TardiffError

CONCEPTS = Path(__file__).with_name("concepts.yaml")
SECTIONS: Mapping[str, type] = {
    **dict.fromkeys(("variables", "found", "units", "sets", "sets_of", "left_out", "statics"), dict),
    "orderings": list,
}
"""The sections of a file, and whether entries stand under names or in a row."""
NO_UNIT = frozenset(("", "none"))
"""How sources write that an item has no unit."""

T = TypeVar("T")
Names = tuple[str, ...]
Raw = dict[str, Any]


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of the dictionary's entries: immutable, and a misspelt field is an error."""


class Place(_Entry, frozen=True):
    """Where a source keeps a variable: one of its item ids or parameter names."""

    item: str
    table: str = ""
    label: str = ""
    """What the source's own dictionary of items calls it; checked when the source is read."""
    units: tuple[str, ...] = ()
    """The units that it may be charted in, in every known spelling, lower case; no unit is always accepted."""
    scale: float = 1.0
    """Factor to the variable's unit."""
    convert: Literal["", "celsius", "fio2", "ph"] = ""
    """A name in `data_prep.grid.CONVERSIONS`; the empty name leaves the value as it is."""
    limits: tuple[float, float] | None = None
    """Plausible range of this place alone."""
    sign: Literal[1, -1] = 1
    texts: dict[str, float | None] = {}
    """Numbers for charted words, which go before the number beside the word; null is missing."""
    only_texts: bool = False
    """A number beside the word is something else."""
    intubated: str = ""
    """The word that tells a tube instead of an answer."""
    specimen: str = ""
    """What the specimen must be called for the value to count."""

    @property
    def text(self) -> bool:
        """Whether the charted words are needed."""
        return bool(self.texts)


class Variable(_Entry, frozen=True):
    """One variable over time, in its own unit, and its places in each source."""

    label: str
    unit: str
    limits: tuple[float, float]
    limits_from: str
    aggregation: Literal["mean", "last", "sum", "max"]
    normal: float
    found: dict[str, tuple[tuple[Place, ...], ...]] = {}
    """By source: groups of places in order of preference within a step; no group where the variable is a sum of others."""
    kind: Literal["numeric", "ordinal"] = "numeric"
    sum_of: dict[str, Names] = {}
    """By source: the variables of the same step that it is the sum of."""


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
    variable: str = ""
    """The variable whose first plausible value before the end of the observation window it is."""

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
    sets: dict[str, Names] = {}
    sets_of: dict[str, dict[str, Names]] = {}
    left_out: dict[str, Names] = {}
    orderings: tuple[Names, ...] = ()
    statics: dict[str, tuple[Descriptor, ...]] = {}

    def known(self, source: str) -> Names:
        """Every variable that a source has."""
        return tuple(name for name, variable in self.variables.items() if source in variable.found)

    def choices(self, source: str) -> dict[str, Names]:
        """What each word that stands for several variables means for a source; without what the source lacks entirely."""
        known = self.known(source)
        everything = tuple(name for name in known if name not in self.left_out.get(source, ()))
        return {**self.sets, "all": everything, **self.sets_of.get(source, {})}

    def select(self, source: str, choice: str) -> Names:
        """Names of the variables that `choice` means for a source: a set's name or names separated by commas.

        Raises:
            TardiffError: a name that the source does not have, or one given twice.
        """
        choices, known = self.choices(source), self.known(source)
        names = choices.get(choice) or tuple(name.strip() for name in choice.split(","))
        missing = [name for name in names if name not in known]
        if missing:
            member = f" of {choice!r}" if choice in choices else ""
            raise TardiffError(
                f"variables: {source} has no {', '.join(map(repr, missing))}{member}; "
                f"choose {', '.join(choices)} or names among {', '.join(known)}"
            )
        for name in names:
            if names.count(name) > 1:
                raise TardiffError(f"variables: {name!r} is named twice")
        return names

    def parts(self, source: str, names: Names) -> Names:
        """The variables that are read only because a chosen one is their sum."""
        parts = (part for name in names for part in self.variables[name].sum_of.get(source, ()) if part not in names)
        return tuple(dict.fromkeys(parts))

    def first(self, source: str) -> Names:
        """The variables whose first value is a descriptor."""
        return tuple(dict.fromkeys(descriptor.variable for descriptor in self.statics.get(source, ()) if descriptor.variable))

    def channels(self, names: Iterable[str]) -> tuple[Channel, ...]:
        """The manifest's channels for variables, in their order."""
        chosen = ((name, self.variables[name]) for name in names)
        return tuple(Channel(name, v.unit, v.limits, v.aggregation, v.normal, v.kind) for name, v in chosen)

    def chains(self, names: Iterable[str]) -> tuple[Names, ...]:
        """The orderings whose members are all among `names`."""
        chosen = set(names)
        return tuple(chain for chain in self.orderings if chosen.issuperset(chain))

    def places(self, source: str, names: Iterable[str]) -> tuple[Place, ...]:
        """Every place that a source must be searched for these variables; an item that serves several variables more than once."""
        places = (place for name in names for group in self.variables[name].found[source] for place in group)
        return tuple({msgspec.json.encode(place): place for place in places}.values())

    def with_intubated(self, choice: Literal["keep", "normal", "missing"]) -> "Concepts":
        """The dictionary in which a tube instead of an answer counts as charted, as the normal answer, or not at all."""
        if choice == "keep":
            return self

        def changed(place: Place, variable: Variable) -> Place:
            if not place.intubated:
                return place
            number = variable.normal if choice == "normal" else None
            return msgspec.structs.replace(place, texts={**place.texts, place.intubated: number})

        variables = {
            name: msgspec.structs.replace(
                variable,
                found={
                    source: tuple(tuple(changed(place, variable) for place in group) for group in groups)
                    for source, groups in variable.found.items()
                },
            )
            for name, variable in self.variables.items()
        }
        return msgspec.structs.replace(self, variables=variables)

    def keeping(self, source: str, wanted: Callable[[Place], bool]) -> "Concepts":
        """The dictionary in which a source has only the places that `wanted` accepts, and the variables that these make.

        Words that stand for several variables keep the members that are left.
        """
        variables = {}
        for name in self.known(source):
            variable = self.variables[name]
            there = (tuple(place for place in group if wanted(place)) for group in variable.found[source])
            if (groups := tuple(group for group in there if group)) or source in variable.sum_of:
                variables[name] = msgspec.structs.replace(variable, found={**variable.found, source: groups})
        whole = {name: v for name, v in variables.items() if all(part in variables for part in v.sum_of.get(source, ()))}
        lost = set(self.known(source)) - set(whole)
        words = {**self.sets, **self.sets_of.get(source, {})}
        left = {word: tuple(name for name in names if name not in lost) for word, names in words.items() if lost.intersection(names)}
        kept = self.serving(source, whole, self.statics.get(source, ()), self.left_out.get(source, ()))
        return msgspec.structs.replace(kept, sets_of={**self.sets_of, source: {**self.sets_of.get(source, {}), **left}})

    def serving(self, source: str, variables: Mapping[str, Variable], statics: Iterable[Descriptor], left_out: Names = ()) -> "Concepts":
        """The dictionary in which a source has these variables and no others."""
        others = {
            name: msgspec.structs.replace(variable, found={other: groups for other, groups in variable.found.items() if other != source})
            for name, variable in self.variables.items()
            if name not in variables
        }
        return msgspec.structs.replace(
            self,
            variables={**variables, **others},
            left_out={**self.left_out, source: tuple(name for name in left_out if name in variables)},
            statics={**self.statics, source: tuple(each for each in statics if not each.variable or each.variable in variables)},
        )

    def digest(self) -> str:
        """Hash of what the dictionary means: comments, spacing and the order of its entries do not change it."""
        return f"sha256:{hashlib.sha256(msgspec.json.encode(self, order='deterministic')).hexdigest()}"


def load_concepts(own: str | Path | None = None) -> Concepts:
    """The dictionary, with the user's own file merged over it.

    In `variables` an own entry changes the fields that it gives; a variable's places in a source, a set and a descriptor are
    replaced by name; spellings of units and orderings are added.

    Raises:
        TardiffError: naming the file and the entry that is wrong.
    """
    return _built_in() if own is None else _Files((CONCEPTS, Path(own))).concepts()


def check_items(places: Iterable[Place], items: pd.DataFrame, where: str) -> None:
    """The source's own dictionary of items must call each item what ours calls it, and name no unit that ours does not know.

    Args:
        places: what will be read.
        items: columns itemid and label, and unitname where there is one, all str.
        where: the file or table that they come from.

    Raises:
        TardiffError: naming the item.
    """
    rows = items.set_index("itemid")
    for place in places:
        label = rows["label"].get(place.item)
        if label is None or " ".join(label.split()).lower() != " ".join(place.label.split()).lower():
            raise TardiffError(
                f"{where}: item {place.item} is {label!r}, expected {place.label!r}; this is not the MIMIC-IV that concepts.yaml describes"
            )
        unit = rows["unitname"][place.item].strip().lower() if "unitname" in rows else ""
        if place.units and unit not in NO_UNIT and unit not in place.units:
            raise TardiffError(
                f"{where}: item {place.item} ({place.label}) is charted in {rows['unitname'][place.item]!r}, not in {place.units[0]!r}; "
                "give its place in a dictionary of your own (--concepts) these units and a scale"
            )


@cache
def _built_in() -> Concepts:
    return _Files((CONCEPTS,)).concepts()


class _Files:
    """Dictionary files merged in order; remembers which of them an entry stands in, for the messages."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._raw = {path: _read(path) for path in paths}

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
            for entry in raw.get("statics", {}).get(source) or ():
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
            if descriptor.variable:
                if (
                    source not in (found := variables[descriptor.variable].found if descriptor.variable in variables else {})
                    or not found[source]
                ):
                    self._fail(
                        f"statics.{source}", f"{descriptor.name}: {source} has no variable {descriptor.variable!r} with places of its own"
                    )
                variable = variables[descriptor.variable]
                descriptor = msgspec.structs.replace(descriptor, unit=variable.unit, limits=variable.limits)
            descriptors.append(descriptor)
        return tuple(descriptors)

    def _mapping(self, raw: Any, entry: str) -> Raw:
        if not isinstance(raw, dict):
            self._fail(entry, "expected fields with names")
        mapping: Raw = raw
        return mapping

    def _convert(self, raw: Any, kind: type[T], entry: str) -> T:
        try:
            return msgspec.convert(raw, kind)
        except msgspec.ValidationError as error:
            self._fail(entry, str(error))
            raise

    def _fail(self, entry: str, problem: str) -> None:
        """Refuse an entry, in the last file that has it."""
        keys = entry.partition("[")[0].split(".")
        path = next((path for path, raw in reversed(self._raw.items()) if _has(raw, keys)), next(reversed(self._raw)))
        raise TardiffError(f"{path if path != CONCEPTS else path.name}: {entry}: {problem}")


class _Loader(yaml.SafeLoader):
    """Safe, and a name that stands twice is an error: YAML would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        for name in names:
            if names.count(name) > 1:
                raise yaml.constructor.ConstructorError(problem=f"{name!r} stands twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


def _read(path: Path) -> Raw:
    try:
        raw = yaml.load(path.read_bytes(), _Loader)
    except OSError as error:
        raise TardiffError(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise TardiffError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from error
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
        if not low < high:
            yield f"variables.{name}", f"limits {low:g}, {high:g} are not increasing"
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
