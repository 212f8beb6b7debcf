import copy
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from tardiff.classifier.curvature import DAMPING, last_layer_direction, last_layer_hessian
from tardiff.classifier.folder import ClassifierFolder
from tardiff.classifier.networks import build
from tardiff.errors import TardiffError
from tardiff.guidance.influence import raw
from tardiff.settings import ClassifierSettings


@pytest.fixture(scope="module", params=["gru", "summary"])
def case(request):
    """A classifier of three classes, rows, and any gradient."""
    random = torch.Generator().manual_seed(0)
    classifier = build(ClassifierSettings(architecture=request.param, width=8, seed=1), 6, 3).eval()
    seen, label = torch.randn(40, 6, 8, generator=random), torch.randint(3, (40,), generator=random)
    return classifier, seen, label, torch.randn(3, classifier.head.in_features + 1, generator=random)


def head_of(classifier):
    return torch.cat([classifier.head.weight, classifier.head.bias[:, None]], dim=1).detach().double()


def test_solves_with_autograds_hessian_of_the_mean_loss(case):
    classifier, seen, label, g = case
    h = F.pad(classifier.embedding(seen).detach(), (0, 1), value=1.0).double()

    def loss(flat):
        return F.cross_entropy(h @ flat.reshape(g.shape).T, label)

    by_hand = torch.autograd.functional.hessian(loss, head_of(classifier).flatten())
    hessian = last_layer_hessian(classifier, seen, batch_size=7)
    torch.testing.assert_close(hessian.double(), by_hand, atol=1e-6, rtol=1e-4)
    rule = DAMPING * torch.linalg.eigvalsh(by_hand).mean()
    v = last_layer_direction(hessian, g).double().flatten()
    torch.testing.assert_close(v, torch.linalg.solve(by_hand + rule * torch.eye(g.numel()), g.double().flatten()), atol=1e-3, rtol=1e-3)


def test_the_influence_is_how_far_the_trained_layer_moves(case):
    """Weigh one row a little more, train the ridge-regularised layer to its optimum again, and watch the loss of another row."""
    classifier, seen, label, g = case
    h = F.pad(classifier.embedding(seen).detach(), (0, 1), value=1.0).double()
    ridge = 0.05

    def optimum(weight):
        flat = torch.zeros(g.numel(), dtype=torch.float64)

        def objective(flat):
            each = F.cross_entropy(h @ flat.reshape(g.shape).T, label, reduction="none")
            return each.mean() + weight * each[0] + ridge / 2 * flat.square().sum()

        for _ in range(30):  # Newton's steps
            flat = flat - torch.linalg.solve(torch.func.hessian(objective)(flat), torch.func.grad(objective)(flat))
        return flat.reshape(g.shape)

    def gradient(row, layer):
        residual = (layer @ h[row]).softmax(0) - F.one_hot(label[row], 3)
        return torch.outer(residual, h[row])

    trained = copy.deepcopy(classifier)
    layer, step = optimum(0.0), 1e-4
    with torch.no_grad():
        trained.head.weight.copy_(layer[:, :-1])
        trained.head.bias.copy_(layer[:, -1])
    hessian = last_layer_hessian(trained, seen)
    v = last_layer_direction(hessian.double(), gradient(1, layer), damping=ridge / float(hessian.trace() / len(hessian)))
    moved = optimum(step)
    loss = [F.cross_entropy((weights @ h[1])[None], label[1:2]) for weights in (layer, moved)]
    predicted = float((gradient(0, layer) * v).sum())
    assert predicted == pytest.approx(float(loss[0] - loss[1]) / step, rel=1e-2)


def test_large_damping_leaves_the_gradient(case):
    classifier, seen, _, g = case
    hessian = last_layer_hessian(classifier, seen)
    v = last_layer_direction(hessian, g, damping=1e6)
    torch.testing.assert_close(1e6 * hessian.trace() / len(hessian) * v, g, atol=1e-4, rtol=1e-4)


def test_what_cannot_be_solved_is_refused(case):
    classifier, seen, _, g = case
    with pytest.raises(TardiffError, match="a Hessian needs rows"):
        last_layer_hessian(classifier, seen[:0])
    with pytest.raises(TardiffError, match="certain of every row"):
        last_layer_direction(torch.zeros(g.numel(), g.numel()), g)


def test_a_folder_keeps_the_hessian_of_its_training_rows(clf, toy, tmp_path):
    folder = clf[1]
    expected = last_layer_hessian(folder.classifier, folder.codec.encode(toy[1].train))
    loaded = ClassifierFolder.load(clf[0])
    assert torch.equal(loaded.hessian, expected)
    direction = raw(loaded, "last-layer").directions[0]
    g = (folder.gradients[-1] * torch.tensor(folder.card.guidance_counts)[:, None, None]).sum(0) / sum(folder.card.guidance_counts)
    torch.testing.assert_close(direction[0], last_layer_direction(expected, g))
    torch.testing.assert_close(direction[1], direction[0])
    with pytest.raises(TardiffError, match="holds no Hessian"):
        raw(replace(folder, hessian=None), "last-layer")
    folder.save(tmp_path / "c")
    (tmp_path / "c" / "curvature.safetensors").write_bytes(b"")
    with pytest.raises(TardiffError, match=r"curvature\.safetensors: missing or damaged"):
        ClassifierFolder.load(tmp_path / "c")


def test_a_layer_that_is_too_wide_has_none():
    classifier = build(ClassifierSettings("gru", width=1024), 6, 2).eval()
    assert last_layer_hessian(classifier, torch.zeros(1, 6, 8)) is None
