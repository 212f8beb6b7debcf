"""The classifier that guides where the user names none: different architectures together, fitted as one."""

from tardiff.base.noise import stream
from tardiff.classifier.folder import ClassifierFolder, fit_classifier
from tardiff.data.codec import Codec
from tardiff.data.dataset import Dataset
from tardiff.settings import ClassifierSettings

WIDTH = 32


def guide_seeds(seed: int, count: int) -> list[int]:
    """Seeds of so many classifiers that guide together."""
    return stream("guides", seed).integers(2**31, size=count).tolist()


def fit_guide(data: Dataset, codec: Codec, seed: int, architecture: str = "committee", epochs: int = 60) -> ClassifierFolder:
    """A small classifier of the training rows, stopped on the validation rows. A committee guides best (experiments/guidance).

    Args:
        data: rows to learn from (`train`) and to stop on (`validation`).
        codec: the generator's.
        seed: of weights and order.
        architecture: as in `ClassifierSettings`.
        epochs: most passes over the rows.
    """
    settings = ClassifierSettings(architecture=architecture, width=WIDTH, epochs=epochs, seed=seed)  # type: ignore[arg-type]
    return fit_classifier(data, settings, codec=codec)
