"""How an attacker reads records: everything that synthetic rows and real ones have in common."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier
from torch import Tensor

from tardiff.data.codec import Codec
from tardiff.data.dataset import Dataset, Split
from tardiff.data.statics import StaticModel
from tardiff.data.summaries import summary_features

TREES = 200


@dataclass(frozen=True)
class Knowledge:
    """The spaces in which records are compared; what they take from data is a scale, fitted on real training rows."""

    codec: Codec
    statics: StaticModel
    classes: int

    @classmethod
    def of(cls, real: Dataset, codec: Codec) -> "Knowledge":
        """For the records of a data set."""
        return cls(codec, StaticModel.fit(real.train, real.manifest), len(real.manifest.task.classes))

    def flat(self, split: Split) -> Tensor:
        """Values and mask in model space, [N, 2 C T]: where distances are taken."""
        return self.codec.encode(split).flatten(1)

    def features(self, split: Split) -> NDArray[np.float64]:
        """Summaries of the record, descriptors and label, [N, 7 C + descriptors + classes]: where densities are."""
        return np.concatenate([self.record(split), self.descriptors(split.static), self.labels(split.label)], axis=1)

    def record(self, split: Split) -> NDArray[np.float64]:
        """Summaries of values and mask, [N, 7 C]."""
        return summary_features(self.codec.encode(split))

    def descriptors(self, static: NDArray[np.float32]) -> NDArray[np.float64]:
        """Encoded descriptors; a missing one is all zero."""
        return self.statics.encode(static).double().numpy()

    def labels(self, label: NDArray[np.int64]) -> NDArray[np.float64]:
        """One column a class."""
        return np.eye(self.classes)[label]


def forest(seed: int) -> ExtraTreesClassifier:
    """An attacker's classifier: trees grown until every row is told apart, so that they know a copy when they see it."""
    return ExtraTreesClassifier(TREES, class_weight="balanced", random_state=seed, n_jobs=1)
