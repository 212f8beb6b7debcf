import msgspec
import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from tardiff.base.noise import row_seeds
from tardiff.data.dataset import Static
from tardiff.data.statics import StaticModel
from tardiff.errors import TardiffError
from tests.conftest import make_dataset


@pytest.fixture(scope="module")
def statics(toy):
    return StaticModel.fit(toy[1].train, toy[1].manifest)


def test_encoding_by_hand(toy, statics):
    static = np.array([[60.0, 1.0], [np.nan, np.nan]], dtype=np.float32)
    age = (60 - statics.centre[0]) / statics.scale[0]
    torch.testing.assert_close(statics.encode(static), torch.tensor([[age, 1, 0, 1], [0, 0, 0, 0]], dtype=torch.float32))
    assert statics.features == 4


def test_samples_follow_each_class(toy, statics):
    train = toy[1].train
    for label in (0, 1):
        sample = statics.sample(np.full(4000, label), row_seeds(0, range(4000)))
        real = train.static[train.label == label]
        assert np.nanmean(sample[:, 0]) == pytest.approx(np.nanmean(real[:, 0]), abs=1.5)
        assert np.nanmean(sample[:, 1]) == pytest.approx(np.nanmean(real[:, 1]), abs=0.05)
        assert np.isnan(sample).mean(axis=0) == pytest.approx(np.isnan(real).mean(axis=0), abs=0.03)


def table(columns, statics, label=None, seed=0):
    """A model fitted on columns of descriptors."""
    static = np.stack(columns, axis=1).astype(np.float32)
    label = np.zeros(len(static), np.int64) if label is None else label
    dataset = make_dataset(len(static))
    train = type(dataset.train)(**{**dataset.train.arrays(), "static": static, "label": label})
    return StaticModel.fit(train, msgspec.structs.replace(dataset.manifest, statics=statics))


SEX = Static("sex", kind="categorical", categories=("f", "m"))
UNIT = Static("unit", kind="categorical", categories=("a", "b", "c"))


def people(rows=3000, seed=0):
    """Descriptors that depend on each other: height on sex, weight on height, age on unit; weights are missing in unit b."""
    random = np.random.default_rng(seed)
    sex, unit = random.integers(0, 2, rows), random.integers(0, 3, rows)
    height = np.round(162 + 14 * sex + random.normal(0, 7, rows), 1)
    weight = np.rint(0.9 * (height - 100) + random.normal(0, 9, rows))
    age = np.rint(np.array([70.0, 45.0, 60.0])[unit] + random.normal(0, 9, rows))
    weight = np.where((unit == 1) & (random.random(rows) < 0.7), np.nan, weight)
    return [age, sex.astype(float), height, weight, unit.astype(float)]


def test_descriptors_depend_on_each_other_as_in_training():
    real = np.stack(people(), axis=1)
    model = table(people(), (Static("age"), SEX, Static("height"), Static("weight"), UNIT))
    sample = model.sample(np.zeros(6000, np.int64), row_seeds(0, range(6000)))
    for rows in (real, sample):
        by_sex = [np.nanmean(rows[rows[:, 1] == sex, 2]) for sex in (0, 1)]
        by_unit = [np.nanmean(rows[rows[:, 4] == unit, 0]) for unit in (0, 1, 2)]
        missing = [np.isnan(rows[rows[:, 4] == unit, 3]).mean() for unit in (0, 1, 2)]
        np.testing.assert_allclose(by_sex, (162, 176), atol=1)
        np.testing.assert_allclose(by_unit, (70, 45, 60), atol=2.5)
        np.testing.assert_allclose(missing, (0, 0.7, 0), atol=0.06)

    def correlation(rows):
        return np.corrcoef(rows[np.isfinite(rows).all(axis=1)][:, [2, 3]].T)[0, 1]

    assert correlation(sample) == pytest.approx(correlation(real), abs=0.05)


