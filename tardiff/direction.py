"""The direction in which the weights should go: v = (G + damping I)^-1 grad L(guidance rows), by four solvers.

Koh & Liang (arXiv 1703.04730) have the Hessian for G; here it is the generalised Gauss-Newton matrix, which is positive
semi-definite and, for a linear model, the Hessian itself. TarDiff's release takes v = grad L (GradDot), the solver `identity`.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from einops import einsum, rearrange
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from tardiff.errors import TardiffError
from tardiff.files import new_file
from tardiff.influence import Weights, mean_gradient, sample_gradient

Solver = Literal["identity", "ggn_cg", "diag_fisher", "last_layer"]


@dataclass(frozen=True)
class InfluenceDirection:
    """v, by parameter, and how well it was solved for.

    Attributes:
        v: parameter name to tensor; `last_layer` has the head's only.
        solver: how it was found.
        damping: lambda of the solve (0 for `identity`).
        residual: |(G + lambda I) v - g| / |g|.
        cosine: between v and the plain gradient g (over the parameters that v has).
        iterations: of conjugate gradients.
        classifier: `weights_hash` of the classifier it belongs to.
    """

    v: Weights
    solver: Solver
    damping: float
    residual: float
    cosine: float
    iterations: int
    classifier: str

    @classmethod
    def fit(
        cls,
        classifier: nn.Module,
        guidance_set: tuple[Tensor, Tensor],
        solver: Solver = "identity",
        *,
        damping: float = 0.01,
        tolerance: float = 1e-4,
        most_iterations: int = 100,
        batch_size: int = 256,
    ) -> "InfluenceDirection":
        """Solve for v on the rows of a guidance set.

        Args:
            classifier: any module with `loss(seen, label)` -> [b], `logits(seen)` -> [b, classes] and, for `last_layer`, a linear `head`;
                it is put into evaluation mode.
            guidance_set: seen [N, 2 C, T] and label [N]. Gradient and curvature are means over its rows.
            solver: `identity` (v = g), `ggn_cg` (conjugate gradients on the Gauss-Newton matrix), `diag_fisher` (its
                diagonal), `last_layer` (its block of the linear head, exact by Cholesky).
            damping: lambda, in the curvature's own unit.
            tolerance: relative residual at which conjugate gradients stop.
            most_iterations: at most so many of them.
            batch_size: rows held in memory at a time.

        Raises:
            TardiffError: the guidance set is empty, or the damping makes no sense.
        """
        seen, label = guidance_set
        if not len(label):
            raise TardiffError("the guidance set is empty; a direction needs rows")
        if damping <= 0 and solver != "identity":
            raise TardiffError(f"damping {damping}: must be above 0, for the curvature may be singular")
        classifier.eval()
        batches = list(zip(seen.split(batch_size), label.split(batch_size), strict=True))
        g = mean_gradient(classifier, batches)
        if solver == "identity":
            return cls(g, solver, 0.0, 0.0, 1.0, 0, weights_hash(classifier))
        if solver == "last_layer":
            g = {name: g[name] for name in ("head.weight", "head.bias")}
            return cls._solved(classifier, solver, damping, g, *_last_layer(classifier, batches, g, damping))
        if solver == "diag_fisher":
            diagonal = fisher_diagonal(classifier, seen)
            v = {name: g[name] / (diagonal[name] + damping) for name in g}
            return cls._solved(classifier, solver, damping, g, v, 0.0, 0)

        def product(w: Weights) -> Weights:
            curved = gauss_newton_product(classifier, batches, w)
            return {name: curved[name] + damping * w[name] for name in w}

        return cls._solved(classifier, solver, damping, g, *conjugate_gradients(product, g, tolerance, most_iterations))

    @classmethod
    def _solved(
        cls, classifier: nn.Module, solver: Solver, damping: float, g: Weights, v: Weights, residual: float, iterations: int
    ) -> "InfluenceDirection":
        cosine = float(dot(g, v) / (dot(g, g) * dot(v, v)).sqrt().clamp(min=1e-30))
        return cls(v, solver, damping, residual, cosine, iterations, weights_hash(classifier))

    def save(self, path: str | Path) -> None:
        """Write one safetensors file, whole or not at all."""
        facts = {name: getattr(self, name) for name in FACTS}
        with new_file(path) as temporary:
            save_file({name: tensor.contiguous() for name, tensor in self.v.items()}, temporary, {"direction": json.dumps(facts)})

    @classmethod
    def load(cls, path: str | Path, classifier: nn.Module) -> "InfluenceDirection":
        """Read a direction.

        Raises:
            TardiffError: the file is missing or damaged, or belongs to another classifier.
        """
        try:
            with safe_open(path, "pt") as file:
                facts = json.loads(file.metadata()["direction"])
            direction = cls(load_file(path), **{name: facts[name] for name in FACTS})
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise TardiffError(f"{path}: missing or not a direction ({error}); fit it again") from error
        if direction.classifier != weights_hash(classifier):
            raise TardiffError(f"{path}: belongs to another classifier; fit the direction again")
        return direction


FACTS = ("solver", "damping", "residual", "cosine", "iterations", "classifier")


def weights_hash(module: nn.Module) -> str:
    """Hash of a module's weights, by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return f"sha256:{digest.hexdigest()}"


