import joblib
import numpy as np
import pytest
from imblearn.pipeline import make_pipeline
from lightgbm import LGBMClassifier
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from xgboost import XGBClassifier

from tardiff.augment import RecordSummary, TarDiffSampler
from tardiff.settings import GuidanceSettings
from tests.augment.toys import OwnNetwork, records, sampler

NONE, GUIDED = GuidanceSettings(guidance="none"), GuidanceSettings(strength=0.2)


def test_rare_class_is_filled_up_after_the_real_rows():
    X, y = records()
    tool = sampler(guidance=GUIDED)
    X2, y2 = tool.fit_resample(X, y)
    np.testing.assert_array_equal(X2[: len(X)], X)
    np.testing.assert_array_equal(y2[: len(y)], y)
    assert np.bincount(y2).tolist() == [48, 48]
    assert dict(tool.sampling_strategy_) == {1: 36}
    assert tool.synthetic_.sum() == 36
    assert X2.dtype == X.dtype
    new = X2[len(X) :]
    assert np.nanmin(X, axis=(0, 2)) == pytest.approx(np.minimum(np.nanmin(new, axis=(0, 2)), np.nanmin(X, axis=(0, 2))))
    assert tool.movement_.value > 0


def test_same_seed_same_rows_and_another_seed_others():
    X, y = records()
    first, again, other = (sampler(random_state=seed).fit_resample(X, y)[0] for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other, equal_nan=True)


@pytest.mark.slow
def test_guides_side_by_side_change_nothing():
    X, y = records()
    models = ["summary", "tcn"]
    with joblib.parallel_config(backend="multiprocessing"):  # forks, so that the workers need not import everything again
        alone, beside = (sampler(model=models, n_jobs=n).fit_resample(X, y)[0] for n in (1, 2))
    np.testing.assert_array_equal(alone, beside)


def test_a_row_outside_the_fold_changes_nothing():
    """The rows of a fold alone decide: what happens to a validation row leaves every synthetic row as it was, bit for bit."""
    X, y = records()
    inside, outside = next(StratifiedKFold(3).split(X[:, 0], y))
    changed, flipped = X.copy(), y.copy()
    changed[outside] += 100
    flipped[outside[0]] = 1 - flipped[outside[0]]
    before = sampler().fit_resample(X[inside], y[inside])[0]
    after = sampler().fit_resample(changed[inside], flipped[inside])[0]
    np.testing.assert_array_equal(before, after)


def test_cross_validation_fits_on_each_training_fold_only(monkeypatch):
    X, y = records()
    received = []
    plain = TarDiffSampler.fit_resample
    monkeypatch.setattr(TarDiffSampler, "fit_resample", lambda self, X, y=None: received.append(X.copy()) or plain(self, X, y))
    model = make_pipeline(sampler(guidance=NONE), RecordSummary(), LogisticRegression())
    folds = list(StratifiedKFold(3).split(X[:, 0], y))
    scores = cross_val_score(model, X, y, cv=folds, scoring="average_precision")
    assert np.isfinite(scores).all()
    assert len(received) == 3
    for rows, (inside, _) in zip(received, folds, strict=True):
        np.testing.assert_array_equal(rows, X[inside])


def test_prediction_does_not_resample():
    X, y = records()
    model = make_pipeline(sampler(guidance=NONE), RecordSummary(), LogisticRegression()).fit(X, y)
    assert len(model.predict(X)) == len(X)


@pytest.mark.parametrize(
    ("strategy", "counts"),
    [(0.5, [48, 24]), ("minority", [48, 48]), ({1: 20}, [48, 20]), ({0: 60, 1: 50}, [60, 50]), (lambda y: {1: 13}, [48, 13])],
    ids=["ratio", "word", "dict", "dict of both", "callable"],
)
def test_strategies_are_those_of_imbalanced_learn(strategy, counts):
    X, y = records()
    assert np.bincount(sampler(sampling_strategy=strategy, guidance=NONE).fit_resample(X, y)[1]).tolist() == counts


def test_nothing_to_do_trains_nothing():
    X, y = records(share=0.5)
    tool = sampler()
    X2, y2 = tool.fit_resample(X, y)
    np.testing.assert_array_equal(X2, X)
    np.testing.assert_array_equal(y2, y)
    assert tool.pipeline_ is None


def test_channels_that_lack_nothing_lack_nothing_in_synthetic_rows():
    X, y = records()
    X = np.where(np.isnan(X), 0.0, X)
    X[:, 1, :3] = np.nan
    X2, _ = sampler().fit_resample(X, y)
    assert np.isfinite(X2[:, [0, 2]]).all()
    assert np.isnan(X2[:, 1, :3]).any()


