"""Marginals of other patients, and when they are taken."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from scipy.stats import norm

from tardiff.data.codec import Codec, ValueMap
from tardiff.data.recalibration import better_map, foretelling_loss, mean_by_group, off_the_grids, recalibrated
from tardiff.data.resolution import FREE
from tests.conftest import make_dataset, make_split


def of(values):
    return ValueMap.fit(values, np.zeros(len(values)))


def test_the_score_of_a_normal_distribution_is_the_closed_form():
    """Gneiting & Raftery 2007: z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi)."""
    normal = ValueMap((-4.0, 4.0), (-4.0, 4.0))
    z = np.array([-1.5, 0.0, 0.3, 2.0])
    expected = z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.pi**0.5
    np.testing.assert_allclose(foretelling_loss(normal, z), expected, atol=0.01)


def test_a_mean_over_patients_and_its_error():
    mean, error = mean_by_group(np.array([1.0, 3.0, 4.0, 6.0]), np.array([7, 7, 8, 9]))
    assert mean == 4.0
    assert error == pytest.approx(np.std([2, 4, 6], ddof=1) / 3**0.5)
    assert mean_by_group(np.array([1.0, 2.0]), np.array([1, 1]))[1] == np.inf


def test_shifted_patients_get_a_map_of_their_own_and_equal_ones_hardly_ever():
    rng = np.random.default_rng(0)
    old, taken = of(rng.normal(size=5000)), {0.0: 0, 0.5: 0}
    for repeat in range(40):
        for shift in taken:
            subject = np.repeat(np.arange(100), 5)
            value = (rng.normal(size=(100, 1)) * 0.8 + rng.normal(size=(100, 5)) * 0.6).ravel() + shift
            taken[shift] += better_map(old, value, (FREE,), subject, 20, repeat) is not old
    assert taken[0.5] >= 38
    assert taken[0.0] <= 6


def test_equal_rows_keep_the_codec_and_other_rows_change_their_channel():
    toy = make_dataset(400)
    codec = Codec.fit(toy.train, toy.manifest)
    same = recalibrated(codec, toy.train, 0)
    assert (same.maps, same.grids) == (codec.maps, codec.grids)
    np.testing.assert_allclose(np.concatenate(same.symbol_rate), np.concatenate(codec.symbol_rate))
    local = make_split(100, 9, 0)
    local.values[:, 1] -= 12
    new = recalibrated(codec, local, 0)
    assert [one == other for one, other in zip(codec.maps, new.maps, strict=True)] == [True, False, True, True]
    assert new.maps[1].to_value(np.zeros(1)) == pytest.approx(np.nanmedian(local.values[:, 1]), abs=1)


def test_what_is_not_charted_looks_as_it_did():
    """Else a classifier of the source would take every stay without a value for one whose value is unusual."""
    toy = make_dataset(400)
    codec = Codec.fit(toy.train, toy.manifest)
    local = make_split(100, 9, 0)
    local.values[:, 1] -= 12
    new = recalibrated(codec, local, 0)
    assert new.maps[1] != codec.maps[1]
    empty = replace(local, values=np.full_like(local.values, np.nan), mask=np.zeros_like(local.mask))
    np.testing.assert_array_equal(new.encode(empty), codec.encode(empty))
    assert recalibrated(new, local, 0).before_first == new.before_first == codec.uncharted
    assert msgspec.json.decode(msgspec.json.encode(new), type=Codec) == new
    assert b"before_first" not in msgspec.json.encode(codec)
    with pytest.raises(ValueError, match="before_first needs a score for every channel"):
        msgspec.structs.replace(new, before_first=(0.0,))


def test_values_off_the_grids_are_named():
    toy = make_dataset(100)
    codec = Codec.fit(toy.train, toy.manifest)
    assert off_the_grids(codec, toy.train) == ()
    toy.train.values[:, 3] += 0.5
    assert off_the_grids(codec, toy.train) == ("gcs",)
