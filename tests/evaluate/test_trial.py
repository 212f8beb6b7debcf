"""What a membership trial says of a score."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import roc_auc_score, roc_curve

from tardiff.data.dataset import Dataset
from tardiff.errors import TardiffError
from tardiff.evaluate.metrics import true_positive_rate
from tardiff.evaluate.privacy.trial import Trial

from .toys import MANIFEST, real


def draw(n=4000, most=2000, split="train"):
    return Trial.draw(real(n), split, "train", most, 0)


def test_rows_of_a_trial_are_apart():
    data = real(240)
    trial = Trial.draw(data, "train", "train", 100, 0)
    assert (len(trial.members), len(trial.others)) == (100, 100)
    members, others, reference = (set(part.stay_id.tolist()) for part in (trial.members, trial.others, trial.reference))
    assert members < set(data.train.stay_id.tolist())
    assert others < set(data.split("test").stay_id.tolist())
    assert not reference & (members | others | set(data.train.stay_id.tolist()))
    assert len(reference) == 120 + 120
    of_validation = Trial.draw(data, "validation", "guidance", 1000, 0)
    assert len(of_validation.members) == 120
    assert not set(of_validation.reference.stay_id.tolist()) & set(of_validation.members.stay_id.tolist())


@given(st.integers(0, 50), st.integers(1, 6), st.integers(5, 400))
def test_half_of_the_held_out_patients_are_outsiders_and_the_other_half_the_reference(seed, stays, most):
    """Whole patients, of each split a half: no outsider has a stay among the reference rows."""
    data = real(120)
    for split in data.splits.values():
        split.subject_id[:] = split.stay_id // stays
    trial = Trial.draw(data, "train", "train", most, seed, ("validation", "test"))
    outside, inside = (set(part.subject_id.tolist()) for part in (trial.others, trial.reference))
    assert not outside & inside
    assert not (outside | inside) & set(data.train.subject_id.tolist())
    patients = {name: set(data.split(name).subject_id.tolist()) for name in ("validation", "test")}
    assert sum(abs(2 * len(inside & of) - len(of)) for of in patients.values()) <= 2
    assert np.isin(trial.others.subject_id, list(patients["validation"])).tolist() == [k < trial.first for k in range(len(trial.others))]


def test_a_rate_needs_five_false_alarms():
    trial = draw(2000, 500)
    score = np.random.default_rng(0).normal(size=1000)
    found = trial.judged("coin", "black", score)
    assert found["tpr"]["0.01"]["n"] == 500
    assert found["tpr"]["0.001"] is None
    assert found["reason"] == "a true positive rate rests on at least 5 false alarms: 0.1% needs 5,000 held-out rows, there are 500"
    few = draw(2000, 499).judged("coin", "black", score[:998])
    assert few["tpr"] == {"0.01": None, "0.001": None}
    assert "1.0% needs 500" in few["reason"]


def test_the_control_is_of_others_against_others():
    trial = Trial.draw(real(400), "train", "train", 400, 0, ("validation", "test"))
    coin = np.random.default_rng(0).normal(size=len(trial.rows))
    assert trial.judged("coin", "white", coin)["control"]["low"] < 0.5 < trial.judged("coin", "white", coin)["control"]["high"]
    by_split = coin.copy()
    by_split[len(trial.members) : len(trial.members) + trial.first] += 9
    assert trial.judged("split", "white", by_split)["control"]["value"] == 1
    assert draw(400).judged("coin", "white", np.zeros(600))["control"] is None


def test_a_coin_and_an_oracle():
    trial = draw()
    coin = trial.judged("coin", "black", np.random.default_rng(0).normal(size=4000))
    assert coin["auc"]["low"] < 0.5 < coin["auc"]["high"]
    assert coin["tpr"]["0.01"]["low"] <= 0.01 <= coin["tpr"]["0.01"]["high"]
    oracle = trial.judged("oracle", "white", np.repeat([1.0, 0.0], 2000))
    assert oracle["auc"]["value"] == oracle["tpr"]["0.01"]["value"] == 1
    constant = trial.judged("constant", "white", np.zeros(4000))
    assert constant["auc"]["value"] == 0.5
    assert constant["tpr"]["0.01"]["value"] == 0


def test_the_curve_is_short_and_holds_the_area():
    trial = draw()
    score = np.random.default_rng(0).normal(size=4000) + np.repeat([1.0, 0.0], 2000)
    found = trial.judged("shift", "black", score)
    fpr, tpr = found["roc"]["fpr"], found["roc"]["tpr"]
    assert len(fpr) == len(tpr) <= 200
    assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(tpr, fpr) == pytest.approx(found["auc"]["value"], abs=5e-3)
    assert found["auc"]["value"] == pytest.approx(roc_auc_score(np.repeat([1, 0], 2000), score))


@given(arrays(np.int64, 40, elements=st.integers(0, 5)), st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0]))
def test_hits_are_the_highest_point_of_the_curve(score, rate):
    label = np.repeat([1, 0], 20)
    fpr, tpr, _ = roc_curve(label, score, drop_intermediate=False)
    assert true_positive_rate(label, score.astype(float), np.ones((1, 40)), rate)[0] == pytest.approx(tpr[fpr <= rate].max())


def test_weights_count_rows():
    label, score = np.array([1, 1, 0, 0]), np.array([3.0, 1.0, 2.0, 0.0])
    weights = np.array([[1.0, 1, 1, 1], [2, 1, 1, 1], [1, 1, 0, 2]])
    np.testing.assert_allclose(true_positive_rate(label, score, weights, 0.0), [0.5, 2 / 3, 1.0])


def test_patients_are_resampled_whole():
    data = real(240)
    for split in data.splits.values():
        split.subject_id[:] = split.stay_id // 4
    trial = Trial.draw(data, "train", "train", 240, 0)
    for weights, part in zip(trial.weights, (trial.members, trial.others), strict=True):
        for subject in np.unique(part.subject_id):
            assert (np.ptp(weights[:, part.subject_id == subject], axis=1) == 0).all()


def test_too_few_rows_are_refused():
    data = real(9)
    short = Dataset(MANIFEST, {**data.splits, "test": data.split("test").take(slice(1))})
    with pytest.raises(TardiffError, match="two held-out patients at least"):
        Trial.draw(short, "train", "train", 9, 0)
