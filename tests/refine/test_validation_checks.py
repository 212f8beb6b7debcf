import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp

from tardiff.data.codec import Codec
from tardiff.evaluate.bootstrap import row_weights
from tardiff.model.pipeline import Samples
from tardiff.refine.validation_checks import CheckFigures, CheckResult, ValidationCheck, ks_distance
from tests.conftest import samples_of

RANDOM = np.random.default_rng(0)


def figures(utility, distance, noise=0.0, marginal=0.05):
    draws = noise * RANDOM.normal(size=(3, 101))
    draws[:, 0] = 0
    return CheckFigures(utility + draws[0], distance + draws[1], marginal + draws[2])


def test_distance_is_kolmogorov_and_smirnovs():
    ours, theirs = np.round(RANDOM.normal(size=(60, 3)), 1), np.round(RANDOM.normal(0.3, 1, size=(80, 3)), 1)  # with ties
    draws = ks_distance(ours, row_weights(60, 20, RANDOM), theirs, row_weights(80, 20, RANDOM))
    assert draws[0] == pytest.approx(np.mean([ks_2samp(ours[:, f], theirs[:, f]).statistic for f in range(3)]), abs=1e-6)
    assert draws[1:].std() > 0


def test_result_is_a_paired_difference():
    base = figures(0.3, 0.1)
    better, worse = CheckResult.of(figures(0.35, 0.08), base), CheckResult.of(figures(0.3, 0.13), base)
    unsure = CheckResult.of(figures(0.29, 0.1, 0.02), base)
    assert better.score > 0 > worse.score
    assert worse.worse
    assert not better.worse
    assert not unsure.worse
    assert CheckResult.of(figures(0.4, 0.1, marginal=0.09), base).worse
    assert CheckResult.of(figures(0.3, 0.1, marginal=0.04), base).score > 0
    assert better.utility.value == pytest.approx(0.05)


def test_without_utility_the_distance_decides():
    nothing = np.empty(0)
    result = CheckResult.of(CheckFigures(nothing, np.full(11, 0.2), np.zeros(11)), CheckFigures(nothing, np.full(11, 0.1), np.zeros(11)))
    assert result.utility is None
    assert result.worse
    assert str(result).startswith("TSTR unknown (it takes two classes, 5 samples of each), distance of features +0.100")


def test_scores_of_checkpoints_have_one_unit():
    """Twice the gains are twice the score, however much surer of the smaller ones one may be."""
    base = figures(0.3, 0.1, 0.01)
    near = CheckFigures(base.utility + 0.01, base.distance - 0.01, base.marginal - 0.003)
    noise = 0.02 * RANDOM.normal(size=101) * (np.arange(101) > 0)
    far = CheckFigures(base.utility + 0.02 + noise, base.distance - 0.02, base.marginal - 0.006)
    assert CheckResult.of(far, base).score == pytest.approx(2 * CheckResult.of(near, base).score)
    assert CheckResult.of(base, base).score == 0


def test_resamples_that_lack_a_class_say_nothing():
    base, other = figures(0.3, 0.1, 0.01), figures(0.2, 0.1, 0.01)
    other.utility[5:9] = np.nan
    assert CheckResult.of(other, base).worse
    assert np.isfinite(CheckResult.of(other, base).score)
    other.utility[1:] = np.nan
    assert CheckResult.of(other, base).utility is None


def test_interval_of_a_change_in_distance_lies_around_the_change():
    """Resampling adds the same noise to a small distance as to a large one, and more of it shows in the small one."""
    near, far = RANDOM.normal(size=(2, 300, 5))
    far[:, 0] += 0.8
    weights, real = (row_weights(300, 100, RANDOM) for _ in range(2))
    validation = RANDOM.normal(size=(300, 5))
    pair = [CheckFigures(np.empty(0), ks_distance(rows, weights, validation, real), np.zeros(101)) for rows in (far, near)]
    change = CheckResult.of(*pair).distance
    assert change.low < change.value < change.high
    assert (change.low + change.high) / 2 == pytest.approx(change.value, abs=(change.high - change.low) / 8)


def test_values_of_a_seldom_observed_channel_count(toy):
    """As `evaluate` has it: the distance of observed values, mean over channels; a channel that samples never observe is 1 away."""
    data = toy[1]
    codec = Codec.fit(data.train, data.manifest)
    real, rows = data.split("validation"), data.train
    check = ValidationCheck(codec, data, 0)

    def marginal(values, mask):
        return check(Samples(torch.empty(0), torch.empty(0), values, mask, rows.static, rows.label)).marginal[0]

    def ks(channel):
        return ks_2samp(*(split.values[:, channel][split.mask[:, channel] == 1] for split in (rows, real))).statistic

    each = [ks(channel) for channel in range(rows.mask.shape[1])]
    assert marginal(rows.values, rows.mask) == pytest.approx(np.mean(each), abs=1e-6)
    mask = rows.mask.copy()
    mask[:, 0] = 0
    assert marginal(np.where(mask == 1, rows.values, np.nan), mask) == pytest.approx(np.mean([1, *each[1:]]), abs=1e-6)


def test_hardly_any_sample_of_a_class_makes_no_utility(toy):
    data = toy[1]
    codec = Codec.fit(data.train, data.manifest)
    check = ValidationCheck(codec, data, 0)

    def of(rows):
        return check(samples_of(codec, rows))

    died = np.flatnonzero(data.train.label == 1)
    few = data.train.take(np.sort(np.append(np.flatnonzero(data.train.label == 0), died[:1])))
    assert len(of(data.train).utility)
    assert not len(of(few).utility)
    assert CheckResult.of(of(few), of(data.train)).utility is None
