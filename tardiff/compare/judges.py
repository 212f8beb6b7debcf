"""The models that a comparison trains in every way: the package's evaluators, and XGBoost where it is installed."""

import numpy as np
from sklearn.utils.class_weight import compute_sample_weight

from tardiff.base.extras import needs
from tardiff.evaluate.judges import Probability, Rows, fit_predict

CHOOSERS = {"gru": ("trees", "logistic")}
"""Models that stand for a slow one where a number of synthetic rows is chosen; every other model chooses for itself."""


def fit_judge(name: str, train: Rows, validation: Rows, ask: Rows, seed: int, balanced: bool = False) -> Probability:
    """Train a model and return its class probabilities of the rows asked about, [n, 2]; arguments as `evaluate.models.fit_predict`."""
    if name != "xgboost":
        return fit_predict(name, train, validation, ask, seed, balanced=balanced)
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
    return np.asarray(model.predict_proba(ask.features), dtype=np.float64)
