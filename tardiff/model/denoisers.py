"""Denoisers made from a trained one: with classifier-free guidance, or without labels."""

import torch
from torch import Tensor

from tardiff.model.diffusion import TIMESTEPS
from tardiff.model.sampling import Denoiser


def with_cfg(denoiser: Denoiser, unconditional: int, cfg_scale: float, window: float = 1.0) -> Denoiser:
    """Classifier-free guidance (Ho & Salimans, arXiv 2207.12598): a denoiser that exaggerates what the label changes.

    v = v(no label, s) + cfg_scale (v(label, s) - v(no label, s)), in the first steps (arXiv 2404.07724 on why not in all). The
    descriptors s are the same in both, so that their effect is as it was learnt. Both are asked for in one batch.

    Args:
        denoiser: trained with labels dropped, whatever else was.
        unconditional: the label that stands for none.
        cfg_scale: 1 is the denoiser itself, 0 ignores the label.
        window: share of the time, counted from pure noise, in which that holds; later the denoiser is itself.
    """
    if cfg_scale == 1:
        return denoiser

    def guided(x_t: Tensor, timestep: Tensor, label: Tensor, static: Tensor | None, chart: Tensor) -> Tensor:
        if float(timestep[0]) < (1 - window) * TIMESTEPS - 1:
            return denoiser(x_t, timestep, label, static, chart)
        none = torch.full_like(label, unconditional)
        if cfg_scale == 0:
            return denoiser(x_t, timestep, none, static, chart)
        pairs = (x_t, x_t), (timestep, timestep), (none, label), (chart, chart)
        x_t, timestep, label, chart = (torch.cat(pair) for pair in pairs)
        static = None if static is None else torch.cat([static, static])
        plain, told = denoiser(x_t, timestep, label, static, chart).chunk(2)
        return plain + cfg_scale * (told - plain)

    return guided


def label_free(denoiser: Denoiser) -> Denoiser:
    """A denoiser that learnt without labels, for samplers and guides that have some."""

    def blind(x_t: Tensor, timestep: Tensor, label: Tensor, static: Tensor | None, chart: Tensor) -> Tensor:
        return denoiser(x_t, timestep, torch.zeros_like(label), static, chart)

    return blind
