import pytest
import torch
from torch.nn import functional as F

from tardiff.classifier.curvature import last_layer_direction
from tardiff.classifier.networks import build
from tardiff.errors import TardiffError
from tardiff.settings import ClassifierSettings


@pytest.fixture(scope="module", params=["gru", "summary"])
def case(request):
    """A classifier of three classes, rows, and any gradient."""
    random = torch.Generator().manual_seed(0)
    classifier = build(ClassifierSettings(architecture=request.param, width=8, seed=1), 6, 3).eval()
    seen, label = torch.randn(40, 6, 8, generator=random), torch.randint(3, (40,), generator=random)
    return classifier, seen, label, torch.randn(3, classifier.head.in_features + 1, generator=random)


def test_solves_with_autograds_hessian_of_the_mean_loss(case):
    classifier, seen, label, g = case
    h = F.pad(classifier.embedding(seen).detach(), (0, 1), value=1.0).double()
    weights = torch.cat([classifier.head.weight, classifier.head.bias[:, None]], dim=1).detach().double()

    def loss(flat):
        return F.cross_entropy(h @ flat.reshape(g.shape).T, label)

    hessian = torch.autograd.functional.hessian(loss, weights.flatten())
    v = last_layer_direction(classifier, seen, label, g, damping=0.1, batch_size=7)
    by_hand = torch.linalg.solve(hessian + 0.1 * torch.eye(g.numel(), dtype=torch.float64), g.double().flatten())
    torch.testing.assert_close(v.double().flatten(), by_hand, atol=1e-5, rtol=1e-4)


def test_large_damping_leaves_the_gradient(case):
    classifier, seen, label, g = case
    torch.testing.assert_close(1e6 * last_layer_direction(classifier, seen, label, g, damping=1e6), g, atol=1e-4, rtol=1e-4)


def test_what_cannot_be_solved_is_refused(case):
    classifier, seen, label, g = case
    with pytest.raises(TardiffError, match="guidance set is empty"):
        last_layer_direction(classifier, seen[:0], label[:0], g, damping=0.1)
    with pytest.raises(TardiffError, match="must be above 0"):
        last_layer_direction(classifier, seen, label, g, damping=0.0)
