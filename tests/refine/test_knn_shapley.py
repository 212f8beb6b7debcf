import itertools
import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tardiff.refine.knn_shapley import knn_shapley


def utility(chosen, embedding, label, real, real_label, k):
    """Mean over real records of the share of their K nearest among the chosen that carry their label (missing neighbours are wrong)."""
    chosen = np.array(chosen, dtype=int)
    if not len(chosen):
        return 0.0
    nearest = [chosen[np.argsort(((embedding[chosen] - row) ** 2).sum(1), kind="stable")[:k]] for row in real]
    return float(np.mean([(label[rows] == wanted).sum() / k for rows, wanted in zip(nearest, real_label, strict=True)]))


def case(seed, n, m):
    random = np.random.default_rng(seed)
    return random.normal(size=(n, 2)), random.integers(0, 2, n), random.normal(size=(m, 2)), random.integers(0, 2, m)


def test_values_are_shapleys_by_definition():
    embedding, label, real, real_label = case(0, 7, 5)
    expected = np.zeros(7)
    for i in range(7):
        others = [j for j in range(7) if j != i]
        for size in range(7):
            weight = math.factorial(size) * math.factorial(6 - size) / math.factorial(7)
            for subset in itertools.combinations(others, size):
                gained = utility((*subset, i), embedding, label, real, real_label, 3)
                expected[i] += weight * (gained - utility(subset, embedding, label, real, real_label, 3))
    np.testing.assert_allclose(knn_shapley(embedding, label, real, real_label, 3), expected, atol=1e-12)


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), n=st.integers(4, 40), k=st.integers(1, 4))
def test_values_sum_to_the_utility(seed, n, k):
    embedding, label, real, real_label = case(seed, n, 6)
    whole = utility(range(n), embedding, label, real, real_label, k)
    assert knn_shapley(embedding, label, real, real_label, k).sum() == np.float64(whole).round(12) or np.isclose(
        knn_shapley(embedding, label, real, real_label, k).sum(), whole
    )
