"""Judges: models that are trained on some rows and asked about others, behind one function."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight
from torch import Tensor

from tardiff.base.extras import needs
from tardiff.base.noise import stream
from tardiff.classifier import networks as classifier
from tardiff.data.codec import Codec
from tardiff.data.dataset import Split
from tardiff.data.summaries import observed_shares, summary_features
from tardiff.errors import TardiffError
from tardiff.evaluate.cache import content_hash
from tardiff.settings import ClassifierSettings

Probability = NDArray[np.float64]
BATCH = 128  # half the time of 64 a pass, and no worse
EPOCHS = 40  # of a network: of 5 to 160, best or close to it on validation rows of PhysioNet 2012, with 300 rows, 3,100, and 2 % deaths
ROUNDS = 150  # of boosting: as good as 100 or 300 there, at natural prevalence, 5 % and 2 % deaths


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
        return cls.shown(codec.encode(split), split.label)

    @classmethod
    def shown(cls, seen: Tensor, label: NDArray[np.int64]) -> "Rows":
        """Rows of records as `Codec.encode` gives them, real or changed; their summaries follow from them."""
        return cls(seen.numpy(), summary_features(seen), label)

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
        return content_hash(self.seen, self.features, self.label)


Predict = Callable[[Rows], Probability]
Judge = Callable[[Rows, int, int, "Variant"], Predict]


@dataclass(frozen=True)
class Variant:
    """How a judge is trained.

    Attributes:
        balance: power of a class's inverse frequency by which its rows weigh in the loss: 0 not at all, 1 makes classes equal.
        tuned: number of the judge's settings: 0 are its own, others are drawn from `RANGES`.
    """

    balance: float = 0.0
    tuned: int = 0


PLAIN = Variant()

RANGES: dict[str, dict[str, tuple[float, float]]] = {
    "gru": {"learning_rate": (3e-4, 3e-3), "dropout": (0.05, 0.5), "weight_decay": (1e-3, 1.0)},
    "tcn": {"learning_rate": (3e-4, 3e-3), "dropout": (0.05, 0.5), "weight_decay": (1e-3, 1.0)},
    "trees": {"learning_rate": (0.01, 0.1), "max_leaf_nodes": (4, 32), "min_samples_leaf": (5, 60), "l2_regularization": (0.01, 30)},
    "xgboost": {"learning_rate": (0.01, 0.1), "max_depth": (2, 8), "min_child_weight": (0.3, 30), "reg_lambda": (0.1, 30)},
    "lightgbm": {"learning_rate": (0.01, 0.1), "num_leaves": (4, 32), "min_child_samples": (5, 60), "reg_lambda": (0.01, 30)},
    "logistic": {"C": (1e-3, 1.0)},
}
"""Where each judge's settings are drawn from, evenly on a logarithmic scale."""
WHOLE = ("max_leaf_nodes", "min_samples_leaf", "max_depth", "num_leaves", "min_child_samples")


def settings_of(judge: str, tuned: int) -> dict[str, Any]:
    """The settings that a judge's number stands for, the same in every run; none for 0 (Bergstra & Bengio, JMLR 2012)."""
    if tuned == 0:
        return {}
    random = stream("tuned", tuned)
    drawn = {name: float(np.exp(random.uniform(*np.log(ends)))) for name, ends in RANGES[judge].items()}
    return {name: round(value) if name in WHOLE else value for name, value in drawn.items()}


def fit_judge(name: str, train: Rows, seed: int, classes: int = 2, variant: Variant = PLAIN) -> Predict:
    """Train a judge; what comes back gives class probabilities of rows, [n, classes], and never reads their labels.

    The schedule is fixed: where positives are few, rows to stop on would stop it by chance.
    """
    if name not in JUDGES:
        raise TardiffError(f"models: unknown judge {name!r} (known: {', '.join(JUDGES)})")
    present = np.unique(train.label)
    if len(present) < 2:
        raise TardiffError(f"judge {name}: every training row has class {present[0]}; two classes are needed")
    return JUDGES[name](train, seed, classes, variant)


