from dataclasses import replace

import msgspec
import numpy as np
import pytest

from tardiff.base.noise import stream
from tardiff.data.codec import Codec
from tardiff.evaluate.bootstrap import row_weights
from tardiff.evaluate.fidelity import RESAMPLES, Sample, draw_samples, fidelity, value_distances
from tardiff.evaluate.realism import default_rules
from tardiff.evaluate.run import distances

from .toys import MANIFEST, MEAN, real, rows, split


def sample(part):
    return Sample(part, row_weights(len(part), RESAMPLES, stream("test", 0)))


def against(part, train):
    return {key: distance.written() for key, distance in value_distances(sample(part), sample(train), MANIFEST).items()}


def measured(data, sets):
    """The fidelity part of an evaluation, without what is fitted."""
    splits = {"train": data.train, "held-out": data.split("test")} | {f"synthetic/{name}": part for name, part in sets.items()}
    samples = draw_samples(splits, 0)
    return fidelity(distances(samples, Codec.fit(data.train, data.manifest), data.manifest, default_rules(), 0))


def test_identical_sets_differ_by_nothing():
    train = rows(300, 1)
    found = against(train, train)
    for key in (
        *("ks", "wasserstein", "dimension_wise", "observed_rate", "observed_rate_by_step"),
        *("autocorrelation", "autocorrelation_function", "never_charted", "run_lengths", "gap_lengths", "resolution", "repeats", "change"),
    ):
        assert found[key]["mean"]["value"] == 0
        assert all(channel["value"] == 0 for channel in found[key]["by_channel"].values())
    for key in ("correlation", "cross_correlation", "mutual_information", "co_observation"):
        assert found[key]["value"] == 0


def test_a_shift_is_the_wasserstein_distance():
    train = rows(300, 1)
    moved = replace(train, values=train.values + np.float32(5))
    found = against(moved, train)
    for c, name in enumerate(MANIFEST.channel_names):
        sd = np.nanstd(train.values[:, c].astype(np.float64))
        channel = found["wasserstein"]["by_channel"][name]
        assert channel["value"] == pytest.approx(5 / sd, rel=1e-4)
        assert channel["low"] < channel["value"] < channel["high"]
        assert found["dimension_wise"]["by_channel"][name]["value"] == pytest.approx(5 / sd, rel=1e-4)
    assert found["ks"]["by_channel"]["hr"]["value"] > 0.1
    assert found["correlation"]["value"] == pytest.approx(0, abs=1e-6)


def test_a_dropped_half_is_the_observed_rate():
    train = rows(300, 1, observed=1.0)
    gaps = np.where(np.arange(6) % 2 == 0, train.values, np.nan)
    gapped = split(gaps, train.label)
    found = against(gapped, train)["observed_rate"]
    assert found["by_channel"]["hr"]["value"] == pytest.approx(-0.5)
    assert found["mean"]["value"] == pytest.approx(0.5)
    assert against(gapped, train)["observed_rate_by_step"]["mean"]["value"] == pytest.approx(0.5)


def lag_one(part):
    """Of heart rates observed in two steps running."""
    now, then = part.values[:, 0, 1:].astype(np.float64).ravel(), part.values[:, 0, :-1].astype(np.float64).ravel()
    both = np.isfinite(now) & np.isfinite(then)
    return np.corrcoef(now[both], then[both])[0, 1]


def test_lost_autocorrelation_is_measured_over_gaps():
    random = np.random.default_rng(0)
    gaps = np.where(random.random((2, 400, 3, 6)) < 0.7, 0.0, np.nan)
    label = np.zeros(400, np.int64)
    train = split(MEAN + gaps[0] + random.normal(0, 1, (400, 3, 6)).cumsum(2), label)
    noise = split(MEAN + gaps[1] + random.normal(0, 1, (400, 3, 6)), label)
    found = against(noise, train)["autocorrelation"]["by_channel"]["hr"]
    assert found["value"] == pytest.approx(lag_one(noise) - lag_one(train), abs=1e-5)
    assert found["low"] < found["value"] < found["high"] < -0.5


def test_correlation_uses_steps_observed_together():
    random = np.random.default_rng(0)
    shared = random.normal(0, 1, (400, 1, 6))
    train = split(np.concatenate([shared, shared, random.normal(0, 1, (400, 1, 6))], axis=1) + MEAN, np.zeros(400, np.int64))
    broken = split(np.where(np.arange(6) < 3, train.values, np.nan), train.label)
    apart = split(random.normal(0, 1, (400, 3, 6)) + MEAN, train.label)
    assert against(broken, train)["correlation"]["value"] < 0.05
    assert against(apart, train)["correlation"]["value"] == pytest.approx(1 / 3, abs=0.05)  # one pair of three went from 1 to 0


def test_a_channel_never_observed_has_no_number():
    train = rows(100, 1)
    blind = split(np.where(np.arange(3)[:, None] == 0, np.nan, train.values), train.label)
    found = against(blind, train)["ks"]
    assert found["by_channel"]["hr"]["value"] is None
    assert found["mean"]["value"] == 0  # of the channels that have one


@pytest.mark.filterwarnings("error")
def test_a_channel_that_is_observed_once_or_never_is_compared_without_a_warning():
    train, values = rows(100, 1), rows(100, 2).values.copy()
    values[1:, 0], values[:, 0, 1:], values[:, 1] = np.nan, np.nan, np.nan
    once = split(values, train.label)
    assert against(once, once)["ks"]["by_channel"]["hr"]["value"] == 0
    assert against(once, once)["wasserstein"]["by_channel"]["hr"]["value"] == 0
    assert against(train, once)["ks"]["by_channel"][MANIFEST.channel_names[1]]["value"] is None


def test_broken_rules_are_counted():
    values = np.broadcast_to(MEAN, (10, 3, 6)).copy()
    values[0, 1] = 150.0  # diastolic above systolic at 6 of 60 steps
    values[1, 0] = 999.0  # a heart rate beyond its limits at 6 of 180 values
    found = against(split(values, np.zeros(10, np.int64)), rows(50, 1))
    assert found["ordering_violations"]["value"] == pytest.approx(0.1)
    assert found["out_of_limits"]["value"] == pytest.approx(6 / 180)
    plain = msgspec.structs.replace(MANIFEST, orderings=())
    assert np.isnan(value_distances(sample(rows(50, 2)), sample(rows(50, 1)), plain)["ordering_violations"].draws).all()


def test_the_floor_is_real_against_real_with_as_many_rows():
    result = measured(real(400), {"same": rows(150, 9), "moved": rows(300, 8, shift=60.0)})
    assert result["rows"] == 150
    assert result["floor"]["ks"]["mean"]["n"] == 150
    same, moved, floor = (part["ks"]["by_channel"]["hr"] for part in (*result["sets"].values(), result["floor"]))
    assert abs(same["value"] - floor["value"]) < 0.1
    assert moved["low"] > floor["high"]
    worse = result["against_floor"]["moved"]["ks"]
    assert worse["worse"]
    assert worse["worst"]["name"] == "hr"
    assert worse["worst"]["value"] == pytest.approx(moved["value"] - floor["value"])
    unlike = [key for key, found in result["against_floor"]["same"].items() if found["worse"]]
    assert len(unlike) < 4


def test_another_set_changes_nothing():
    data, part = real(), rows(200, 9)
    alone, beside = measured(data, {"a": part}), measured(data, {"b": rows(250, 8), "a": part})
    for key in ("sets", "against_floor"):
        assert alone[key]["a"] == beside[key]["a"]
