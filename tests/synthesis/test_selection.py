import numpy as np
import torch

from tardiff.synthesis.selection import best_of_each_class, influence_scores


def test_the_best_of_each_class_in_order():
    score, label = np.array([1.0, 5.0, 3.0, 3.0, 9.0, 0.0]), np.array([0, 0, 0, 0, 1, 1])
    assert best_of_each_class(score, label, np.array([2, 1])).tolist() == [1, 2, 4]


def test_scores_do_not_depend_on_the_batch():
    seen, label = torch.randn(10, 2, 3, generator=torch.Generator().manual_seed(0)), torch.arange(10) % 2

    def objective(s, y):
        return s.sum(dim=(1, 2)) * y

    np.testing.assert_allclose(influence_scores(objective, seen, label, 3), influence_scores(objective, seen, label))
