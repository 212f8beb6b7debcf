import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from tardiff.data.codec import Codec
from tardiff.data.summaries import observed_shares, summary_features
from tardiff.errors import TardiffError
from tardiff.evaluate.judges import Rows, fit_judge

from .toys import MANIFEST, rows


@pytest.fixture(scope="module")
def parts():
    train = rows(300, 1)
    codec = Codec.fit(train, MANIFEST)
    return [Rows.of(part, codec) for part in (train, rows(120, 2), rows(300, 3))]


def test_summary_features_in_closed_form():
    value = torch.tensor([[[0.0, 1.0, 2.0, 3.0, 4.0, 5.0], [2.0] * 6]])
    mask = torch.tensor([[[1.0, 1, 1, 0, 0, 0], [1.0] * 6]])
    found = summary_features(torch.cat([value, mask], dim=1)).reshape(7, 2)
    expected = {"mean": 2.5, "sd": np.sqrt(35 / 12), "min": 0, "max": 5, "last": 3.5, "slope": 1, "observed": 0.5}
    np.testing.assert_allclose(found[:, 0], list(expected.values()))
    np.testing.assert_allclose(found[:, 1], [2, 0, 2, 2, 2, 0, 1], atol=1e-12)
    np.testing.assert_allclose(observed_shares(found.reshape(1, -1)), [[0.5, 1.0]])


def fit_predict(name, train, validation, test, seed, classes=2):
    return fit_judge(name, train, seed, classes)(test)


@pytest.mark.parametrize("name", ["gru", "tcn", "trees", "xgboost", "lightgbm", "logistic"])
def test_judges_learn_what_can_be_learnt_and_nothing_else(name, parts):
    train, validation, test = parts
    probability = fit_predict(name, train, validation, test, seed=0)
    assert probability.shape == (300, 2)
    np.testing.assert_allclose(probability.sum(1), 1, atol=1e-6)
    assert roc_auc_score(test.label, probability[:, 1]) > 0.85
    shuffled = Rows(train.seen, train.features, np.random.default_rng(0).permutation(train.label))
    assert 0.3 < roc_auc_score(test.label, fit_predict(name, shuffled, validation, test, seed=0)[:, 1]) < 0.75


@pytest.mark.parametrize("name", ["gru", "trees", "xgboost", "lightgbm"])
def test_a_seed_repeats_and_matters(name, parts):
    first, again, other = (fit_predict(name, *parts, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3


def test_test_labels_are_never_read(parts):
    train, validation, test = parts
    hidden = Rows(test.seen, test.features, np.zeros_like(test.label))
    np.testing.assert_array_equal(fit_predict("trees", *parts, seed=0), fit_predict("trees", train, validation, hidden, seed=0))


def test_a_class_never_trained_on_has_probability_zero(parts):
    probability = fit_predict("trees", *parts, seed=0, classes=3)
    assert probability.shape == (300, 3)
    assert (probability[:, 2] == 0).all()


def test_impossible_fits_are_refused(parts):
    train, validation, test = parts
    with pytest.raises(TardiffError, match="every training row has class 1"):
        fit_predict("trees", train.take(np.flatnonzero(train.label == 1)), validation, test, seed=0)
    with pytest.raises(TardiffError, match="unknown judge 'forest'"):
        fit_predict("forest", train, validation, test, seed=0)
