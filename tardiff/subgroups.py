"""Groups of patients by a static descriptor, as a user names them: `sex=female`, `age>=65`, `age<40`."""

import re

import numpy as np
from numpy.typing import NDArray

from tardiff.dataset import Manifest, Split
from tardiff.errors import TardiffError

RULE = re.compile(r"^(?P<name>[^<>=]+?)\s*(?P<sign>>=|<|=)\s*(?P<value>.+)$")


def in_subgroup(split: Split, manifest: Manifest, rule: str) -> NDArray[np.bool_]:
    """Which rows belong to a group, [N]; a row whose descriptor is missing belongs to none.

    Args:
        split: the rows.
        manifest: names and categories of their descriptors.
        rule: NAME=CATEGORY, NAME>=NUMBER or NAME<NUMBER.

    Raises:
        TardiffError: the rule does not read, or names a descriptor, category or number that is none.
    """
    match = RULE.match(rule.strip())
    if not match:
        raise TardiffError(f"subgroup {rule!r}: write NAME=CATEGORY, NAME>=NUMBER or NAME<NUMBER, for instance sex=female")
    name, sign, value = match["name"], match["sign"], match["value"]
    if name not in manifest.static_names:
        raise TardiffError(f"subgroup {rule!r}: no descriptor {name!r} (the data set has {', '.join(manifest.static_names) or 'none'})")
    place = manifest.static_names.index(name)
    static, column = manifest.statics[place], split.static[:, place]
    if static.kind == "categorical":
        if sign != "=" or value not in static.categories:
            raise TardiffError(f"subgroup {rule!r}: {name} is one of {', '.join(static.categories)}; write {name}={static.categories[0]}")
        return column == static.categories.index(value)
    try:
        number = float(value)
    except ValueError as error:
        raise TardiffError(f"subgroup {rule!r}: {value!r} is not a number") from error
    return {"=": column == number, ">=": column >= number, "<": column < number}[sign]
