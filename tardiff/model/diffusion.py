"""The diffusion process and the denoising loss, one number a sample."""

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from torch import Tensor

TIMESTEPS = 1000
PROCESS = {
    "num_train_timesteps": TIMESTEPS,
    "beta_schedule": "squaredcos_cap_v2",  # cosine schedule, arXiv 2102.09672
    "prediction_type": "v_prediction",
    "timestep_spacing": "trailing",  # the first reverse step starts from pure noise, arXiv 2305.08891
}


def noise_schedule() -> DDIMScheduler:
    """The process that training and sampling share."""
    return DDIMScheduler(**PROCESS, clip_sample=False)


def diffuse(x0: Tensor, eps: Tensor, alpha_bar: Tensor) -> tuple[Tensor, Tensor]:
    """The noisy sample x_t = alpha x0 + sigma eps and the target v = alpha eps - sigma x0 (arXiv 2202.00512).

    Args:
        x0, eps: [batch, channels, time].
        alpha_bar: alpha^2 of each sample's step, [batch].
    """
    alpha, sigma = alpha_bar.sqrt()[:, None, None], (1 - alpha_bar).sqrt()[:, None, None]
    return alpha * x0 + sigma * eps, alpha * eps - sigma * x0


def entry_weights(x0: Tensor, fill_weight: float) -> Tensor:
    """Weight of each entry in the loss, like x0 [batch, 2 C, time].

    Mask bits and observed values weigh 1, filled values `fill_weight`.
    """
    _, bits = x0.chunk(2, dim=1)
    return torch.cat([torch.where(bits > 0, 1.0, fill_weight), torch.ones_like(bits)], dim=1)


def denoising_loss(v_hat: Tensor, v: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean squared error of v, [batch]. All arguments [batch, channels, time]."""
    return (weight * (v_hat - v) ** 2).sum(dim=(1, 2)) / weight.sum(dim=(1, 2))
