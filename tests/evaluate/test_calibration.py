import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from tardiff.evaluate.calibration import calibration_error, calibration_intercept, calibration_slope


@pytest.fixture(scope="module")
def rows():
    random = np.random.default_rng(0)
    truth = random.normal(-1, 1.5, 4000)
    label = (random.random(4000) < expit(truth)).astype(np.int64)
    return label, truth, random.integers(0, 4, (3, 4000)).astype(np.float32)


def test_recalibration_is_a_weighted_logistic_regression(rows):
    label, truth, weights = rows
    score = expit(0.4 + 1.7 * truth)
    for b, w in enumerate(weights):
        expected = LogisticRegression(C=np.inf, tol=1e-9).fit(logit(score)[:, None], label, sample_weight=w)
        assert calibration_slope(label, score, weights)[b] == pytest.approx(expected.coef_[0, 0], abs=1e-4)
        assert calibration_intercept(label, score, weights)[b] == pytest.approx(expected.intercept_[0], abs=1e-4)


def test_a_known_distortion_is_undone(rows):
    label, truth, _ = rows
    plain = np.ones((1, len(label)))
    assert calibration_slope(label, expit(truth), plain) == pytest.approx(1, abs=0.1)
    assert calibration_slope(label, expit(2 * truth), plain) == pytest.approx(0.5, abs=0.05)  # overconfident
    shifted = calibration_intercept(label, expit(truth + 1), plain)
    assert shifted == pytest.approx(calibration_intercept(label, expit(truth), plain) - calibration_slope(label, expit(truth), plain))


def test_error_by_hand():
    score = np.repeat([0.1, 0.9], 10)
    label = np.repeat([0, 1, 0, 1], [8, 2, 5, 5])
    weights = np.stack([np.ones(20), np.repeat([1.0, 0.0], 10)])
    np.testing.assert_allclose(calibration_error(label, score, weights), [(0.1 + 0.4) / 2, 0.1])


def test_error_of_true_probabilities_is_small(rows):
    label, truth, _ = rows
    plain = np.ones((1, len(label)))
    assert calibration_error(label, expit(truth), plain) < 0.03
    assert calibration_error(label, np.full(len(label), label.mean() + 0.2), plain) == pytest.approx(0.2)


@pytest.mark.filterwarnings("error")
def test_what_has_no_slope_is_undefined():
    score, plain = np.linspace(0.1, 0.9, 10), np.ones((1, 10))
    assert np.isnan(calibration_slope(np.zeros(10, np.int64), score, plain)).all()
    assert np.isnan(calibration_slope((score > 0.5).astype(np.int64), score, plain)).all()  # separated
    assert np.isnan(calibration_slope(np.arange(10) % 2, np.full(10, 0.3), plain)).all()  # nothing to tell
    mixed = calibration_slope(np.arange(10) % 2, score, np.stack([np.ones(10), np.arange(10) % 2.0]))
    assert np.isfinite(mixed[0])
    assert np.isnan(mixed[1])  # one class only in this resample
