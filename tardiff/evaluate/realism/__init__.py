"""Realism: whether the records of a set can be told from charted ones, and by what; on decoded records, in physical units.

The names below are imported when first asked for, so that what needs one light module is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tardiff.evaluate.realism.clinical import clinical_distance
    from tardiff.evaluate.realism.rules import Rule, default_rules, rules_of
    from tardiff.evaluate.realism.run import Discriminated, discriminate, realism

_HOMES = {
    "Discriminated": "run",
    "Rule": "rules",
    "clinical_distance": "clinical",
    "default_rules": "rules",
    "discriminate": "run",
    "realism": "run",
    "rules_of": "rules",
}
__all__ = ["Discriminated", "Rule", "clinical_distance", "default_rules", "discriminate", "realism", "rules_of"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tardiff.evaluate.realism' has no attribute {name!r}")
    return getattr(import_module(f"tardiff.evaluate.realism.{_HOMES[name]}"), name)
