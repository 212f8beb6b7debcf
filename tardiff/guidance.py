"""Guides: an objective's gradient, scaled once. The sampler applies the change once, to the clean estimate."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields

import torch
from torch import Tensor
from torch.nn import functional as F

from tardiff.classifier import Classifier
from tardiff.influence import Objective
from tardiff.objective import TIMESTEPS
from tardiff.processes import every
from tardiff.sampling import Denoiser, Step

INERT = 1e-3


@dataclass(frozen=True)
class GradientGuide:
    """Ascend an objective of what the classifier sees, by a step of dimensionless size.

    change = strength * sigma * clip(g / size), with g the objective's gradient over the clean estimate. `size` is each
    sample's own root mean square, or one constant per class, which lets the change fade as the gradient does.

    Attributes:
        objective: (seen, label) -> [b]; samples must not influence each other.
        see: codec space to what the classifier sees, differentiable (`Codec.seen`).
        strength: root mean square of g / size in units of sigma; 0 changes nothing.
        window: share of the steps that are guided, counted from pure noise.
        clip: largest |g / size|.
        class_size: root mean square of the gradient for each class, [classes]; None takes each sample's own.
        kept: share of each class's direction that stands above chance (`gap` only).
        through: take the gradient through the denoiser, over x_t.
    """

    objective: Objective
    see: Callable[[Tensor], Tensor]
    strength: float
    window: float
    clip: float
    class_size: Tensor | None = None
    kept: tuple[float, ...] | None = None
    through: bool = False

    def acts(self, step: Step) -> bool:
        """Within the window, unless the strength is 0."""
        return self.strength > 0 and step.index < self.window * step.count

    def __call__(self, x0_hat: Tensor, label: Tensor, step: Step, x_t: Tensor) -> Tensor:
        """x0_hat and x_t [b, c, t] to a change of x0_hat."""
        gradient = gradient_over_x(self.objective, self.see, x0_hat, label, x_t if self.through else None)
        size = root_mean_square(gradient) if self.class_size is None else self.class_size[label]
        unit = gradient / size.clamp(min=1e-12)[:, None, None]
        return self.strength * step.sigma * unit.clamp(-self.clip, self.clip)


def gradient_over_x(
    objective: Objective, see: Callable[[Tensor], Tensor], x0_hat: Tensor, label: Tensor, x_t: Tensor | None = None
) -> Tensor:
    """Gradient of each sample's objective over its own entries, [b, c, t].

    The objective is summed, not averaged, so that a sample's gradient does not depend on its neighbours.

    Args:
        objective: (seen, label) -> [b].
        see: codec space to what the classifier sees.
        x0_hat: [b, c, t].
        label: [b].
        x_t: what x0_hat was computed from, to go on through the denoiser to it: its Jacobian is the covariance of x0 given
            x_t over sigma^2 (times alpha), so the gradient keeps to directions in which patients do vary.
    """
    with torch.enable_grad():
        if x_t is None:
            x0_hat = x_t = x0_hat.detach().requires_grad_(True)
        return torch.autograd.grad(objective(see(x0_hat), label).sum(), x_t)[0]


def class_gradient_sizes(objective: Objective, see: Callable[[Tensor], Tensor], x: Tensor, label: Tensor, classes: int) -> Tensor:
    """Root mean square of the objective's gradient over the samples of each class, [classes]; 1 for a class without samples."""
    parts = zip(x.split(256), label.split(256), strict=True)
    squares = torch.cat([root_mean_square(gradient_over_x(objective, see, *part)) ** 2 for part in parts])
    return torch.stack([squares[label == c].mean().sqrt() if (label == c).any() else torch.tensor(1.0) for c in range(classes)])


def root_mean_square(x: Tensor) -> Tensor:
    """Of each sample, [b, c, t] to [b]."""
    return x.square().mean(dim=(1, 2)).sqrt()


def mean_of(objectives: Sequence[Objective]) -> Objective:
    """The mean of several objectives (an ensemble of classifiers); of one, that one."""
    if len(objectives) == 1:
        return objectives[0]
    return lambda seen, label: torch.stack([objective(seen, label).sum() for objective in objectives]).mean()


def log_probability(classifier: Classifier) -> Objective:
    """Classifier guidance's objective (Dhariwal & Nichol, arXiv 2105.05233): log p(label | seen), [b]."""

    def objective(seen: Tensor, label: Tensor) -> Tensor:
        return -F.cross_entropy(classifier.logits(seen), label, reduction="none")

    return objective


