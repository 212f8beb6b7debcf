import numpy as np
import pytest
import torch

from tardiff.codec import Codec
from tardiff.evaluate.privacy import closest, privacy, share_nearer

from .toys import MANIFEST, real, rows, synthetic


@pytest.fixture(scope="module")
def data():
    return real(400)


def found(data, part):
    return privacy(data, {"set": synthetic(part)}, Codec.fit(data.train, MANIFEST), seed=0)["sets"]["set"]


def test_copies_are_found(data):
    result = found(data, data.train.take(np.arange(100)))
    assert result["nearer_train"]["value"] == 1
    assert result["closer_than_stranger"]["value"] == 1
    assert result["copies"]["count"] == 100
    assert result["copies"]["value"] == 1
    assert result["stranger_copies"]["count"] == 0


def test_one_copy_among_many_is_counted(data):
    part = rows(60, 9)
    part.values[5], part.mask[5] = data.train.values[17], data.train.mask[17]
    assert found(data, part)["copies"]["count"] == 1


def test_independent_draws_leak_nothing(data):
    result = found(data, rows(400, 9))
    # Its interval covers the synthetic rows; which train and held-out rows they are compared with moves it a little, too.
    assert result["nearer_train"]["value"] == pytest.approx(0.5, abs=0.1)
    assert result["closer_than_stranger"]["low"] < 0.5 < result["closer_than_stranger"]["high"]
    assert result["nearer_train"]["compared_with"] == 400
    assert result["copies"]["count"] == 0


def test_held_out_records_are_nearer_to_themselves(data):
    assert found(data, data.split("test"))["nearer_train"]["value"] < 0.4


def test_closest_is_the_true_minimum_whatever_the_blocks(monkeypatch):
    random = torch.Generator().manual_seed(0)
    a, b = torch.randn(70, 12, generator=random), torch.randn(50, 12, generator=random)
    b[3] = a[9]
    expected = np.sqrt(((a[:, None].double() - b[None].double()) ** 2).sum(-1).numpy()).min(1)
    for block in (1, 500, 10**6):
        monkeypatch.setattr("tardiff.evaluate.privacy.BLOCK", block)
        np.testing.assert_allclose(closest(a, b), expected, atol=1e-6)
    assert closest(a, b)[9] == 0


def test_ties_count_half():
    np.testing.assert_array_equal(share_nearer(np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 2.0])), [1, 0.5, 0])
