import numpy as np
import pytest
import torch
from curvlinops import GGNLinearOperator
from scipy.stats import spearmanr
from torch import nn
from torch.nn import functional as F

from tardiff.classifier import Classifier, build
from tardiff.direction import InfluenceDirection, dot, gauss_newton_product
from tardiff.errors import TardiffError
from tardiff.guidance import gradient_over_x
from tardiff.influence import mean_gradient
from tardiff.parameter_influence import DoubleBackward, FiniteDifference, parameter_influence
from tardiff.settings import ClassifierSettings

ARCHITECTURES = ("gru", "lstm", "tcn", "transformer", "summary")


def rows(n=40, channels=6, steps=8):
    generator = torch.Generator().manual_seed(0)
    seen = torch.randn(n, channels, steps, generator=generator)
    return seen, (seen[:, 0].mean(1) + 0.3 * torch.randn(n, generator=generator) > 0).long()


def tiny(architecture="gru"):
    return build(ClassifierSettings(architecture=architecture, width=8, seed=1), 6, 2).eval()


def logistic_regression():
    """A linear model of the flattened record, for which Gauss-Newton is the Hessian."""
    torch.manual_seed(0)
    return Classifier(nn.Flatten(), 6 * 8, 2, 0.0).double().eval()


def flat(weights):
    return torch.cat([t.flatten() for t in weights.values()])


def dense_gauss_newton(classifier, seen):
    """J^T H J summed from explicit Jacobians, row by row."""
    parameters = list(classifier.parameters())
    total = 0
    for row in seen.split(1):
        logits = classifier.logits(row)[0]
        jacobian = torch.stack([torch.cat([g.flatten() for g in torch.autograd.grad(z, parameters, retain_graph=True)]) for z in logits])
        p = logits.detach().softmax(0)
        total = total + jacobian.T @ (torch.diag(p) - torch.outer(p, p)) @ jacobian
    return total / len(seen)


class TestSolvers:
    def test_identity_is_the_plain_gradient(self):
        classifier, (seen, label) = tiny(), rows()
        direction = InfluenceDirection.fit(classifier, (seen, label), batch_size=7)
        loss = F.cross_entropy(classifier.logits(seen), label)
        expected = torch.autograd.grad(loss, list(classifier.parameters()))
        for v, g in zip(direction.v.values(), expected, strict=True):
            torch.testing.assert_close(v, g, atol=1e-6, rtol=1e-4)
        assert direction.cosine == 1

    def test_logistic_regression_has_a_closed_form(self):
        """v = (X^T W X / n (x) class block + lambda I)^-1 g, by hand from the design matrix."""
        classifier, (seen, label) = logistic_regression(), rows()
        seen = seen.double()
        design = F.pad(seen.flatten(1), (0, 1), value=1.0)
        p = classifier.logits(seen).softmax(1).detach()
        hessian = torch.einsum("nkl,nd,ne->kdle", torch.diag_embed(p) - torch.einsum("nk,nl->nkl", p, p), design, design) / len(label)
        size = hessian.shape[0] * hessian.shape[1]
        gradient = ((p - F.one_hot(label)).T @ design / len(label)).flatten()
        expected = torch.linalg.solve(hessian.reshape(size, size) + 0.1 * torch.eye(size), gradient).reshape(2, -1)
        for solver in ("ggn_cg", "last_layer"):
            v = InfluenceDirection.fit(classifier, (seen, label), solver, damping=0.1, tolerance=1e-10).v
            torch.testing.assert_close(torch.cat([v["head.weight"], v["head.bias"][:, None]], 1), expected, atol=1e-8, rtol=1e-6)

    @pytest.mark.parametrize("architecture", ARCHITECTURES)
    def test_product_agrees_with_the_dense_matrix(self, architecture):
        classifier, (seen, label) = tiny(architecture).double(), rows(12)
        seen = seen.double()
        w = {name: torch.randn(p.shape, generator=torch.Generator().manual_seed(2)).double() for name, p in classifier.named_parameters()}
        batches = list(zip(seen.split(5), label.split(5), strict=True))
        torch.testing.assert_close(flat(gauss_newton_product(classifier, batches, w)), dense_gauss_newton(classifier, seen) @ flat(w))

    def test_product_agrees_with_curvlinops(self):
        classifier, (seen, label) = tiny("tcn").double(), rows(20)
        seen = seen.double()
        model = nn.Module()
        model.inner = classifier
        model.forward = classifier.logits
        parameters = dict(classifier.named_parameters())
        oracle = GGNLinearOperator(model, nn.CrossEntropyLoss(), list(model.parameters()), [(seen, label)], check_deterministic=False)
        w = {name: torch.randn(p.shape, generator=torch.Generator().manual_seed(2)).double() for name, p in parameters.items()}
        ours = flat(gauss_newton_product(classifier, [(seen, label)], w))
        torch.testing.assert_close(ours, (oracle @ flat(w)).detach(), atol=1e-8, rtol=1e-6)

    def test_conjugate_gradients_solve_the_dense_system(self):
        classifier, (seen, label) = tiny().double(), rows(30)
        seen = seen.double()
        direction = InfluenceDirection.fit(classifier, (seen, label), "ggn_cg", damping=0.05, tolerance=1e-9)
        g = flat(mean_gradient(classifier, [(seen, label)]))
        expected = torch.linalg.solve(dense_gauss_newton(classifier, seen) + 0.05 * torch.eye(len(g)), g)
        torch.testing.assert_close(flat(direction.v), expected, atol=1e-7, rtol=1e-5)
        assert direction.residual <= 1e-9
        assert direction.cosine == pytest.approx(float(F.cosine_similarity(expected, g, dim=0)), abs=1e-6)

    def test_diagonal_fisher_is_the_diagonal(self):
        classifier, (seen, label) = tiny().double(), rows(10)
        seen = seen.double()
        direction = InfluenceDirection.fit(classifier, (seen, label), "diag_fisher", damping=0.1)
        g = flat(mean_gradient(classifier, [(seen, label)]))
        torch.testing.assert_close(flat(direction.v), g / (dense_gauss_newton(classifier, seen).diagonal() + 0.1))

    def test_more_damping_turns_v_towards_the_gradient(self):
        classifier, data = tiny(), rows()
        cosines = [InfluenceDirection.fit(classifier, data, "ggn_cg", damping=d).cosine for d in (0.01, 0.1, 10.0)]
        assert cosines[0] < cosines[1] < cosines[2]
        assert cosines[2] > 0.99

    def test_saved_and_loaded_only_for_its_classifier(self, tmp_path):
        classifier, data = tiny(), rows()
        direction = InfluenceDirection.fit(classifier, data, "ggn_cg", damping=0.1)
        direction.save(tmp_path / "v.safetensors")
        back = InfluenceDirection.load(tmp_path / "v.safetensors", classifier)
        assert all(torch.equal(back.v[name], direction.v[name]) for name in direction.v)
        assert (back.solver, back.residual, back.iterations) == ("ggn_cg", direction.residual, direction.iterations)
        with pytest.raises(TardiffError, match="belongs to another classifier"):
            InfluenceDirection.load(tmp_path / "v.safetensors", tiny("tcn"))
        (tmp_path / "bad.safetensors").write_bytes(b"no")
        with pytest.raises(TardiffError, match="not a direction"):
            InfluenceDirection.load(tmp_path / "bad.safetensors", classifier)

    def test_senseless_requests(self):
        with pytest.raises(TardiffError, match="empty"):
            InfluenceDirection.fit(tiny(), (torch.zeros(0, 6, 8), torch.zeros(0, dtype=torch.long)))
        with pytest.raises(TardiffError, match="damping"):
            InfluenceDirection.fit(tiny(), rows(), "ggn_cg", damping=0.0)


