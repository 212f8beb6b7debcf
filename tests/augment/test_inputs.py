"""Tables, data sets, targets of every kind, and what is refused."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tardiff.augment.frames import dataset_of_frame
from tardiff.augment.targets import KEPT, read_target
from tardiff.data.dataset import Dataset
from tardiff.settings import GuidanceSettings
from tests.augment.toys import records, sampler
from tests.conftest import make_dataset

NONE = GuidanceSettings(guidance="none")


def refuse(message, X, y, **options):
    with pytest.raises(ValueError, match=message):
        sampler(**options).fit_resample(X, y)


CONTRADICTIONS = [
    ({"budget_minutes": "2"}, "budget_minutes '2': give a number"),
    ({"budget_minutes": True}, "budget_minutes True: give a number"),
    ({"epochs": 0}, "epochs 0: must be at least 1"),
    ({"epochs": 1.5}, "epochs 1.5: give a whole number"),
    ({"gate": "no"}, "gate 'no': give True or False"),
    ({"features": "raw"}, "features 'raw': give summary or record"),
    ({"target": "regresion"}, "target 'regresion': give auto, classification or regression"),
    ({"guidance": "none"}, r"guidance 'none': give GuidanceSettings\(\.\.\.\) or None"),
    ({"training": {"steps": 3}}, r"training \{'steps': 3\}: give TrainSettings"),
    ({"sampler": "ddim"}, "sampler 'ddim': give SamplerSettings"),
    ({"channels": "abc"}, "channels 'abc': give a list"),
    ({"units": "abc"}, "units 'abc': give a list"),
    ({"step_hours": -1}, "step_hours -1: must be above 0"),
    ({"n_jobs": 0}, "n_jobs 0: give how many"),
    ({"target": "classification", "bins": 3}, "bins: would not be read"),
    ({"guidance": NONE, "guidance_rows": np.ones(60, bool)}, "guidance_rows: would not be read"),
    ({"guidance": GuidanceSettings(strength=0.2), "guidance_rows": np.ones(60, bool)}, "guidance_rows: would not be read"),
]


class TestRefused:
    @pytest.mark.parametrize(("options", "message"), CONTRADICTIONS)
    def test_parameters_are_refused_before_anything_is_trained(self, options, message):
        X, y = records()
        with pytest.raises(ValueError, match=message):
            sampler(**options).fit(X, y)

    def test_parameters_of_numpy_are_taken(self):
        X, y = records()
        tool = sampler(budget_minutes=np.float32(1), epochs=np.int64(1), gate=np.False_, step_hours=np.float64(2), n_jobs=np.int64(1))
        assert tool.fit(X, y).sampling_strategy_ == {1: 36}

    def test_guidance_that_serves_rows_takes_them(self):
        X, y = records()
        aimed = GuidanceSettings(objective="cosine=1", strength=0.2)
        sampler(guidance=aimed, guidance_rows=np.ones(60, bool)).fit(X, y)

    def test_wrong_rank(self):
        refuse("has 2 dimensions; records are", np.zeros((5, 3)), np.arange(5) % 2)

    def test_no_numbers(self):
        refuse("no number", np.full((4, 1, 1), "a"), np.arange(4) % 2)

    def test_infinite_value_is_named(self):
        X, y = records()
        X[7, 1, 2] = np.inf
        refuse("row 7, channel 1, step 2 is infinite", X, y)

    def test_channel_of_nothing(self):
        X, y = records()
        X[:, 2] = np.nan
        refuse("channel 2 is never observed", X, y)
        refuse("lactate is never observed", X, y, channels=["hr", "map", "lactate"])

    def test_class_with_one_row(self):
        X, y = records()
        refuse("class 2 has one row", X, np.where(np.arange(len(y)) == 5, 2, y % 2))

    def test_one_class(self):
        X, y = records()
        refuse("more than 1 class", X, 0 * y)

    def test_another_number_of_targets(self):
        X, y = records()
        refuse("59 targets for 60 rows", X, y[1:])

    def test_missing_target(self):
        X, y = records()
        y = y.astype(float)
        y[3] = np.nan
        refuse("row 3 is missing", X, y)

    def test_class_that_does_not_occur(self):
        X, y = records()
        refuse("'9' is no class|9 is no class", X, y, sampling_strategy={9: 70})

    def test_labels_outside_the_generators_classes(self, run):
        rows, options = make_dataset(60).train, {"pipeline": run[1], "channels": ["hr", "dbp", "sbp", "gcs"], "sampling_strategy": {0: 30}}
        refuse("its classes are .*, those of y 0, 1, 2; say which", rows.values, np.arange(60) % 3, **options)

    def test_no_time(self):
        X, y = records()
        with pytest.raises(Exception, match="budget-minutes"):
            sampler(budget_minutes=0).fit(X, y)


class TestTargets:
    def test_words_and_many_classes(self):
        X, _ = records()
        y = np.repeat(["mild", "none", "severe"], [15, 35, 10])
        tool = sampler(guidance=NONE)
        _, y2 = tool.fit_resample(X, y)
        assert pd.Series(y2).value_counts().to_dict() == {"mild": 35, "none": 35, "severe": 35}
        assert dict(tool.sampling_strategy_) == {"mild": 20, "severe": 25}

    def test_many_classes_are_guided(self):
        X, _ = records()
        tool = sampler()
        _, y2 = tool.fit_resample(X, np.repeat([0, 1, 2], [40, 10, 10]))
        assert np.bincount(y2).tolist() == [40, 40, 40]
        assert tool.movement_.value > 0

    def test_combinations_of_labels(self):
        X, _ = records()
        y = np.repeat([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 1]], [40, 10, 7, 3], axis=0)
        X2, y2 = sampler().fit_resample(X, y)
        assert y2.shape == (len(X2), 3)
        found, counts = np.unique(y2, axis=0, return_counts=True)
        assert {tuple(row): n for row, n in zip(found.tolist(), counts, strict=True)} == {
            (0, 0, 0): 40,
            (1, 0, 0): 40,
            (1, 1, 0): 40,
            (0, 1, 1): 3,  # too rare to be imitated, and kept
        }

    def test_combinations_are_named_by_tuples(self):
        X, _ = records()
        y = np.repeat([[0, 0], [1, 0], [1, 1]], [40, 10, 10], axis=0)
        _, y2 = sampler(guidance=NONE, sampling_strategy={(1, 1): 15}).fit_resample(X, y)
        assert y2[60:].tolist() == [[1, 1]] * 5

    @given(st.lists(st.floats(0, 100), min_size=30, max_size=60, unique=True), st.integers(2, 4))
    def test_synthetic_numbers_lie_within_their_bin(self, y, bins):
        target = read_target(np.array(y), "regression", bins)
        code = np.repeat(np.arange(len(target.names)), 20)
        made = target.synthetic(code, seed=1)
        for c in range(len(target.names)):
            real = target.y[target.code == c]
            assert real.min() <= made[code == c].min()
            assert made[code == c].max() <= real.max()

    def test_numbers(self):
        X, _ = records()
        y = np.random.default_rng(0).gamma(2, 3, len(X)).astype(np.float32)
        tool = sampler(bins=3)
        X2, y2 = tool.fit_resample(X, y)
        assert len(X2) == 120
        assert y2.dtype == np.float32
        assert [tool.sampling_strategy_[b] for b in range(3)] == [20, 20, 20]
        assert tool.movement_.value > 0

    def test_rare_numbers_by_edges_of_ones_own(self):
        X, _ = records()
        y = np.arange(60.0)
        _, y2 = sampler(target="regression", bins=[50], sampling_strategy={1: 30}, guidance=NONE).fit_resample(X, y)
        assert len(y2) == 81
        assert y2[60:].min() >= 51

    def test_numbers_without_bins_are_no_classes(self):
        X, _ = records()
        refuse("Unknown label type", X, np.linspace(0, 1, 60))

    def test_rare_combinations_are_kept(self):
        y = np.repeat([[0, 0], [0, 1], [1, 1]], [10, 10, 2], axis=0)
        assert (read_target(y).code == KEPT).sum() == 2


class TestTables:
    def test_a_table_goes_to_the_data_set_that_wrote_it(self):
        data = make_dataset(40)
        frame = data.frame().query("split == 'train'")
        stays = frame["stay_id"].unique()
        back = dataset_of_frame(frame, stays, data.train.label, ("a", "b"))
        order = [sorted(data.manifest.channel_names).index(n) for n in data.manifest.channel_names]
        np.testing.assert_allclose(back.train.values[np.argsort(stays)][:, order], data.train.values[: len(stays)], rtol=1e-6)
        assert back.manifest.static_names == ("age", "sex")
        assert back.manifest.statics[1].categories == ("0", "1")

    def test_synthetic_stays_follow_the_real_ones(self):
        frame = make_dataset(60).frame().query("split == 'train'")
        frame2, y2 = sampler(guidance=NONE).fit_resample(frame)
        pd.testing.assert_frame_equal(frame2.iloc[: len(frame)].reset_index(drop=True), frame.reset_index(drop=True))
        assert y2.value_counts().nunique() == 1
        assert frame2.columns.tolist() == frame.columns.tolist()
        new = frame2.iloc[len(frame) :]
        assert new["stay_id"].min() > frame["stay_id"].max()
        assert (new["label"] == y2.loc[new["stay_id"]].to_numpy()).all()
        assert set(new.query("variable == 'sex'")["value"]) <= {0.0, 1.0}

    def test_targets_of_ones_own(self):
        frame = make_dataset(60).frame().query("split == 'train'").drop(columns="label")
        y = pd.Series(["yes" if stay % 5 == 0 else "no" for stay in frame["stay_id"].unique()], index=frame["stay_id"].unique())
        _, y2 = sampler(guidance=NONE).fit_resample(frame, y)
        assert y2.value_counts().to_dict() == {"yes": 48, "no": 48}

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda f: f.drop(columns="hour"), "no column 'hour'"),
            (lambda f: pd.concat([f, f.tail(1)]), "has two values of"),
            (lambda f: f.assign(label=np.arange(len(f)) % 2), "has two labels"),
            (lambda f: f.assign(hour=f["hour"] - 1), "before the start"),
            (lambda f: f.assign(hour=f["hour"].where(f.index != f.index[-1], 3.7)), "do not lie on a grid"),
        ],
    )
    def test_tables_that_cannot_be_read(self, change, message):
        refuse(message, change(make_dataset(30).frame().query("split == 'train'")), None)


class TestDatasets:
    def test_a_folder_gives_a_data_set_with_marked_rows(self, toy, tmp_path):
        path, data = toy
        made, y = sampler(guidance=NONE).fit_resample(path)
        made.save(tmp_path / "more")
        back = Dataset.load(tmp_path / "more")
        assert back.train.synthetic.sum() == len(y) - len(data.train)
        assert not back.train.synthetic[: len(data.train)].any()
        for name in ("validation", "test"):
            for key, array in data.splits[name].arrays().items():
                np.testing.assert_array_equal(back.splits[name].arrays()[key], array)

    def test_validation_rows_of_the_data_set_change_nothing(self, toy):
        data = toy[1]
        other = Dataset(data.manifest, {**data.splits, "validation": data.splits["test"]})
        first, second = (sampler().fit_resample(d)[0].train for d in (data, other))
        np.testing.assert_array_equal(first.values, second.values)

    def test_a_data_set_without_synthetic_rows_keeps_its_hash(self):
        """Computed before the array `synthetic` existed."""
        assert make_dataset(20).completed().manifest.content_hash == HASH

    def test_synthetic_rows_outside_training_are_refused(self, toy, tmp_path):
        from dataclasses import replace

        data = toy[1]
        test = replace(data.splits["test"], synthetic=np.ones(len(data.splits["test"]), np.uint8))
        with pytest.raises(Exception, match="only the training split"):
            Dataset(data.manifest, {**data.splits, "test": test}).save(tmp_path / "x")


HASH = "sha256:b1fe7016b0f8aaf3958d670ff89bae109a96b7e6ed0553aff09024ce265b5738"
