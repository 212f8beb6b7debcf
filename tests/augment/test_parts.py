"""The parts: features, budget, metrics, baselines, subgroups, labels, verdict."""

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from tardiff.augment import RecordSummary
from tardiff.augment.run import labels_to_add
from tardiff.compare.baselines import BASELINES
from tardiff.compare.cells import first_of
from tardiff.compare.metrics import METRICS
from tardiff.compare.verdict import reference, verdict
from tardiff.data.codec import Codec
from tardiff.data.subgroups import groups, subgroup
from tardiff.data.summaries import NAMES
from tardiff.errors import TardiffError
from tardiff.evaluate.judges import Rows, Variant, fit_judge
from tardiff.model.budget import training_settings
from tests.conftest import make_dataset

ONES = np.ones((1, 400), np.float32)


@pytest.fixture(scope="module")
def scored():
    rng = np.random.default_rng(0)
    label = (rng.random(400) < 0.2).astype(np.int64)
    return label, np.round(1 / (1 + np.exp(-(label * 1.2 + rng.normal(size=400) - 1))), 2)


class TestRecordSummary:
    def test_of_a_record_by_hand(self):
        X = np.array([[[np.nan, 2.0, np.nan, 4.0]], [[6.0, 8.0, 10.0, 12.0]]])
        tool = RecordSummary().fit(X)
        first = dict(zip(tool.get_feature_names_out(["hr"]), tool.transform(X)[0], strict=True))
        filled = np.array([7.0, 2.0, 2.0, 4.0])  # the median of what was seen, then the last value
        assert first["mean of hr"] == filled.mean()
        assert first["sd of hr"] == pytest.approx(filled.std())
        assert first["min of hr"] == 2
        assert first["max of hr"] == 7
        assert first["observed of hr"] == 0.5
        assert first["slope of hr"] == pytest.approx(np.polyfit(range(4), filled, 1)[0])
        assert len(first) == len(NAMES)

    def test_no_gaps_are_left(self):
        X = np.full((3, 2, 4), np.nan)
        X[0, 0] = 1
        assert np.isfinite(RecordSummary().fit_transform(X)).all()

    def test_other_channels_are_refused(self):
        with pytest.raises(ValueError, match="has 3 channels, RecordSummary was fitted on 2"):
            RecordSummary().fit(np.zeros((3, 2, 4))).transform(np.zeros((3, 3, 4)))


class TestBudget:
    def test_more_minutes_never_make_less(self):
        sizes = [training_settings(1500, 24, minutes, 0) for minutes in (0.01, 0.1, 0.5, 2, 5)]
        assert [s.steps for s in sizes] == sorted(s.steps for s in sizes)
        assert [sum(s.widths) for s in sizes] == sorted(sum(s.widths) for s in sizes)
        assert sizes[-1].steps == 2000

    def test_longer_records_cost_more(self):
        short, long = (training_settings(1500, steps, 0.5, 0) for steps in (24, 240))
        assert long.steps < short.steps


class TestMetrics:
    def test_sensitivity_is_that_of_the_curve(self, scored):
        label, score = scored
        false, true, _ = roc_curve(label, score, drop_intermediate=False)
        assert METRICS["sensitivity"](label, score, ONES)[0] == pytest.approx(true[false <= 0.1].max())

    @pytest.mark.parametrize("metric", [METRICS["sensitivity"], METRICS["slope"]])
    def test_a_weight_is_a_repetition(self, metric, scored):
        label, score = scored
        weights = np.random.default_rng(1).integers(0, 3, 400)
        weighed = metric(label, score, weights[None].astype(np.float32))[0]
        repeated = np.repeat(label, weights), np.repeat(score, weights)
        assert weighed == pytest.approx(metric(*repeated, np.ones((1, weights.sum()), np.float32))[0], rel=1e-6)

    @pytest.mark.parametrize("metric", [METRICS["sensitivity"], METRICS["slope"]])
    def test_one_class_is_undefined(self, metric, scored):
        label, score = scored
        assert np.isnan(metric(label, score, (label == 0)[None].astype(np.float32))[0])


