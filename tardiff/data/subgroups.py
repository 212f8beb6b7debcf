"""Subgroups of patients by a descriptor: "sex=female", "age>=65"."""

import operator
import re
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tardiff.data.dataset import Manifest, Split
from tardiff.errors import TardiffError

Rule = Callable[[Split], NDArray[np.bool_]]
"""Which rows of a split belong to a subgroup, [n]; a row whose descriptor is missing belongs to none."""

COMPARISONS = {
    ">=": operator.ge,
    "<=": operator.le,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
}
OPPOSITE = {">=": "<", "<": ">=", ">": "<=", "<=": ">", "=": "!=", "!=": "="}
PATTERN = re.compile(r"\s*(.+?)\s*(>=|<=|!=|>|<|=)\s*(.+?)\s*")


def subgroup(text: str, manifest: Manifest) -> Rule:
    """The rule that a text describes."""
    name, comparison, value = _parts(text)
    index = _descriptor(name, manifest)
    static = manifest.statics[index]
    if static.kind == "categorical":
        if comparison not in ("=", "!="):
            raise TardiffError(f"subgroup {text!r}: {name} is a category; compare it by = or !=")
        if value not in static.categories:
            raise TardiffError(f"subgroup {text!r}: {name} has no category {value!r} (it has {', '.join(static.categories)})")
        number = float(static.categories.index(value))
    else:
        try:
            number = float(value)
        except ValueError:
            raise TardiffError(f"subgroup {text!r}: {name} is compared with a number") from None
    holds = COMPARISONS[comparison]
    return lambda split: np.isfinite(split.static[:, index]) & holds(split.static[:, index], number)


def groups(by: str, manifest: Manifest) -> dict[str, Rule]:
    """The subgroups of a descriptor (each category) or of a rule (the rule and its opposite), by name."""
    if PATTERN.fullmatch(by):
        name, comparison, value = _parts(by)
        texts = [by, f"{name}{OPPOSITE[comparison]}{value}"]
    else:
        static = manifest.statics[_descriptor(by, manifest)]
        if static.kind != "categorical":
            raise TardiffError(f"--by {by}: it is a number; give a rule such as {by}>=65")
        texts = [f"{by}={category}" for category in static.categories]
    return {text: subgroup(text, manifest) for text in texts}


def _parts(text: str) -> tuple[str, str, str]:
    match = PATTERN.fullmatch(text)
    if match is None:
        raise TardiffError(f'subgroup {text!r}: write it as "sex=female" or "age>=65"')
    return match[1], match[2], match[3]


def _descriptor(name: str, manifest: Manifest) -> int:
    if name not in manifest.static_names:
        known = ", ".join(manifest.static_names) or "none"
        raise TardiffError(f"subgroup: the data set has no descriptor {name!r} (it has {known})")
    return manifest.static_names.index(name)
