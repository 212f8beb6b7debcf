"""Numbers of whole records: kernel, neighbours, embedding."""

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.stats import kstest
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.neighbors import NearestNeighbors

from tardiff.evaluate.bootstrap import row_weights
from tardiff.evaluate.fidelity.embedding import frechet_distance, weighted_moments
from tardiff.evaluate.fidelity.kernel import discrepancy
from tardiff.evaluate.fidelity.support import NEIGHBOURS, support


def normal(n, seed, shift=0.0, d=4):
    return np.random.default_rng(seed).normal(shift, 1, (n, d))


def mmd(a, b, seed=0):
    random = np.random.default_rng(seed)
    weights = np.concatenate([row_weights(len(a), 50, random), row_weights(len(b), 50, random)], axis=1)
    return discrepancy(a, b, weights, random)


def test_discrepancy_is_the_unbiased_statistic():
    a, b = normal(40, 0), normal(30, 1, 0.5)
    rows = np.concatenate([a, b])
    distance = np.linalg.norm(rows[:, None] - rows, axis=-1)[np.triu_indices(70, k=1)]
    gamma = 1 / np.median(distance**2)
    within = [(rbf_kernel(x, gamma=gamma).sum() - len(x)) / (len(x) * (len(x) - 1)) for x in (a, b)]
    assert mmd(a, b).draws[0] == pytest.approx(sum(within) - 2 * rbf_kernel(a, b, gamma=gamma).mean())


def test_discrepancy_finds_a_shift_and_nothing_else():
    apart = mmd(normal(150, 0), normal(150, 1, 0.7))
    assert apart.more["p_value"] == pytest.approx(1 / 501)
    assert np.quantile(apart.draws[1:], 0.025) > 0
    assert mmd(normal(60, 0), normal(60, 0)).more["p_value"] > 0.9  # the same rows
    by_chance = [mmd(normal(30, 2 * k), normal(30, 2 * k + 1), k).more["p_value"] for k in range(60)]
    assert kstest(by_chance, "uniform").pvalue > 0.001


def supported(other, train, count=30):
    random = np.random.default_rng(0)
    return support(other, train, row_weights(len(other), count, random), row_weights(len(train), count, random))


def test_density_and_coverage_are_those_of_scikit_learns_neighbours():
    train, other = normal(80, 0), normal(60, 1, 0.3)
    radius = NearestNeighbors(n_neighbors=NEIGHBOURS + 1).fit(train).kneighbors(train)[0][:, -1]
    inside = np.linalg.norm(train[:, None] - other, axis=-1) < radius[:, None]
    found = supported(other, train)
    assert found["density"][0] == pytest.approx(inside.sum() / (NEIGHBOURS * 60))
    assert found["coverage"][0] == pytest.approx(inside.any(1).mean())


def test_authenticity_asks_whether_the_nearest_real_row_has_a_nearer_one():
    train, other = normal(80, 0), normal(60, 1, 0.3)
    to_train, nearest = (x[:, 0] for x in NearestNeighbors(n_neighbors=1).fit(train).kneighbors(other))
    own = NearestNeighbors(n_neighbors=2).fit(train).kneighbors(train)[0][:, 1]
    assert supported(other, train)["authenticity"][0] == pytest.approx((to_train > own[nearest]).mean())


def test_identical_sets_copies_and_fresh_rows():
    train = normal(400, 0)
    same = {key: draws[0] for key, draws in supported(train, train).items()}
    assert same["alpha_precision"] > 0.98
    assert same["beta_recall"] > 0.98
    assert same["coverage"] == 1
    assert same["authenticity"] == 0
    copies = supported(train[:50], train)  # real-looking, but few and stolen
    assert copies["authenticity"][0] == 0
    assert copies["coverage"][0] < 0.8
    fresh = {key: draws[0] for key, draws in supported(normal(400, 1), train).items()}
    assert fresh["alpha_precision"] > 0.9
    assert fresh["authenticity"] > 0.5
    assert 0.8 < fresh["density"] < 1.2
    assert fresh["coverage"] > 0.9


def test_far_and_narrow_sets_are_told_apart():
    train = normal(400, 0)
    far = {key: draws[0] for key, draws in supported(normal(400, 1, 6.0), train).items()}
    assert far["alpha_precision"] == pytest.approx(0, abs=0.05)  # never inside: 1 - 2 x (1 / 2)
    assert far["beta_recall"] == pytest.approx(0, abs=0.05)
    assert far["density"] == far["coverage"] == 0
    narrow = {key: draws[0] for key, draws in supported(0.2 * normal(400, 1), train).items()}
    fresh = {key: draws[0] for key, draws in supported(normal(400, 1), train).items()}
    assert narrow["density"] > 1.2 * fresh["density"]  # too typical
    assert narrow["alpha_precision"] < 0.5
    assert narrow["coverage"] < fresh["coverage"] - 0.2


def test_intervals_hold_their_estimates():
    for draws in supported(normal(100, 1), normal(120, 0), count=200).values():
        low, high = np.quantile(draws[1:], (0.025, 0.975))
        assert low <= draws[0] <= high


def test_frechet_distance_is_scipys_and_in_closed_form():
    a, b = normal(300, 0) @ np.diag([1.0, 2.0, 0.5, 1.0]), normal(300, 1, 0.4)
    weights = np.random.default_rng(0).integers(0, 3, (2, 300)).astype(float)
    (m1, s1), (m2, s2) = weighted_moments(a, weights), weighted_moments(b, weights)
    for k in range(2):
        assert s1[k] == pytest.approx(np.cov(a.T, fweights=weights[k].astype(int), bias=True))
        expected = ((m1[k] - m2[k]) ** 2).sum() + np.trace(s1[k] + s2[k] - 2 * sqrtm(s1[k] @ s2[k]).real)
        assert frechet_distance(m1, s1, m2, s2)[k] == pytest.approx(expected, rel=1e-6)
    plain = weighted_moments(a, np.ones((1, 300)))
    assert frechet_distance(*plain, *plain) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(*plain, *weighted_moments(a + 3, np.ones((1, 300)))) == pytest.approx(4 * 9)
