import json

import numpy as np
import pytest
import torch

from tardiff.data.codec import Codec
from tardiff.evaluate.privacy import privacy
from tardiff.evaluate.privacy.closest import closest, closest_records, share_nearer
from tardiff.settings import EvaluateSettings

from .toys import MANIFEST, real, rows, synthetic


@pytest.fixture(scope="module")
def data():
    return real(400)


def found(data, part):
    return privacy(data, {"set": synthetic(part)}, Codec.fit(data.train, MANIFEST), EvaluateSettings())["sets"]["set"]


def near(data, part):
    flat = Codec.fit(data.train, MANIFEST).encode
    return closest_records(*(flat(s).flatten(1) for s in (part, data.train, data.split("test"))), seed=0)


@pytest.fixture(scope="module")
def copied(data):
    return found(data, data.train)


@pytest.fixture(scope="module")
def independent(data):
    return found(data, rows(400, 9))


def test_copies_are_found(data):
    result = near(data, data.train.take(np.arange(100)))
    assert result["nearer_train"]["value"] == 1
    assert result["closer_than_stranger"]["value"] == 1
    for key in ("copies", "near_copies"):
        assert result[key]["count"] == 100
        assert result[key]["value"] == 1
        assert result[key]["rows"] == list(range(100))
    assert result["stranger_copies"]["count"] == 0


def test_one_copy_among_many_is_counted(data):
    part = rows(60, 9)
    part.values[5], part.mask[5] = data.train.values[17], data.train.mask[17]
    part.values[7], part.mask[7] = data.train.values[18] * 1.001, data.train.mask[18]
    result = near(data, part)
    assert result["copies"]["rows"] == [5]
    assert {5, 7} <= set(result["near_copies"]["rows"])


def test_independent_draws_leak_nothing(independent):
    # Its interval covers the synthetic rows; which train and held-out rows they are compared with moves it a little, too.
    assert independent["nearer_train"]["value"] == pytest.approx(0.5, abs=0.1)
    assert independent["closer_than_stranger"]["low"] < 0.5 < independent["closer_than_stranger"]["high"]
    assert independent["nearer_train"]["compared_with"] == 400
    assert independent["copies"]["count"] == 0
    assert independent["near_copies"]["value"] == pytest.approx(0.01, abs=0.02)


def test_every_black_box_attack_finds_copies_and_nothing_in_independent_draws(copied, independent):
    names = ["nearest neighbour", "density ratio", "shadow classifier"]
    assert [attack["attack"] for attack in copied["attacks"]] == names
    for attack in copied["attacks"]:
        assert (attack["box"], attack["members"], attack["n_members"], attack["n_others"]) == ("black", "train", 400, 200)
        assert attack["auc"]["low"] > 0.9, attack["attack"]
    for attack in independent["attacks"]:
        assert attack["auc"]["low"] < 0.5 < attack["auc"]["high"], attack["attack"]


def test_attributes_of_copied_patients_are_known(copied, independent):
    (label,) = copied["attribute_inference"]
    assert label["attribute"] == "label"
    assert label["members"]["value"] == 1
    assert label["difference"]["low"] > 0
    (label,) = independent["attribute_inference"]
    assert label["others"]["value"] > 0.6  # medicine, not leakage
    assert label["difference"]["low"] < 0 < label["difference"]["high"]
    assert label["difference"]["value"] == pytest.approx(label["members"]["value"] - label["others"]["value"])


def test_result_is_plain_json_and_repeatable(data, independent):
    again = found(data, rows(400, 9))
    assert json.dumps(again, allow_nan=False) == json.dumps(independent, allow_nan=False)


def test_held_out_records_are_nearer_to_themselves(data):
    assert near(data, data.split("test"))["nearer_train"]["value"] < 0.4


def test_a_data_set_of_one_record_is_judged(data):
    result = found(data, rows(200, 9).take(np.zeros(40, int)))
    assert result["attribute_inference"] == []
    assert {"nearest neighbour", "density ratio"} <= {attack["attack"] for attack in result["attacks"]}


def test_closest_is_the_true_minimum_whatever_the_blocks(monkeypatch):
    random = torch.Generator().manual_seed(0)
    a, b = torch.randn(70, 12, generator=random), torch.randn(50, 12, generator=random)
    b[3] = a[9]
    expected = np.sqrt(((a[:, None].double() - b[None].double()) ** 2).sum(-1).numpy()).min(1)
    for block in (1, 500, 10**6):
        monkeypatch.setattr("tardiff.evaluate.privacy.closest.BLOCK", block)
        np.testing.assert_allclose(closest(a, b), expected, atol=1e-6)
    assert closest(a, b)[9] == 0


def test_ties_count_half():
    np.testing.assert_array_equal(share_nearer(np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 2.0])), [1, 0.5, 0])