def dot(a: Weights, b: Weights) -> Tensor:
    """Inner product of two sets of weights."""
    return torch.stack([(a[name].double() * b[name].double()).sum() for name in a]).sum()


def gauss_newton_product(classifier: nn.Module, batches: list[tuple[Tensor, Tensor]], w: Weights) -> Weights:
    """G w with G the mean over rows of J^T H J: J the logits' Jacobian, H = diag(p) - p p^T the softmax's Hessian.

    J w is taken by two backward passes (the derivative of u -> J^T u along w), since recurrent layers have no forward mode.
    """
    rows = sum(len(label) for _, label in batches)
    parameters = list(classifier.parameters())
    along = [w[name] for name, _ in classifier.named_parameters()]
    total = {name: torch.zeros_like(p) for name, p in classifier.named_parameters()}
    for seen, _ in batches:
        with twice_differentiable():
            logits = classifier.logits(seen)  # type: ignore[operator]
        u = torch.zeros_like(logits, requires_grad=True)
        transposed = torch.autograd.grad(logits, parameters, u, create_graph=True)
        jw = torch.autograd.grad(transposed, u, along, retain_graph=True)[0]
        p = logits.detach().softmax(1)
        curved = p * (jw - (p * jw).sum(1, keepdim=True))
        for name, part in zip(total, torch.autograd.grad(logits, parameters, curved / rows), strict=True):
            total[name] += part
    return total


def twice_differentiable() -> AbstractContextManager[None]:
    """For forward passes that are differentiated twice: fused attention has no second derivative, the plain one does."""
    return sdpa_kernel(SDPBackend.MATH)


def conjugate_gradients(
    product: Callable[[Weights], Weights], g: Weights, tolerance: float, most_iterations: int
) -> tuple[Weights, float, int]:
    """Solve A v = g for a positive definite A; returns v, |A v - g| / |g|, and the iterations (Hestenes & Stiefel 1952)."""
    v = {name: torch.zeros_like(t) for name, t in g.items()}
    r, p = dict(g), dict(g)
    size = dot(g, g)
    rr = size
    iteration = 0
    while iteration < most_iterations and rr > tolerance**2 * size:
        ap = product(p)
        step = float(rr / dot(p, ap))
        v = {name: v[name] + step * p[name] for name in v}
        r = {name: r[name] - step * ap[name] for name in r}
        rr, before = dot(r, r), rr
        p = {name: r[name] + float(rr / before) * p[name] for name in p}
        iteration += 1
    return v, float((rr / size.clamp(min=1e-30)).sqrt()), iteration


def fisher_diagonal(classifier: nn.Module, seen: Tensor) -> Weights:
    """Diagonal of the Fisher information, the mean over rows of sum_c p_c (grad log p_c)^2, which is the Gauss-Newton diagonal.

    One backward pass a row and class: no library's per-sample gradients reach into recurrent layers.
    """
    parameters = list(classifier.parameters())
    total = {name: torch.zeros_like(p) for name, p in classifier.named_parameters()}
    for row in seen.split(1):
        logp = classifier.logits(row).log_softmax(1)[0]  # type: ignore[operator]
        for c, p in enumerate(logp.detach().exp()):
            gradients = torch.autograd.grad(logp[c], parameters, retain_graph=True)
            for name, gradient in zip(total, gradients, strict=True):
                total[name] += p * gradient.square() / len(seen)
    return total


@torch.no_grad()
def _last_layer(classifier: nn.Module, batches: list[tuple[Tensor, Tensor]], g: Weights, damping: float) -> tuple[Weights, float, int]:
    """The head's block of G is the mean of (diag(p) - p p^T) (x) [h, 1] [h, 1]^T: small enough to factor."""
    rows = sum(len(label) for _, label in batches)
    blocks = torch.stack(list(_head_blocks(classifier, batches))).sum(0) / rows
    flat = rearrange(torch.cat([g["head.weight"], g["head.bias"][:, None]], dim=1), "k d -> (k d)").double()
    matrix = rearrange(blocks, "k d l e -> (k d) (l e)") + damping * torch.eye(len(flat), dtype=torch.float64)
    solved = torch.cholesky_solve(flat[:, None], torch.linalg.cholesky(matrix))[:, 0]
    residual = float((matrix @ solved - flat).norm() / flat.norm().clamp(min=1e-30))
    v = rearrange(solved, "(k d) -> k d", k=len(g["head.bias"])).to(g["head.weight"])
    return {"head.weight": v[:, :-1], "head.bias": v[:, -1]}, residual, 0


def _head_blocks(classifier: nn.Module, batches: list[tuple[Tensor, Tensor]]) -> Iterator[Tensor]:
    for seen, label in batches:
        residual, h = sample_gradient(classifier, seen, label)  # type: ignore[arg-type]
        p = (residual + torch.nn.functional.one_hot(label, residual.shape[1])).double()
        hessian = torch.diag_embed(p) - einsum(p, p, "b k, b l -> b k l")
        yield einsum(hessian, h.double(), h.double(), "b k l, b d, b e -> k d l e")
