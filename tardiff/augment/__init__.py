"""Augmenting imbalanced classifiers: a drop-in over-sampler for records over time, and an honest comparison with what people do today."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tardiff.augment.features import RecordSummary
    from tardiff.augment.sampler import TarDiffSampler

_HOMES = {"RecordSummary": "features", "TarDiffSampler": "sampler"}
__all__ = ["RecordSummary", "TarDiffSampler"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tardiff.augment' has no attribute {name!r}")
    return getattr(import_module(f"tardiff.augment.{_HOMES[name]}"), name)