class TestGradientOverX:
    @pytest.mark.parametrize("architecture", ARCHITECTURES)
    def test_finite_difference_double_backward_and_float64_agree(self, architecture):
        classifier, (seen, label) = tiny(architecture), rows(8)
        v = InfluenceDirection.fit(classifier, rows(), "identity").v
        quick = gradient_over_x(FiniteDifference(classifier, v), lambda x: x, seen, label)
        exact = gradient_over_x(DoubleBackward(classifier, v), lambda x: x, seen, label)
        double = {name: t.double() for name, t in v.items()}
        truth = gradient_over_x(DoubleBackward(classifier.double(), double), lambda x: x, seen.double(), label)
        torch.testing.assert_close(exact.double(), truth, atol=1e-6, rtol=1e-3)
        assert F.cosine_similarity(quick.double().flatten(), truth.flatten(), dim=0) > 0.99

    def test_a_samples_gradient_does_not_depend_on_its_neighbours(self):
        classifier, (seen, label) = tiny(), rows(8)
        objective = DoubleBackward(classifier, InfluenceDirection.fit(classifier, rows()).v)
        together = gradient_over_x(objective, lambda x: x, seen, label)
        torch.testing.assert_close(together[:3], gradient_over_x(objective, lambda x: x, seen[:3], label[:3]))

    def test_kinks_are_noticed(self):
        """Piecewise linear through and through: the second derivative is zero almost everywhere, differences jump."""
        torch.manual_seed(0)
        smooth = tiny("gru")
        v = InfluenceDirection.fit(smooth, rows()).v
        assert isinstance(parameter_influence(smooth, v, *rows(8)), FiniteDifference)
        kinked = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(48, 64), nn.ReLU(), nn.Linear(64, 8), nn.ReLU()), 8, 2, 0.0).eval()
        v = InfluenceDirection.fit(kinked, rows()).v
        v = {name: 200 * t for name, t in v.items()}
        assert isinstance(parameter_influence(kinked, v, *rows(8)), DoubleBackward)

    def test_predicted_influence_is_what_one_small_step_does(self):
        """Over all parameters: step on a held-out sample, and the guidance loss falls as J says."""
        classifier, (seen, label) = tiny(), rows()
        direction = InfluenceDirection.fit(classifier, (seen, label))
        others, their_label = rows(60)[0][40:], rows(60)[1][40:]
        predicted, realised, rate = [], [], 1e-3
        base = F.cross_entropy(classifier.double().logits(seen.double()), label)
        for x, y in zip(others.double().split(1), their_label.split(1), strict=True):
            g = mean_gradient(classifier, [(x, y)])
            predicted.append(float(dot(g, direction.v)))
            with torch.no_grad():
                for name, p in classifier.named_parameters():
                    p -= rate * g[name]
                realised.append(float(base - F.cross_entropy(classifier.logits(seen.double()), label)) / rate)
                for name, p in classifier.named_parameters():
                    p += rate * g[name]
        assert spearmanr(predicted, realised).statistic > 0.95
        assert np.polyfit(predicted, realised, 1)[0] == pytest.approx(1, abs=0.1)
