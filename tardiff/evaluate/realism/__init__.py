"""Realism: whether the records of a set can be told from charted ones, and by what; on decoded records, in physical units."""

from tardiff.evaluate.realism.clinical import Rule, clinical_distance, default_rules, rules_of
from tardiff.evaluate.realism.run import Discriminated, discriminate, realism

__all__ = ["Discriminated", "Rule", "clinical_distance", "default_rules", "discriminate", "realism", "rules_of"]
