import msgspec
import numpy as np
import pytest
import torch

from tardiff.base.noise import row_seeds
from tardiff.data.dataset import Static
from tardiff.data.statics import StaticModel
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
        assert np.nanmean(sample[:, 0]) == pytest.approx(np.nanmean(real[:, 0]), abs=1.0)
        assert np.nanmean(sample[:, 1]) == pytest.approx(np.nanmean(real[:, 1]), abs=0.05)
        assert np.isnan(sample).mean(axis=0) == pytest.approx(np.isnan(real).mean(axis=0), abs=0.03)


def test_correlation_survives():
    dataset = make_dataset(400)
    weight = dataset.train.static[:, 0] * 1.1 + np.random.default_rng(0).normal(0, 5, 400)
    static = np.stack([dataset.train.static[:, 0], weight], axis=1).astype(np.float32)
    train = type(dataset.train)(**{**dataset.train.arrays(), "static": static, "label": np.zeros(400, np.int64)})
    manifest = msgspec.structs.replace(dataset.manifest, statics=(Static("age"), Static("weight")))
    sample = StaticModel.fit(train, manifest).sample(np.zeros(4000, np.int64), row_seeds(0, range(4000)))

    def correlation(rows):
        both = rows[np.isfinite(rows).all(axis=1)]
        return np.corrcoef(both.T)[0, 1]

    assert correlation(sample) == pytest.approx(correlation(static), abs=0.15)
    assert correlation(sample) > 0.5


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
    assert (
        model.margins[1][0].quantiles
        == StaticModel.fit(type(train)(**{**train.arrays(), "label": np.zeros(len(train), np.int64)}), toy[1].manifest)
        .margins[0][0]
        .quantiles
    )
