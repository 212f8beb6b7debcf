"""What only an extra installs, imported when it is needed."""

from importlib import import_module
from types import ModuleType

from tardiff.errors import TardiffError


def needs(module: str, extra: str = "augment") -> ModuleType:
    """Import a module of an extra."""
    try:
        return import_module(module)
    except ImportError as error:
        raise TardiffError(f"{module.partition('.')[0]} is not installed; pip install 'tardiff[{extra}]'") from error
