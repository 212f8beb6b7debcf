"""A guide that ascends an objective: its gradient, scaled once. The sampler applies the change once, to the clean estimate."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tardiff.guidance.objectives import Objective
from tardiff.model.sampling import Step


@dataclass(frozen=True)
class GradientGuide:
    """Ascend an objective of what the classifier sees, by a step of dimensionless size.

    change = strength * sigma * clip(g / rms(g)), with g the objective's gradient over the clean estimate.

    Attributes:
        objective: (seen, label) -> [b]; samples must not influence each other.
        see: x0 and chart to what the classifier sees, differentiable (`Codec.seen`).
        strength: root mean square of the change in units of sigma, before clipping; 0 changes nothing.
        window: share of the steps that are guided, counted from pure noise.
        clip: largest |g / rms(g)|.
        through_denoiser: take the gradient through the denoiser, over x_t.
    """

    objective: Objective
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
        gradient = gradient_over_x(self.objective, self.see, x0_hat, chart, label, x_t if self.through_denoiser else None)
        unit = gradient / root_mean_square(gradient).clamp(min=1e-12)[:, None, None]
        return self.strength * step.sigma * unit.clamp(-self.clip, self.clip)


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
        if x_t is None:
            x0_hat = x_t = x0_hat.detach().requires_grad_(True)
        return torch.autograd.grad(objective(see(x0_hat, chart), label).sum(), x_t)[0]


def root_mean_square(x: Tensor) -> Tensor:
    """Of each sample, [b, c, t] to [b]."""
    return x.square().mean(dim=(1, 2)).sqrt()
