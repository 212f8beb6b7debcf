"""Rows and targets come back in the form and of the types in which they came."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from imblearn.over_sampling import RandomOverSampler
from imblearn.pipeline import make_pipeline
from sklearn.exceptions import NotFittedError

from tardiff.augment import RecordSummary
from tardiff.augment.containers import joined_records, joined_targets
from tardiff.augment.frames import dataset_of_frame
from tardiff.augment.records import checked_array
from tardiff.data.dataset import Dataset
from tardiff.settings import GuidanceSettings
from tests.augment.toys import records, sampler
from tests.conftest import make_dataset

NONE = GuidanceSettings(guidance="none")


def resampled(X, y, **options):
    return sampler(guidance=NONE, **options).fit_resample(X, y)


@given(
    dtype=st.sampled_from([np.float16, np.float32, np.float64, np.int8, np.int32, np.int64, np.uint8, bool]),
    kind=st.sampled_from(["array", "list", "masked"]),
    seed=st.integers(0, 99),
)
def test_records_keep_type_and_container(dtype, kind, seed):
    random = np.random.default_rng(seed)
    array = random.integers(0, 2, (5, 2, 3)).astype(dtype)
    made = random.integers(0, 2, (4, 2, 3)).astype(np.float32)
    given_ = {"array": array, "list": array.tolist(), "masked": np.ma.masked_array(array, random.random(array.shape) < 0.3)}[kind]
    result = joined_records(given_, made)
    assert type(result) is type(given_)
    assert np.asarray(result).shape == (9, 2, 3)
    if kind != "list":
        assert result.dtype == dtype
    np.testing.assert_array_equal(np.asarray(result)[5:], made.astype(dtype))
    if kind == "masked":
        np.testing.assert_array_equal(result.mask[:5], given_.mask)


def test_a_masked_array_keeps_its_mask_and_what_it_hides_is_no_value():
    X, y = records()
    hidden = np.ma.masked_invalid(X)
    hidden.data[hidden.mask] = -999
    rows, _ = resampled(hidden, y)
    assert isinstance(rows, np.ma.MaskedArray)
    np.testing.assert_array_equal(rows.mask[: len(X)], hidden.mask)
    assert rows.min() > -100
    assert rows.mask[len(X) :].any()


def test_whole_numbers_stay_whole_numbers():
    X, y = records()
    rows, _ = resampled(np.rint(np.nan_to_num(X)).astype(np.int64), y)
    assert rows.dtype == np.int64


@pytest.mark.parametrize("dtype", [object, "category", "string", "Int64", "boolean", "float32"])
def test_a_series_keeps_its_name_and_type(dtype):
    X, y = records()
    words = dtype in (object, "category", "string")
    given_ = pd.Series(np.where(y, "a rather long name of a class", "b") if words else y, name="outcome").astype(dtype)
    _, found = resampled(X, given_)
    assert isinstance(found, pd.Series)
    assert found.name == "outcome"
    assert found.dtype == given_.dtype
    assert found.value_counts().nunique() == 1
    assert set(found) == set(given_)  # no name is cut


def test_frames_lists_and_categories():
    X, _ = records()
    several = pd.DataFrame({"shock": np.repeat([0, 1], [40, 20]), "death": np.repeat([0, 1, 0], [30, 10, 20])}).astype("int8")
    _, found = resampled(X, several)
    assert found.columns.tolist() == ["shock", "death"]
    assert (found.dtypes == "int8").all()
    _, listed = resampled(X, np.repeat([0, 1], [40, 20]).tolist())
    assert isinstance(listed, list)
    category = pd.Categorical(np.repeat(["x", "y"], [40, 20]), categories=["y", "x", "z"], ordered=True)
    assert joined_targets(category, np.array(["x", "y"])).dtype == category.dtype


@pytest.mark.parametrize("y", [np.repeat([1, 2], [45, 15]), np.repeat(["alive", "died"], [45, 15]), np.repeat([False, True], [45, 15])])
def test_a_callable_strategy_sees_the_users_labels(y):
    """As imbalanced-learn has it."""
    X = np.random.default_rng(0).normal(size=(60, 2, 6))
    rare = y[-1]

    def strategy(labels):
        assert set(np.unique(labels)) == set(np.unique(y))
        return {rare: 40}

    _, ours = resampled(X, y, sampling_strategy=strategy)
    _, theirs = RandomOverSampler(sampling_strategy=strategy, random_state=0).fit_resample(X.reshape(60, -1), y)
    assert pd.Series(ours).value_counts().to_dict() == pd.Series(theirs).value_counts().to_dict()


@pytest.mark.parametrize(
    ("X", "y", "options", "says"),
    [
        (records()[0], None, {}, "y: is None"),
        (records()[0], [None, *["died", "alive"] * 29, "died"], {}, "y: row 0 is missing"),
        (records()[0], pd.Series([*["died", "alive"] * 29, "died", pd.NA]), {}, "y: row 59 is missing"),
        (
            [np.ma.masked_invalid(row) for row in records()[0]],
            records()[1],
            {},
            r"would lose its masks; give one masked array, np\.ma\.stack",
        ),
        (records()[0], np.ma.masked_array(records()[1], np.arange(60) == 7), {}, "y: row 7 is missing"),
        ([row[:, : 4 + i % 3] for i, row in enumerate(records()[0])], records()[1], {}, "different lengths; pad the shorter ones with NaN"),
        (np.where(np.arange(6) == 2, 1e39, records()[0]), records()[1], {}, r"row 0, channel 0, step 2 is 1e\+39, more than single"),
        (records()[0].astype(complex), records()[1], {}, "holds complex128, no numbers"),
        (records()[0], records()[1], {"sampling_strategy": None}, "sampling_strategy None: give auto"),
        (records()[0], records()[1], {"sampling_strategy": [1, 2]}, "sampling_strategy"),
        (records()[0], records()[1], {"sampling_strategy": lambda y: "auto and more"}, "sampling_strategy"),
    ],
)
def test_what_cannot_be_read_is_one_line_of_ours(X, y, options, says):
    with pytest.raises(ValueError, match=says) as error:
        resampled(X, y, **options)
    assert "\n" not in str(error.value)


def test_a_record_an_entry_of_an_object_array():
    X, y = records()
    held = np.empty(len(X), object)
    held[:] = list(X)
    np.testing.assert_array_equal(checked_array(held), X)
    held[3] = held[3][:, :2]
    with pytest.raises(ValueError, match="pad the shorter ones with NaN"):
        resampled(held, y)


def test_a_masked_target_stays_one():
    _, y = records()
    given_ = np.ma.masked_array(y, np.zeros(len(y), bool))
    found = joined_targets(given_, np.array([1, 1]))
    assert isinstance(found, np.ma.MaskedArray)
    assert len(found) == len(y) + 2


class TestNames:
    """As scikit-learn has them for every estimator that keeps its features."""

    def test_names_of_an_array(self):
        X, y = records()
        tool = sampler(guidance=NONE, channels=["hr", "map", "temp"]).fit(X, y)
        assert tool.n_features_in_ == 3
        assert tool.feature_names_in_.tolist() == tool.get_feature_names_out().tolist() == ["hr", "map", "temp"]
        with pytest.raises(ValueError, match="input_features is not equal to feature_names_in_"):
            tool.get_feature_names_out(["hr", "temp", "map"])
        tool.set_params(channels=None).fit(X, y)
        assert not hasattr(tool, "feature_names_in_")
        assert tool.get_feature_names_out().tolist() == ["x0", "x1", "x2"]
        with pytest.raises(ValueError, match="should have length equal to number of features"):
            tool.get_feature_names_out(["hr"])

    def test_names_of_tables_and_data_sets(self):
        data = make_dataset(40)
        assert sampler(guidance=NONE).fit(data).get_feature_names_out().tolist() == list(data.manifest.channel_names)
        frame = Dataset(data.manifest, {"train": data.train}).frame()
        assert sampler(guidance=NONE).fit(frame).get_feature_names_out().tolist() == sorted(data.manifest.channel_names)

    def test_unfitted(self):
        with pytest.raises(NotFittedError):
            sampler().get_feature_names_out()

    @pytest.mark.parametrize("method", ["fit", "fit_resample"])
    def test_metadata_is_refused(self, method):
        X, y = records()
        with pytest.raises(ValueError, match=r"^sample_weight: synthetic rows have none"):
            getattr(sampler(guidance=NONE), method)(X, y, sample_weight=np.ones(len(y)))

    def test_a_pipeline_names_its_features(self):
        X, y = records()
        model = make_pipeline(sampler(guidance=NONE, channels=["hr", "map", "temp"]), RecordSummary())
        model.fit(X, y)
        assert model[-1].get_feature_names_out(model[0].get_feature_names_out())[0] == "mean of hr"


class TestTables:
    def frame(self):
        data = make_dataset(40)
        return Dataset(data.manifest, {"train": data.train}).frame()

    def test_a_label_for_every_row_of_the_table_is_refused(self):
        frame = self.frame()
        for y in (frame["label"], frame.set_index("stay_id")["label"]):
            for method in ("fit", "fit_resample"):
                with pytest.raises(ValueError, match=f"y: {len(frame):,} targets for 40 stays; give one a stay"):
                    getattr(sampler(guidance=NONE), method)(frame.drop(columns="label"), y)

    def test_labels_are_matched_by_stay_whatever_their_order(self):
        frame = self.frame()
        by_stay = frame.drop_duplicates("stay_id").set_index("stay_id")["label"].rename("death").astype("category")
        shuffled = by_stay.sample(frac=1, random_state=0)
        table, y = resampled(frame.drop(columns="label"), shuffled)
        assert y.name == "death"
        assert y.dtype == by_stay.dtype
        assert y.index.name == "stay_id"
        pd.testing.assert_series_equal(y.loc[by_stay.index], by_stay, check_index=False)
        assert "label" not in table

    def test_a_stay_without_a_label_is_named(self):
        frame = self.frame()
        y = pd.Series(np.arange(40) % 2, index=np.arange(40) + 10**6)
        with pytest.raises(ValueError, match="of the table has no target; index y by stay_id"):
            resampled(frame.drop(columns="label"), y)

    def test_columns_keep_their_types(self):
        frame = self.frame().astype({"stay_id": "int32", "variable": "category", "value": "float32"})
        frame["label"] = pd.Series(np.where(frame["label"] == 1, "died", "survived"), dtype="category")
        frame["ward"] = "west"
        frame.attrs = {"source": "here"}
        table, y = resampled(frame, None)
        assert table[list(frame.columns)].dtypes.to_dict() == frame.dtypes.to_dict()
        assert table.attrs == frame.attrs
        pd.testing.assert_frame_equal(table.iloc[: len(frame)], frame)
        assert table["ward"].iloc[len(frame) :].isna().all()
        made = table.iloc[len(frame) :].drop_duplicates("stay_id").set_index("stay_id")["label"]
        assert (made == y.loc[made.index]).all()

    def test_a_stay_of_which_nothing_is_known_is_a_row(self):
        data = make_dataset(40)
        train = data.train
        train.values[3], train.mask[3], train.static[3] = np.nan, 0, np.nan
        frame = Dataset(data.manifest, {"train": train}).frame()
        assert frame["stay_id"].nunique() == 40
        back = dataset_of_frame(frame, frame["stay_id"].unique(), np.zeros(40, np.int64), ("a", "b"))
        assert back.manifest.static_names == ("age", "sex")
        assert sorted(back.train.mask.any(axis=(1, 2)).tolist()).count(False) == 1