def _network(architecture: Literal["gru", "tcn"]) -> Judge:
    def judge(train: Rows, seed: int, classes: int, variant: Variant) -> Predict:
        more = settings_of(architecture, variant.tuned)
        settings = ClassifierSettings(architecture=architecture, batch_size=BATCH, epochs=EPOCHS, seed=seed, **more)
        seen, label = torch.tensor(train.seen), torch.tensor(train.label)
        network = classifier.fit(seen, label, None, settings, classes, balance=variant.balance).classifier
        return lambda rows: network.probability(torch.tensor(rows.seen))

    return judge


def _on_features(build: Callable[[int, dict[str, Any]], Any], name: str) -> Judge:
    """A model of scikit-learn's form, on summary features."""

    def judge(train: Rows, seed: int, classes: int, variant: Variant) -> Predict:
        # Weights of one are left out: with any, scikit-learn finds the same bins fifty times more slowly.
        weight = compute_sample_weight("balanced", train.label) ** variant.balance if variant.balance else None
        model = build(seed, settings_of(name, variant.tuned)).fit(train.features, train.label, sample_weight=weight)
        return lambda rows: all_classes(model.predict_proba(rows.features), model.classes_, classes)

    return judge


def _trees(seed: int, more: dict[str, Any]) -> Any:
    # Half of the features at each split makes the trees depend on the seed.
    settings = {"learning_rate": 0.05, "max_leaf_nodes": 8, "l2_regularization": 10.0} | more
    return HistGradientBoostingClassifier(max_iter=ROUNDS, max_features=0.5, early_stopping=False, random_state=seed, **settings)


def _xgboost(seed: int, more: dict[str, Any]) -> Any:
    settings = {"learning_rate": 0.05, "max_depth": 4} | more
    model = needs("xgboost").XGBClassifier
    return model(n_estimators=ROUNDS, subsample=0.8, colsample_bytree=0.5, n_jobs=1, random_state=seed, **settings)


def _lightgbm(seed: int, more: dict[str, Any]) -> Any:
    settings = {"learning_rate": 0.03, "num_leaves": 15, "reg_lambda": 1.0} | more
    fixed = {"subsample": 0.8, "subsample_freq": 1, "colsample_bytree": 0.5, "n_jobs": 1, "verbose": -1}
    return needs("lightgbm").LGBMClassifier(n_estimators=ROUNDS, random_state=seed, **fixed, **settings)


def _logistic_on(read: Callable[[Rows], NDArray[np.float64]]) -> Judge:
    def judge(train: Rows, seed: int, classes: int, variant: Variant) -> Predict:
        # A convex problem: its seed only chose the rows.
        regression = LogisticRegression(max_iter=1000, **({"C": 0.1} | settings_of("logistic", variant.tuned)))
        weight = compute_sample_weight("balanced", train.label) ** variant.balance
        model = make_pipeline(StandardScaler(), regression).fit(read(train), train.label, logisticregression__sample_weight=weight)
        return lambda rows: all_classes(model.predict_proba(read(rows)), model.classes_, classes)

    return judge


def all_classes(probability: Probability, present: NDArray[np.int64], classes: int) -> Probability:
    """[n, present] to [n, classes]: a class that was not trained on has probability 0."""
    full = np.zeros((len(probability), classes))
    full[:, present] = probability
    return full


JUDGES: dict[str, Judge] = {
    "gru": _network("gru"),
    "tcn": _network("tcn"),
    "trees": _on_features(_trees, "trees"),
    "xgboost": _on_features(_xgboost, "xgboost"),
    "lightgbm": _on_features(_lightgbm, "lightgbm"),
    "logistic": _logistic_on(lambda rows: rows.features),
    "mask-only": _logistic_on(lambda rows: observed_shares(rows.features)),
}
COST = {"gru": 30, "tcn": 16, "trees": 1.5, "xgboost": 1.5, "lightgbm": 1, "logistic": 0.1, "mask-only": 0.1}
"""Time of a fit a training row, relative to each other: for the order and the ETA only."""