def classifier_free(denoiser: Denoiser, unconditional: int, scale: float, window: float = 1.0) -> Denoiser:
    """Classifier-free guidance (Ho & Salimans, arXiv 2207.12598): a denoiser that exaggerates what the label changes.

    v = v_unconditional + scale (v_label - v_unconditional), in the first steps (arXiv 2404.07724 on why not in all).

    Args:
        denoiser: trained with label dropout.
        unconditional: the label that stands for none; descriptors are dropped with it, as in training.
        scale: 1 is the denoiser itself, 0 ignores the label.
        window: share of the time, counted from pure noise, in which that holds; later the denoiser is itself.
    """
    if scale == 1:
        return denoiser

    def guided(x_t: Tensor, timestep: Tensor, label: Tensor, static: Tensor | None) -> Tensor:
        if float(timestep[0]) < (1 - window) * TIMESTEPS - 1:
            return denoiser(x_t, timestep, label, static)
        plain = denoiser(x_t, timestep, torch.full_like(label, unconditional), None if static is None else torch.zeros_like(static))
        return plain if scale == 0 else plain + scale * (denoiser(x_t, timestep, label, static) - plain)

    return guided


def label_free(denoiser: Denoiser) -> Denoiser:
    """A denoiser that learnt without labels, for samplers and guides that have some."""

    def blind(x_t: Tensor, timestep: Tensor, label: Tensor, static: Tensor | None) -> Tensor:
        return denoiser(x_t, timestep, torch.zeros_like(label), static)

    return blind


def rounded(number: float) -> float:
    """To six digits: the order of a sum, and so its last bits, may depend on threads and batch size, but no record may."""
    return float(f"{number:.6g}")


@dataclass
class Sums:
    """Sums over the entries of all samples at one step.

    Attributes:
        change, update, before: squares of the guide's change, of the whole update of x, and of the change at the step before.
        along: products of the change and the one at the step before.
        count: entries.
    """

    change: float = 0.0
    update: float = 0.0
    before: float = 0.0
    along: float = 0.0
    count: int = 0

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(Sums)))

    def record(self) -> dict[str, float]:
        """What `GuidanceLog.summary` says of the step; 0 where there was nothing to divide by."""
        norm = math.sqrt(self.change * self.before)
        return {
            "change": rounded(math.sqrt(self.change / self.count)),
            "update": rounded(math.sqrt(self.update / self.count)),
            "ratio": rounded(math.sqrt(self.change / self.update)) if self.update else 0.0,
            "cosine": rounded(self.along / norm) if norm else 0.0,
        }


@dataclass
class GuidanceLog:
    """What a guide did, step by step; a callback of the sampler.

    Attributes:
        steps: by step index, sums over all entries.
        before: the change at the step before, of the batch that is under way.
    """

    steps: dict[int, Sums] = field(default_factory=dict)
    before: Tensor | None = None

    def __call__(self, step: Step, x_t: Tensor, x_next: Tensor, change: Tensor) -> None:
        """Add one batch."""
        sums = self.steps.setdefault(step.index, Sums())
        sums.change += float(change.double().square().sum())
        sums.update += float((x_next - x_t).double().square().sum())
        sums.count += change.numel()
        if step.index and self.before is not None:  # a batch runs through all its steps before the next one starts
            sums.before += float(self.before.double().square().sum())
            sums.along += float((change.double() * self.before.double()).sum())
        self.before = change

    def over_processes(self) -> "GuidanceLog":
        """The sums of all processes together."""
        total = GuidanceLog()
        for steps in every(self.steps):
            total = total.joined(GuidanceLog(steps))
        return total

    def joined(self, other: "GuidanceLog") -> "GuidanceLog":
        """The sums of both."""
        steps = sorted(self.steps.keys() | other.steps.keys())
        return GuidanceLog({index: self.steps.get(index, Sums()) + other.steps.get(index, Sums()) for index in steps})

    def summary(self) -> list[dict[str, float]]:
        """One record a step: root mean square of change and update, their ratio, and the cosine of the change to the step before's."""
        return [{"step": index} | sums.record() for index, sums in sorted(self.steps.items())]

    @property
    def inert(self) -> bool:
        """True if in no step the change reached a thousandth of the update."""
        return all(record["ratio"] < INERT for record in self.summary())
