"""Augmenting imbalanced classifiers: a drop-in over-sampler for records over time, and an honest comparison with what people do today."""

from typing import TYPE_CHECKING

from tardiff.base.lazy import lazy

if TYPE_CHECKING:
    from tardiff.augment.features import RecordSummary
    from tardiff.augment.sampler import TarDiffSampler

__getattr__ = lazy(
    __name__,
    {"RecordSummary": "features", "TarDiffSampler": "sampler"},
)
__all__ = ["RecordSummary", "TarDiffSampler"]
