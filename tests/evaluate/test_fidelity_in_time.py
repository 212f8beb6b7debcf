"""Dependence between variables, over time, and between masks, against NumPy and scikit-learn."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import normalized_mutual_info_score

from tardiff.base.noise import stream
from tardiff.data.codec import Codec
from tardiff.evaluate.bootstrap import row_weights
from tardiff.evaluate.fidelity import RESAMPLES, Sample, dependence, missingness, record_distances, value_distances
from tardiff.evaluate.fidelity.spectrum import power, spectral_distance

from .toys import MANIFEST, MEAN, rows, split


def sample(part):
    return Sample(part, row_weights(len(part), RESAMPLES, stream("test", 0)))


def written(part, train):
    pair = sample(part), sample(train)
    found = value_distances(*pair, MANIFEST) | record_distances(*pair, Codec.fit(train, MANIFEST), 0)
    return {key: distance.written() for key, distance in found.items()}


@pytest.fixture(scope="module")
def walk():
    """Random walks of which a tenth was not seen."""
    random = np.random.default_rng(0)
    values = MEAN + random.normal(0, 1, (500, 3, 6)).cumsum(2)
    values[:, 1] += 0.7 * values[:, 0]
    values[random.random(values.shape) < 0.1] = np.nan
    return split(values, random.integers(0, 2, 500))


def seen_together(a, b):
    a, b = (x.astype(np.float64).ravel() for x in (a, b))
    both = np.isfinite(a) & np.isfinite(b)
    return a[both], b[both]


@pytest.mark.parametrize("lag", [1, 2, 4])
def test_correlations_over_lags_are_numpys(walk, lag):
    v = walk.values
    found = dependence.autocorrelation(sample(walk), lag)[0]
    assert found == pytest.approx([np.corrcoef(*seen_together(v[:, c, :-lag], v[:, c, lag:]))[0, 1] for c in range(3)], abs=1e-6)
    ordered = [(a, b) for a in range(3) for b in range(3) if a != b]
    expected = [np.corrcoef(*seen_together(v[:, a, :-lag], v[:, b, lag:]))[0, 1] for a, b in ordered]
    assert dependence.cross_correlations(sample(walk), lag)[0] == pytest.approx(expected, abs=1e-6)


def test_a_lag_beyond_the_window_is_undefined(walk):
    assert np.isnan(dependence.autocorrelation(sample(walk), 6)).all()
    assert np.isnan(dependence.cross_correlations(sample(walk), 8)).all()


def test_mutual_information_is_scikit_learns(walk):
    cuts = dependence.quantile_cuts(sample(walk))
    found = dependence.mutual_information(sample(walk), cuts)[0]
    for value, (a, b) in zip(found, ((0, 1), (0, 2), (1, 2)), strict=True):
        x, y = seen_together(walk.values[:, a], walk.values[:, b])
        levels = np.searchsorted(cuts[a], x, side="right"), np.searchsorted(cuts[b], y, side="right")
        assert value == pytest.approx(normalized_mutual_info_score(*levels, average_method="geometric"), abs=1e-5)
    assert found[0] > 0.08 > 0.02 > found[1]


def test_co_observation_is_the_correlation_of_the_masks():
    random = np.random.default_rng(0)
    drawn = random.random((300, 2, 6)) < 0.5
    mask = np.stack([drawn[:, 0], drawn[:, 0], drawn[:, 1]], axis=1)  # the first two are always measured together
    part = split(np.where(mask, MEAN + 0.0, np.nan), np.zeros(300, np.int64))
    found = missingness.co_observation(sample(part))[0]
    assert found == pytest.approx([1, *2 * [np.corrcoef(drawn[:, 0].ravel(), drawn[:, 1].ravel())[0, 1]]], abs=1e-9)
    short = replace(part, length=np.full(300, 3, np.int32))
    cut = missingness.co_observation(sample(replace(short, mask=part.mask * (np.arange(6) < 3).astype(np.uint8))))[0]
    assert cut[1] == pytest.approx(np.corrcoef(drawn[:, 0, :3].ravel(), drawn[:, 1, :3].ravel())[0, 1], abs=1e-9)  # padding is no gap


def test_power_of_a_wave_lies_at_its_frequency():
    wave = np.sin(2 * np.pi * 3 * np.arange(24) / 24)[None, None] * np.array([1.0, 2.0])[:, None, None]
    found = power(Sample(None, np.ones((1, 2))), wave)[0, 0]
    expected = np.zeros(12)
    expected[2] = (1 + 4) / 2 * 24 / 4  # mean square amplitude times T / 4
    assert found == pytest.approx(expected, abs=1e-9)
    rough = np.random.default_rng(0).normal(0, 1, (2, 3, 12)) ** 2
    assert spectral_distance(10 * rough, rough) == pytest.approx(np.ones((2, 3)))
    assert np.isnan(spectral_distance(0 * rough, rough)).all()


def test_shuffled_time_keeps_the_margins_and_loses_the_dynamics(walk):
    shuffled = np.random.default_rng(1).permuted(walk.values, axis=2)
    found = written(split(shuffled, walk.label), walk)
    assert found["ks"]["mean"]["value"] == found["wasserstein"]["mean"]["value"] == 0
    assert found["autocorrelation"]["by_channel"]["hr"]["high"] < -0.1
    assert found["autocorrelation_function"]["mean"]["low"] > 0.05
    assert found["dimension_wise"]["mean"]["low"] > 0.05
    assert found["spectrum"]["mean"]["low"] > 0.1
    assert written(walk, walk)["spectrum"]["mean"]["value"] == 0


def test_the_order_of_patients_says_nothing():
    train, part = rows(200, 1), rows(200, 2)
    one, two = (written(p, train) for p in (part, part.take(np.random.default_rng(0).permutation(200))))
    for key, number in one.items():
        first, second = (n.get("mean", n) for n in (number, two[key]))
        assert first["value"] == pytest.approx(second["value"], abs=1e-9), key
