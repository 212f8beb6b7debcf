"""Settings from a file: what it gives takes the place of the defaults, and every field is checked."""

from dataclasses import is_dataclass
from typing import Any, TypeVar, get_type_hints

import msgspec

from tardiff.errors import TardiffError

T = TypeVar("T")


def settings_from(given: Any, defaults: T, place: str) -> T:
    """The defaults with what a file gives, values by field, nested where settings are, in their place."""
    if not isinstance(given, dict | None):
        raise TardiffError(f"{place}: expected fields with names")
    kinds = get_type_hints(type(defaults))
    values = dict(vars(defaults))
    for name, value in (given or {}).items():
        if name not in kinds:
            raise TardiffError(f"{place}: unknown field {name!r} (known: {', '.join(kinds)})")
        if is_dataclass(values[name]):
            values[name] = settings_from(value, values[name], f"{place}: {name}")
            continue
        try:
            values[name] = msgspec.convert(value, kinds[name], strict=kinds[name] is not float)  # YAML takes 1e-3 for a text
        except msgspec.ValidationError as error:
            raise TardiffError(f"{place}: {name}: {error}") from error
    try:
        return type(defaults)(**values)
    except TardiffError as error:  # which names an option
        option, wrong = str(error).split(" ", 1)
        raise TardiffError(f"{place}: {option.removeprefix('--').replace('-', '_')} {wrong}") from error
