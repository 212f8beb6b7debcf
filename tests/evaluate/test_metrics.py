import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from tardiff.errors import TardiffError
from tardiff.evaluate.bootstrap import group_weights
from tardiff.evaluate.intervals import estimate
from tardiff.evaluate.metrics import auprc, auroc, brier, positive_score


@st.composite
def ranked(draw):
    n = draw(st.integers(2, 40))
    label = draw(arrays.arrays(np.int64, n, elements=st.integers(0, 1)))
    label[:2] = (0, 1)
    score = draw(arrays.arrays(np.int64, n, elements=st.integers(0, 6))) / 6  # few levels: many ties
    weights = draw(arrays.arrays(np.float64, (3, n), elements=st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.0])))
    weights[:, :2] += 1
    return label, score, weights


@settings(max_examples=80)
@given(ranked())
def test_weighted_metrics_are_scikit_learns(case):
    label, score, weights = case
    for ours, theirs in ((auroc, roc_auc_score), (auprc, average_precision_score), (brier, brier_score_loss)):
        expected = [theirs(label, score, sample_weight=w) for w in weights]
        np.testing.assert_allclose(ours(label, score, weights), expected, atol=1e-9)


def test_without_ties_on_many_rows():
    random = np.random.default_rng(0)
    label, score = random.integers(0, 2, 3000), random.random(3000)
    weights = random.integers(0, 4, (2, 3000)).astype(np.float32)
    np.testing.assert_allclose(auroc(label, score, weights), [roc_auc_score(label, score, sample_weight=w) for w in weights])
    np.testing.assert_allclose(auprc(label, score, weights), [average_precision_score(label, score, sample_weight=w) for w in weights])


def test_one_class_is_undefined_not_a_number_made_up():
    assert np.isnan(auroc(np.array([0, 1]), np.array([0.1, 0.9]), np.array([[1.0, 0.0]])))
    assert estimate(np.array([np.nan, np.nan]), 2) == {"value": None, "low": None, "high": None, "n": 2, "seeds": None}


def test_more_than_two_classes_is_refused():
    with pytest.raises(TardiffError, match="3 classes"):
        positive_score(np.zeros((4, 3)))


def test_patients_are_drawn_whole():
    patient = np.array([7, 7, 7, 1, 1, 2])
    weights = group_weights(patient, 50, np.random.default_rng(0))
    assert (weights[0] == 1).all()
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[1:, [0, 3, 5]].sum(1) == 3).all()  # as many patients as there are
    assert len(np.unique(weights[1:], axis=0)) > 5
