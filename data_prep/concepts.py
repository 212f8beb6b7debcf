"""The variable dictionary: what is measured, where each source keeps it, and what a choice of variables means."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import msgspec
import pandas as pd

from tardiff.data.dataset import Channel, Static
from tardiff.errors import TardiffError

NO_UNIT = frozenset(("", "none"))
"""How sources write that an item has no unit."""

Names = tuple[str, ...]


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

    def with_intubated(self, number: float | None) -> "Place":
        """The place in which a tube instead of an answer counts as this number."""
        return msgspec.structs.replace(self, texts={**self.texts, self.intubated: number}) if self.intubated else self


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
        variables = {}
        for name, variable in self.variables.items():
            number = variable.normal if choice == "normal" else None
            found = {
                source: tuple(tuple(place.with_intubated(number) for place in group) for group in groups)
                for source, groups in variable.found.items()
            }
            variables[name] = msgspec.structs.replace(variable, found=found)
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
