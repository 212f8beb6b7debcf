from dataclasses import replace
from itertools import chain

import numpy as np
import pytest

from tardiff.data.codec import Codec
from tardiff.data.dataset import Dataset
from tardiff.evaluate.cache import Cache
from tardiff.evaluate.forecast import absolute_errors, forecast, train_forecaster
from tardiff.evaluate.forecast import fits as forecasts
from tardiff.evaluate.judges import Rows
from tardiff.evaluate.pool import run_fits
from tardiff.evaluate.row_sets import RowSets
from tardiff.settings import EvaluateSettings

from .toys import MANIFEST, MEAN, split, synthetic

STEPS = 6


def swinging(n, seed, shuffled=False):
    """Values that turn their sign at every step, around a level of their own; half of the values are seen."""
    random = np.random.default_rng(seed)
    sign = (-1.0) ** np.arange(STEPS) * random.choice([-1, 1], (n, 3, 1))
    values = MEAN + 10 * sign + random.normal(0, 1, (n, 3, STEPS))
    if shuffled:
        values = random.permuted(values, axis=2)
    values[random.random(values.shape) < 0.1] = np.nan
    return split(values, random.integers(0, 2, n), first=10_000 * seed)


@pytest.fixture(scope="module")
def found():
    data = Dataset(MANIFEST, {name: swinging(600, seed) for seed, name in enumerate(("train", "validation", "test"), start=1)})
    sets = {"alike": synthetic(swinging(600, 8)), "shuffled": synthetic(swinging(600, 9, shuffled=True))}
    settings = EvaluateSettings(seeds=3, bootstrap=100)
    row_sets = RowSets.of(data, sets, data.split("test"), Codec.fit(data.train, MANIFEST))
    forecasters = forecasts(row_sets, settings)
    return forecast(row_sets, forecasters, run_fits(chain(*forecasters.values()), row_sets, 1, Cache()), settings)


@pytest.mark.slow
def test_what_moves_alike_forecasts_like_real_rows_and_shuffled_time_does_not(found):
    assert found["sets"]["alike"]["value"] < 1.3 * found["real"]["value"]
    assert found["sets"]["shuffled"]["low"] > 1.2 * found["real"]["high"]
    assert found["real"]["high"] < 0.5 * found["carried_forward"]["low"]
    for number in (found["real"], found["carried_forward"], *found["sets"].values()):
        assert number["low"] <= number["value"] <= number["high"]
        assert number["n"] == 600
    assert found["real"]["seeds"] == 3


def test_only_observed_values_count():
    seen = np.zeros((2, 2, 4), np.float32)  # one channel, its mask
    seen[0, 0], seen[0, 1] = (0, 1, 1, 3), (1, 1, 0, 1)
    seen[1, 0], seen[1, 1] = (5, 5, 5, 5), (1, 0, 0, 0)
    arrays = absolute_errors(lambda seen: seen[:, :1, :-1] * 0, Rows(seen, np.zeros((2, 7)), np.zeros(2, np.int64)))
    np.testing.assert_array_equal(arrays["error"], [4, 0])
    np.testing.assert_array_equal(arrays["count"], [2, 0])


@pytest.mark.slow
def test_a_seed_repeats_and_labels_are_not_read():
    codec = Codec.fit(swinging(100, 1), MANIFEST)
    train, other = (Rows.of(swinging(100, seed), codec) for seed in (1, 2))
    flipped = replace(train, label=1 - train.label)
    errors = [absolute_errors(train_forecaster(rows, other, seed), other)["error"] for rows, seed in ((train, 3), (flipped, 3), (train, 4))]
    np.testing.assert_array_equal(errors[0], errors[1])
    assert (errors[0] != errors[2]).any()