def test_a_coarse_score_keeps_its_latent_correlation():
    random = np.random.default_rng(0)
    a = random.normal(size=4000)
    b = np.digitize(0.8 * a + 0.6 * random.normal(size=4000), (-0.5, 0.8)).astype(float)
    sample = table([a, b], (Static("a"), Static("b"))).sample(np.zeros(6000, np.int64), row_seeds(0, range(6000)))
    assert spearmanr(*sample.T).statistic == pytest.approx(spearmanr(a, b).statistic, abs=0.05)
    np.testing.assert_allclose(np.bincount(sample[:, 1].astype(int)) / 6000, np.bincount(b.astype(int)) / 4000, atol=0.02)


def test_numbers_come_on_the_grid_on_which_they_are_charted():
    model = table(people(), (Static("age"), SEX, Static("height"), Static("weight"), UNIT))
    sample = model.sample(np.zeros(500, np.int64), row_seeds(0, range(500))).astype(np.float64)
    np.testing.assert_array_equal(sample[:, 0], np.rint(sample[:, 0]))
    np.testing.assert_allclose(sample[:, 2] * 10, np.rint(sample[:, 2] * 10), atol=1e-3)


def test_classes_differ_as_in_training():
    age, sex, *_ = people()
    label = (np.random.default_rng(1).random(len(age)) < 1 / (1 + np.exp(-(age - 58) / 8))).astype(np.int64)
    model = table([age, sex], (Static("age"), SEX), label)
    for c in (0, 1):
        sample = model.sample(np.full(4000, c), row_seeds(0, range(4000)))
        assert sample[:, 0].mean() == pytest.approx(age[label == c].mean(), abs=1)


@pytest.mark.parametrize("columns", [[np.full(50, np.nan)], [np.full(50, 3.0)], [np.where(np.arange(50) < 49, np.nan, 4.0)]])
def test_columns_with_nothing_to_learn_are_drawn_all_the_same(columns):
    sample = table(columns, (Static("x"),)).sample(np.zeros(20, np.int64), row_seeds(0, range(20)))
    known = sample[np.isfinite(sample)]
    assert set(known) <= set(columns[0][np.isfinite(columns[0])])


def test_a_constant_keeps_its_unit():
    """NumPy gives so many equal numbers a deviation of 4e-6, by which another hospital's would have been divided."""
    same = np.full(3140, np.float32(62.3))
    model = table([same], (Static("x"),))
    assert model.scale == (1.0,)
    assert float(model.encode(np.array([[80.0]], np.float32))[0, 0]) == pytest.approx(17.7, abs=0.01)


def test_a_sample_depends_on_its_seed_and_label_alone(statics):
    seeds, label = row_seeds(5, range(50)), np.arange(50) % 2
    together = statics.sample(label, seeds)
    for i in (0, 7, 49):
        np.testing.assert_array_equal(statics.sample(label[i : i + 1], seeds[i : i + 1]), together[i : i + 1])


def test_extreme_ages_are_never_sampled(toy, statics, tmp_path):
    statics.save(tmp_path / "statics.json")
    assert StaticModel.load(tmp_path / "statics.json") == statics
    ages = toy[1].train.static[:, 0]
    sample = statics.sample(np.zeros(2000, np.int64), row_seeds(1, range(2000)))
    assert np.nanmax(sample[:, 0]) < np.nanmax(ages)
    assert np.nanmin(sample[:, 0]) > np.nanmin(ages)


def test_a_class_of_few_rows_borrows_from_all(toy):
    train = toy[1].train
    label = np.zeros(len(train), np.int64)
    label[:3] = 1
    model = StaticModel.fit(type(train)(**{**train.arrays(), "label": label}), toy[1].manifest)
    shares = np.array(model.tables[0].share)
    assert np.abs(shares[1] - shares[0]).max() < 0.15


def test_a_damaged_model_is_refused(statics, tmp_path):
    broken = msgspec.to_builtins(statics)
    broken["covariance"] = [[-1.0]]
    (tmp_path / "statics.json").write_bytes(msgspec.json.encode(broken))
    with pytest.raises(TardiffError, match="covariance"):
        StaticModel.load(tmp_path / "statics.json")
