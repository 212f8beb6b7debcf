"""Judges: models that are trained on some rows and asked about others, behind one function."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

from tardiff.base.extras import needs
from tardiff.classifier import networks as classifier
from tardiff.data.codec import Codec
from tardiff.data.dataset import Split
from tardiff.errors import TardiffError
from tardiff.evaluate.features import observed_shares, summary_features
from tardiff.settings import ClassifierSettings

Probability = NDArray[np.float64]
BATCH = 128  # half the time of 64 a pass, and no worse


@dataclass(frozen=True)
class Rows:
    """Records as judges read them.

    Attributes:
        seen: float32 [N, 2 C, T], as `Codec.encode` shows them.
        features: float64 [N, 7 C], as `summary_features` sums them up.
        label: int64 [N].
    """

    seen: NDArray[np.float32]
    features: NDArray[np.float64]
    label: NDArray[np.int64]

    @classmethod
    def of(cls, split: Split, codec: Codec) -> "Rows":
        """Rows of a split, through a codec that was fitted on real training rows."""
        seen = codec.encode(split)
        return cls(seen.numpy(), summary_features(seen), split.label)

    def __len__(self) -> int:
        return len(self.label)

    def take(self, rows: NDArray[np.integer]) -> "Rows":
        """The rows given by an index array."""
        return Rows(self.seen[rows], self.features[rows], self.label[rows])

    def join(self, other: "Rows") -> "Rows":
        """These rows, then the other ones."""
        return Rows(
            np.concatenate([self.seen, other.seen]),
            np.concatenate([self.features, other.features]),
            np.concatenate([self.label, other.label]),
        )

    def labelled(self, label: int) -> "Rows":
        """The same rows, all with one label."""
        return Rows(self.seen, self.features, np.full(len(self), label))

    @cached_property
    def digest(self) -> str:
        """Hash of all that is in them."""
        digest = hashlib.sha256()
        for array in (self.seen, self.features, self.label):
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


Predict = Callable[[Rows], Probability]


def fit_judge(name: str, train: Rows, validation: Rows, seed: int, classes: int = 2, *, balanced: bool = False) -> Predict:
    """Train a judge; what comes back gives class probabilities of rows, [n, classes], and never reads their labels.

    Args:
        name: a key of `JUDGES`.
        train: rows to learn from.
        validation: rows to stop on.
        seed: of weights, order, dropout and feature subsampling.
        classes: number of labels.
        balanced: weigh the classes equally in the loss.

    Raises:
        TardiffError: there is no such judge, it is not installed, or the training rows have one class only.
    """
    if name not in JUDGES:
        raise TardiffError(f"models: unknown judge {name!r} (known: {', '.join(JUDGES)})")
    present = np.unique(train.label)
    if len(present) < 2:
        raise TardiffError(f"judge {name}: every training row has class {present[0]}; two classes are needed")
    return JUDGES[name](train, validation, seed, classes, balanced)


def _network(architecture: Literal["gru", "tcn"]) -> Callable[[Rows, Rows, int, int, bool], Predict]:
    def judge(train: Rows, validation: Rows, seed: int, classes: int, balanced: bool) -> Predict:
        settings = ClassifierSettings(architecture=architecture, batch_size=BATCH, class_weights=balanced, seed=seed)
        stop_on = torch.tensor(validation.seen), torch.tensor(validation.label)
        network = classifier.fit(torch.tensor(train.seen), torch.tensor(train.label), stop_on, settings, classes).classifier
        return lambda rows: network.probability(torch.tensor(rows.seen))

    return judge


def _trees(train: Rows, validation: Rows, seed: int, classes: int, balanced: bool) -> Predict:
    # Half of the features at each split makes the trees depend on the seed. scikit-learn's own early stopping would cut its
    # validation rows from the training rows; here they are given, so every stage is scored on them instead.
    model = HistGradientBoostingClassifier(
        learning_rate=0.05,
        max_leaf_nodes=15,
        max_iter=150,
        max_features=0.5,
        early_stopping=False,
        class_weight=_class_weight(balanced),
        random_state=seed,
    ).fit(train.features, train.label)
    losses = [_log_loss(all_classes(p, model.classes_, classes), validation.label) for p in model.staged_predict_proba(validation.features)]
    best = int(np.argmin(losses))

    def predict(rows: Rows) -> Probability:
        return all_classes(next(islice(model.staged_predict_proba(rows.features), best, None)), model.classes_, classes)

    return predict


def _xgboost(train: Rows, validation: Rows, seed: int, classes: int, balanced: bool) -> Predict:
    model = needs("xgboost").XGBClassifier(
        n_estimators=400,
        learning_rate=0.05,
        max_depth=4,
        subsample=0.8,
        colsample_bytree=0.5,
        eval_metric="logloss",
        early_stopping_rounds=30,
        n_jobs=1,
        random_state=seed,
    )
    weight = compute_sample_weight("balanced", train.label) if balanced else None
    model.fit(train.features, train.label, sample_weight=weight, eval_set=[(validation.features, validation.label)], verbose=False)
    return lambda rows: all_classes(model.predict_proba(rows.features), model.classes_, classes)


def _logistic_on(read: Callable[[Rows], NDArray[np.float64]]) -> Callable[[Rows, Rows, int, int, bool], Predict]:
    def judge(train: Rows, validation: Rows, seed: int, classes: int, balanced: bool) -> Predict:
        # A convex problem: it needs no rows to stop on, and its seed only chose the rows.
        regression = LogisticRegression(C=0.1, max_iter=1000, class_weight=_class_weight(balanced))
        model = make_pipeline(StandardScaler(), regression).fit(read(train), train.label)
        return lambda rows: all_classes(model.predict_proba(read(rows)), model.classes_, classes)

    return judge


def _class_weight(balanced: bool) -> str | None:
    return "balanced" if balanced else None


def _log_loss(probability: Probability, label: NDArray[np.int64]) -> float:
    return float(-np.log(np.maximum(probability[np.arange(len(label)), label], 1e-15)).mean())


def all_classes(probability: Probability, present: NDArray[np.int64], classes: int) -> Probability:
    """[n, present] to [n, classes]: a class that was not trained on has probability 0."""
    full = np.zeros((len(probability), classes))
    full[:, present] = probability
    return full


JUDGES: dict[str, Callable[[Rows, Rows, int, int, bool], Predict]] = {
    "gru": _network("gru"),
    "tcn": _network("tcn"),
    "trees": _trees,
    "xgboost": _xgboost,
    "logistic": _logistic_on(lambda rows: rows.features),
    "mask-only": _logistic_on(lambda rows: observed_shares(rows.features)),
}
COST = {"gru": 30, "tcn": 16, "trees": 1.5, "xgboost": 1.5, "logistic": 0.1, "mask-only": 0.1}
"""Time of a fit a training row, relative to each other: for the order and the ETA only."""
