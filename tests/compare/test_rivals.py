"""Rivals are as strong as they can be: fixed schedules, and as many settings to choose from as synthetic rows have."""

import numpy as np
import pytest
import torch
from scipy.special import expit, logit
from sklearn.metrics import average_precision_score

from tardiff.compare.baselines import BASELINES
from tardiff.compare.run import opened
from tardiff.data.codec import Codec
from tardiff.data.summaries import summary_features
from tardiff.evaluate import judges
from tardiff.evaluate.calibration import calibration_intercept, calibration_slope, isotonic, platt
from tardiff.evaluate.judges import PLAIN, RANGES, Rows, Variant, fit_judge, settings_of
from tardiff.settings import METHODS, CompareSettings
from tests.evaluate.toys import MANIFEST, rows


@pytest.fixture(scope="module")
def few():
    """Training rows with 30 positives in 300, and test rows."""
    train = rows(300, 1, positive=0.1)
    codec = Codec.fit(train, MANIFEST)
    return Rows.of(train, codec), Rows.of(rows(600, 3, positive=0.1), codec)


@pytest.mark.parametrize("ratios", [(0.5,), (0.25, 0.5, 1.0)])
def test_every_way_chooses_among_as_many_settings(toy, tmp_path, ratios):
    comparison = opened(toy[1], CompareSettings("logistic", ratios=ratios, bootstrap=10), tmp_path)
    for method in METHODS:
        if method not in ("unguided", "guided", "refined"):
            sets, candidates = comparison.candidates(method, 3)
            assert len(candidates) == (1 if method == "none" else 2 * len(ratios)), method
            assert all(sets.count(candidate.learn) for candidate in candidates)
    assert [candidate.variant for candidate in comparison.candidates("none", 3)[1]] == [PLAIN]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gru", "trees"])
def test_a_longer_schedule_is_no_better(few, name, monkeypatch):
    """Judges that stopped by a handful of positives lost to any fixed schedule."""
    train, test = few

    def precision():
        return np.mean([average_precision_score(test.label, fit_judge(name, train, seed)(test)[:, 1]) for seed in range(3)])

    usual = precision()
    monkeypatch.setattr(judges, "EPOCHS", 3 * judges.EPOCHS)
    monkeypatch.setattr(judges, "ROUNDS", 3 * judges.ROUNDS)
    assert usual > precision() - 0.03


@pytest.mark.parametrize("strength", [0.5, 1.0])
@pytest.mark.parametrize("method", ["oversample", "undersample", "smote", "borderline_smote", "svm_smote"])
def test_strength_is_the_share_of_the_imbalance_that_goes(few, method, strength):
    train, _ = few
    before, after = (np.bincount(of.label) for of in (train, BASELINES[method](train, strength, 0)))
    ratio = before[1] / before[0]
    assert after[1] / after[0] == pytest.approx(ratio + strength * (1 - ratio), abs=0.03)
    assert (after[0] < before[0]) == (method == "undersample")


def test_mixed_rows_lie_between_rows_of_their_class(few):
    train, _ = few
    mixed = BASELINES["mixup"](train, 1.0, 0)
    added = mixed.take(np.arange(len(train), len(mixed)))
    np.testing.assert_array_equal(added.label, train.label)
    for c in (0, 1):
        of_class = train.seen[train.label == c]
        assert (added.seen[train.label == c] <= of_class.max(0) + 1e-5).all()
        assert (added.seen[train.label == c] >= of_class.min(0) - 1e-5).all()


@pytest.mark.parametrize("method", BASELINES)
def test_changed_rows_are_summarised_as_the_rows_that_judge_are(few, method):
    """SMOTE, jitter and others once had the share of observed hours on another scale, so that models read it wrongly."""
    made = BASELINES[method](few[0], 0.5, 0)
    np.testing.assert_array_equal(made.features, summary_features(torch.tensor(made.seen)))


@pytest.mark.parametrize("name", RANGES)
def test_tuned_settings_are_the_same_in_every_run_and_in_range(name):
    assert settings_of(name, 0) == {}
    assert settings_of(name, 3) == settings_of(name, 3) != settings_of(name, 4)
    for number in range(1, 20):
        assert all(RANGES[name][key][0] - 0.5 <= value <= RANGES[name][key][1] for key, value in settings_of(name, number).items())


@pytest.mark.parametrize("name", ["gru", "trees", "xgboost", "lightgbm", "logistic"])
def test_variants_change_what_is_learnt(few, name):
    train, test = few
    plain, weighed, tuned = (fit_judge(name, train, 0, variant=v)(test)[:, 1] for v in (PLAIN, Variant(balance=1.0), Variant(tuned=2)))
    assert weighed.mean() > plain.mean() + 0.02  # the rarer class counts more
    assert np.abs(tuned - plain).max() > 1e-3


def test_recalibration_in_closed_form():
    random = np.random.default_rng(0)
    x = random.normal(-1, 1.5, 20_000)
    label = (random.random(20_000) < expit(x)).astype(np.int64)
    overconfident = expit(2 * x + 1)
    plain = np.ones((1, len(label)))
    for recalibrate, within in ((platt, 1e-6), (isotonic, 0.05)):
        found = recalibrate(label, overconfident, overconfident)
        assert calibration_slope(label, found, plain)[0] == pytest.approx(1, abs=within)
        assert calibration_intercept(label, found, plain)[0] == pytest.approx(0, abs=within)
        assert (np.diff(found[np.argsort(overconfident)]) >= 0).all()
    assert logit(platt(label, overconfident, expit(np.array([3.0])))) == pytest.approx(1.0, abs=0.1)  # 3 = 2 x + 1
