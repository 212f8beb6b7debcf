"""What only an extra installs, imported when it is needed."""

import sys
from importlib import import_module
from types import ModuleType

from tardiff.errors import TardiffError

HIDDEN = ("transformers", "peft")
"""What diffusers imports wherever it finds it, though no network here is made of it."""


def hide() -> None:
    """Let no import find `HIDDEN` before `needs` asks for a module: that saves a command some seconds (None is Python's mark for it)."""
    for name in HIDDEN:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]


def needs(module: str, extra: str = "augment") -> ModuleType:
    """Import a module of an extra."""
    for name in HIDDEN:
        if sys.modules.get(name, sys) is None:
            del sys.modules[name]
    try:
        return import_module(module)
    except ImportError as error:
        raise TardiffError(f"{module.partition('.')[0]} is not installed; pip install 'tardiff[{extra}]'") from error
