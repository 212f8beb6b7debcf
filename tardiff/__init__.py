"""Synthetic EHR time series, steered towards a clinical model.

The names below are the public interface; they are imported when first asked for, so that `import tardiff` is quick.
"""

from typing import TYPE_CHECKING

from tardiff.base.lazy import lazy

if TYPE_CHECKING:
    from tardiff.classifier.folder import ClassifierFolder, fit_classifier
    from tardiff.data.dataset import Dataset
    from tardiff.errors import TardiffError
    from tardiff.model.adaptation import adapt
    from tardiff.model.pipeline import TarDiffPipeline
    from tardiff.model.training import train
    from tardiff.settings import AdaptSettings, ClassifierSettings, EvaluateSettings, GuidanceSettings, SamplerSettings, TrainSettings
    from tardiff.synthesis.run import synthesise

__getattr__ = lazy(
    __name__,
    {
        "AdaptSettings": "settings",
        "ClassifierFolder": "classifier.folder",
        "ClassifierSettings": "settings",
        "Dataset": "data.dataset",
        "EvaluateSettings": "settings",
        "GuidanceSettings": "settings",
        "SamplerSettings": "settings",
        "TarDiffPipeline": "model.pipeline",
        "TardiffError": "errors",
        "TrainSettings": "settings",
        "adapt": "model.adaptation",
        "fit_classifier": "classifier.folder",
        "synthesise": "synthesis",
        "train": "model.training",
    },
)
__all__ = [
    "AdaptSettings",
    "ClassifierFolder",
    "ClassifierSettings",
    "Dataset",
    "EvaluateSettings",
    "GuidanceSettings",
    "SamplerSettings",
    "TarDiffPipeline",
    "TardiffError",
    "TrainSettings",
    "adapt",
    "fit_classifier",
    "synthesise",
    "train",
]
