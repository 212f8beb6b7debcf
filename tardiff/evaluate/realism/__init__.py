"""Realism: whether the records of a set can be told from charted ones, and by what; on decoded records, in physical units.

The names below are imported when first asked for, so that what needs one light module is quick.
"""

from typing import TYPE_CHECKING

from tardiff.base.lazy import lazy

if TYPE_CHECKING:
    from tardiff.evaluate.realism.clinical import clinical_distance
    from tardiff.evaluate.realism.rules import Rule, default_rules, rules_of
    from tardiff.evaluate.realism.run import Discriminated, discriminate, realism

__getattr__ = lazy(
    __name__,
    {
        "Discriminated": "run",
        "Rule": "rules",
        "clinical_distance": "clinical",
        "default_rules": "rules",
        "discriminate": "run",
        "realism": "run",
        "rules_of": "rules",
    },
)
__all__ = ["Discriminated", "Rule", "clinical_distance", "default_rules", "discriminate", "realism", "rules_of"]
