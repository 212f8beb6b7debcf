"""A guide that ascends objectives: their gradients, scaled once. The sampler applies the change once, to the clean estimate."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tardiff.guidance.objectives import Objective
from tardiff.model.sampling import Step


@dataclass(frozen=True)
class GradientGuide:
    """Ascend objectives of what the classifier sees, by a step of dimensionless size.

    change = strength * sigma * clip(sum_k w_k g_k / rms(g_k) / sum_k w_k), with g_k the gradient of objective k over the clean
    estimate. Where objectives disagree the change is smaller.

    Attributes:
        parts: the weight w_k and objective (seen, label) -> [b] of each; samples must not influence each other.
        see: x0 and chart to what the classifier sees, differentiable (`Codec.seen`).
        strength: root mean square of the change in units of sigma, before clipping, where objectives agree; 0 changes nothing.
        window: share of the steps that are guided, counted from pure noise.
        clip: largest change of an entry, in units of strength * sigma.
        through_denoiser: take the gradients through the denoiser, over x_t.
    """

    parts: tuple[tuple[float, Objective], ...]
    see: Callable[[Tensor, Tensor], Tensor]
    strength: float
    window: float
    clip: float
    through_denoiser: bool = False

    def acts(self, step: Step) -> bool:
        """Within the window, unless the strength is 0."""
        return self.strength > 0 and step.index < self.window * step.count

    def __call__(self, x0_hat: Tensor, chart: Tensor, label: Tensor, step: Step, x_t: Tensor) -> Tensor:
        """x0_hat, chart and x_t [b, c, t] to a change of x0_hat."""
        direction = torch.zeros_like(x0_hat)
        for weight, objective in self.parts:
            gradient = gradient_over_x(objective, self.see, x0_hat, chart, label, x_t if self.through_denoiser else None)
            direction += weight * gradient / root_mean_square(gradient).clamp(min=1e-12)[:, None, None]
        direction /= sum(weight for weight, _ in self.parts)
        return self.strength * step.sigma * direction.clamp(-self.clip, self.clip)


def gradient_over_x(
    objective: Objective,
    see: Callable[[Tensor, Tensor], Tensor],
    x0_hat: Tensor,
    chart: Tensor,
    label: Tensor,
    x_t: Tensor | None = None,
) -> Tensor:
    """Gradient of each sample's objective over its own entries, [b, c, t].

    The objective is summed, not averaged, so that a sample's gradient does not depend on its neighbours.

    Args:
        objective: (seen, label) -> [b].
        see: x0 and chart to what the classifier sees.
        x0_hat, chart: [b, c, t].
        label: [b].
        x_t: what x0_hat was computed from, to go on through the denoiser to it: its Jacobian is the covariance of x0 given
            x_t over sigma^2 (times alpha), so the gradient keeps to directions in which patients do vary.
    """
    with torch.enable_grad():
        through = x_t is not None  # several objectives go the same way back
        if x_t is None:
            x0_hat = x_t = x0_hat.detach().requires_grad_(True)
        return torch.autograd.grad(objective(see(x0_hat, chart), label).sum(), x_t, retain_graph=through)[0]


def root_mean_square(x: Tensor) -> Tensor:
    """Of each sample, [b, c, t] to [b]."""
    return x.square().mean(dim=(1, 2)).sqrt()