class TestBaselines:
    @pytest.fixture(scope="class")
    def rows(self):
        data = make_dataset(80)
        return Rows.of(data.train, Codec.fit(data.train, data.manifest))

    @pytest.mark.parametrize("name", BASELINES)
    def test_real_rows_come_first_and_labels_fit(self, name, rows):
        learn = BASELINES[name](rows, 1.0, 1)
        counts, before = np.bincount(learn.label), np.bincount(rows.label)
        if name in ("jitter", "warp", "mixup"):
            assert (counts == 2 * before).all()
        elif name in ("borderline_smote", "svm_smote", "smote_enn"):  # add near the border alone, or clean after they have added
            assert counts[1] / counts[0] >= before[1] / before[0]
        else:
            assert counts[0] == counts[1]
        if name not in ("undersample", "smote_enn"):
            np.testing.assert_allclose(learn.seen[: len(rows)], rows.seen, rtol=1e-6)

    def test_jitter_moves_values_by_a_tenth_and_no_mask(self, rows):
        moved = BASELINES["jitter"](rows, 0.5, 1).seen[len(rows) :] - rows.seen
        assert moved[:, :4].std() == pytest.approx(0.1, rel=0.05)
        assert not moved[:, 4:].any()

    @pytest.mark.parametrize("balance", [0.0, 1.0])
    def test_xgboost_judges(self, rows, balance):
        pytest.importorskip("xgboost")
        probability = fit_judge("xgboost", rows, 0, variant=Variant(balance=balance))(rows)
        assert probability[rows.label == 1, 1].mean() > probability[rows.label == 0, 1].mean() + 0.3


class TestSubgroups:
    @pytest.mark.parametrize(
        ("text", "column", "expected"),
        [("sex=female", 1, lambda v: v == 0), ("sex != female", 1, lambda v: v == 1), ("age>=65", 0, lambda v: v >= 65)],
    )
    def test_rules(self, text, column, expected):
        data = make_dataset(60)
        values = data.train.static[:, column]
        np.testing.assert_array_equal(subgroup(text, data.manifest)(data.train), np.isfinite(values) & expected(values))

    def test_groups_do_not_overlap(self):
        data = make_dataset(60)
        for by in ("sex", "age<60"):
            masks = [rule(data.train) for rule in groups(by, data.manifest).values()]
            assert len(masks) == 2
            assert not (masks[0] & masks[1]).any()
        assert list(groups("age<60", data.manifest)) == ["age<60", "age>=60"]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("sex", "write it as"),
            ("unit=A", "no descriptor 'unit'"),
            ("sex=x", "no category"),
            ("sex>=1", "= or !="),
            ("age=old", "number"),
        ],
    )
    def test_rules_that_cannot_be_read(self, text, message):
        with pytest.raises(TardiffError, match=message):
            subgroup(text, make_dataset(20).manifest)

    def test_groups_of_a_number_need_a_rule(self):
        with pytest.raises(TardiffError, match="give a rule such as age>=65"):
            groups("age", make_dataset(20).manifest)


class TestLabels:
    def test_ratio_is_a_share_of_what_is_missing(self):
        assert np.bincount(labels_to_add(np.array([100, 20, 60]), 0.5, False)).tolist() == [0, 40, 20]
        assert np.bincount(labels_to_add(np.array([100, 20, 60]), 0.5, True)).tolist() == [60, 40, 20]

    def test_first_rows_of_each_class(self):
        pool = np.array([1, 1, 1, 0, 0, 0])
        assert first_of(pool, np.array([1, 0, 1])).tolist() == [3, 0, 1]


class TestVerdict:
    @staticmethod
    def result(guided, best="class_weight"):
        def figures(change):
            value, low, high = change
            number = {"value": value, "low": low, "high": high}
            found = {"value": number, "against_reference": number, "against_first": number}
            return {"groups": {"all": dict.fromkeys(("auprc", "slope", "brier"), found)}}

        return {
            "first": "none",
            "reference": best,
            "methods": {"none": figures((0, 0, 0)), best: figures((0.01, -0.01, 0.03)), "guided": figures(guided)},
        }

    def test_a_gain(self):
        said = verdict(self.result((0.03, 0.01, 0.05)))
        assert said.startswith("On these data, guided augmentation gains 0.030 [0.010, 0.050] AUPRC over class weights.")

    def test_no_difference(self):
        said = verdict(self.result((0.03, -0.01, 0.05)))
        assert said.startswith("No synthetic rows beat class weights here.")
        assert "cannot be told apart" in said

    def test_a_loss(self):
        assert "guided augmentation loses 0.030 [0.010, 0.050] AUPRC to class weights" in verdict(self.result((-0.03, -0.05, -0.01)))

    def test_undefined(self):
        assert "undefined" in verdict(self.result((None, None, None)))

    def test_what_it_costs_stands_beside_what_it_gains(self):
        said = verdict(self.result((0.03, 0.01, 0.05))).splitlines()[-1]
        assert said == (
            "What it costs: guided augmentation has calibration slope 0.03 (1 is right); minus class weights: "
            "+0.030 [+0.010, +0.050] slope, +0.030 [+0.010, +0.050] Brier score."
        )

    def test_reference_is_never_synthetic(self):
        assert reference({"none": 0.2, "smote": 0.3, "guided": 0.9}) == "smote"


def test_names_that_do_not_fit_the_channels_are_refused():
    summary = RecordSummary().fit(np.zeros((4, 3, 5)))
    assert summary.get_feature_names_out(["hr", "map", "temp"])[1] == "mean of map"
    with pytest.raises(ValueError, match="2 names for 3 channels"):
        summary.get_feature_names_out(["hr", "map"])
