"""The diffusion process and the denoising loss, one number a sample."""

from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from torch import Tensor

from tardiff.data.resolution import ABSENT

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
    """The noisy sample x_t = alpha x0 + sigma eps and the target v = alpha eps - sigma x0 (arXiv 2202.00512); alpha_bar is alpha^2, [b]."""
    alpha, sigma = alpha_bar.sqrt()[:, None, None], (1 - alpha_bar).sqrt()[:, None, None]
    return alpha * x0 + sigma * eps, alpha * eps - sigma * x0


def denoising_loss(v_hat: Tensor, v: Tensor, chart: Tensor) -> Tensor:
    """Mean squared error of v over what is charted, [batch]. All arguments [batch, C, time]."""
    return mean_over_charted((v_hat - v) ** 2, chart)


def mean_over_charted(x: Tensor, chart: Tensor) -> Tensor:
    """The mean of what is charted, [batch, C, time] to [batch]; 0 where nothing is."""
    charted = (chart != ABSENT).to(x)
    return (charted * x).sum(dim=(1, 2)) / charted.sum(dim=(1, 2)).clamp(min=1)
