"""Traps in a dataset folder: what would make a model look better than it is."""

from tardiff.audit.finding import Finding, table
from tardiff.audit.run import audit

__all__ = ["Finding", "audit", "table"]