def test_clone_keeps_every_parameter():
    tool = sampler(guidance_rows=np.ones(3, bool), model=LogisticRegression(C=2.0))
    assert clone(tool).get_params()["model__C"] == 2.0


class TestModels:
    def test_own_network_guides_and_is_not_touched(self):
        X, y = records()
        network = OwnNetwork()
        before = {k: v.clone() for k, v in network.state_dict().items()}
        tool = sampler(model=network, guidance=GUIDED)
        tool.fit_resample(X, y)
        assert all((before[k] == v).all() for k, v in network.state_dict().items())
        assert isinstance(tool.guides_[0].classifier, OwnNetwork)
        assert tool.movement_.value > 0

    def test_what_a_network_learnt_elsewhere_does_not_enter(self):
        X, y = records()
        one, other = OwnNetwork(), OwnNetwork()
        np.testing.assert_array_equal(*(sampler(model=m).fit_resample(X, y)[0] for m in (one, other)))

    def test_factory(self):
        X, y = records()
        tool = sampler(model=lambda channels, classes: OwnNetwork(channels, classes))
        tool.fit_resample(X, y)
        assert isinstance(tool.guides_[0].classifier, OwnNetwork)

    def test_own_network_guides_by_influence(self):
        X, y = records()
        tool = sampler(model=OwnNetwork(), guidance=GuidanceSettings(objective="cosine=1", strength=0.2))
        tool.fit_resample(X, y)
        assert tool.movement_.value > 0

    def test_estimator_guides_through_a_stand_in_whose_fit_is_told(self):
        X, y = records(rows=200, share=0.4)
        tool = sampler(model=LogisticRegression(C=0.1), epochs=40, sampling_strategy={1: 90})
        tool.fit_resample(X, y)
        fit = tool.surrogate_fit_
        assert fit["spearman"] > 0.7
        assert fit["r2"] > 0.4
        assert fit["rows"] == 40
        assert fit["architecture"] in ("summary", "gru")

    @pytest.mark.parametrize(
        "boosted", [XGBClassifier(n_estimators=20), pytest.param(LGBMClassifier(n_estimators=20, verbose=-1), marks=pytest.mark.slow)]
    )
    def test_boosted_trees_guide_through_a_stand_in(self, boosted):
        X, y = records(rows=200, share=0.4)
        tool = sampler(model=boosted, epochs=40, sampling_strategy={1: 90})
        tool.fit_resample(X, y)
        assert tool.surrogate_fit_["spearman"] > 0.5
        assert tool.movement_.value > 0
        assert not hasattr(boosted, "classes_")  # a copy was fitted

    def test_default_is_a_committee(self):
        X, y = records()
        tool = sampler(model=None)
        tool.fit_resample(X, y)
        assert [g.card.settings["architecture"] for g in tool.guides_] == ["committee"]
        assert tool.surrogate_fit_ is None

    @pytest.mark.parametrize(
        ("model", "message"),
        [("vgg", "unknown architecture"), (3, "neither a torch module"), (RecordSummary(), "predict_proba")],
    )
    def test_models_that_cannot_guide(self, model, message):
        X, y = records()
        with pytest.raises(ValueError, match=message):
            sampler(model=model).fit_resample(X, y)

    def test_network_without_embedding(self):
        from torch import nn

        X, y = records()
        with pytest.raises(ValueError, match="Linear has no loss"):
            sampler(model=nn.Linear(2, 2)).fit_resample(X, y)


class TestGuidanceRows:
    def test_other_guidance_rows_make_other_samples(self):
        X, y = records()
        every_other = np.arange(len(X)) % 2 == 0
        halves = [sampler(guidance_rows=rows).fit_resample(X, y)[0] for rows in (every_other, ~every_other)]
        assert not np.array_equal(*halves, equal_nan=True)

    def test_a_function_of_the_rows(self):
        X, y = records()
        mask = np.nanmean(X[:, 0], axis=1) < 5
        by_mask, by_function = (
            sampler(guidance_rows=rows).fit_resample(X, y)[0] for rows in (mask, lambda X: np.nanmean(X[:, 0], axis=1) < 5)
        )
        np.testing.assert_array_equal(by_mask, by_function)

    @pytest.mark.parametrize(("rows", "message"), [(np.ones(3, bool), "60 truth values"), (np.zeros(60, bool), "fewer than two classes")])
    def test_bad_guidance_rows(self, rows, message):
        X, y = records()
        with pytest.raises(ValueError, match=message):
            sampler(guidance_rows=rows).fit_resample(X, y)
