"""Denoisers made from a trained one: with classifier-free guidance, or without labels."""

import torch
from torch import Tensor

from tardiff.model.diffusion import TIMESTEPS
from tardiff.model.sampling import Denoiser


def with_cfg(denoiser: Denoiser, unconditional: int, cfg_scale: float, window: float = 1.0) -> Denoiser:
    """Classifier-free guidance (Ho & Salimans, arXiv 2207.12598): a denoiser that exaggerates what the label changes.

    v = v_unconditional + cfg_scale (v_label - v_unconditional), in the first steps (arXiv 2404.07724 on why not in all).

    Args:
        denoiser: trained with label dropout.
        unconditional: the label that stands for none; descriptors are dropped with it, as in training.
        cfg_scale: 1 is the denoiser itself, 0 ignores the label.
        window: share of the time, counted from pure noise, in which that holds; later the denoiser is itself.
    """
    if cfg_scale == 1:
        return denoiser

    def guided(x_t: Tensor, timestep: Tensor, label: Tensor, static: Tensor | None) -> Tensor:
        if float(timestep[0]) < (1 - window) * TIMESTEPS - 1:
            return denoiser(x_t, timestep, label, static)
        plain = denoiser(x_t, timestep, torch.full_like(label, unconditional), None if static is None else torch.zeros_like(static))
        return plain if cfg_scale == 0 else plain + cfg_scale * (denoiser(x_t, timestep, label, static) - plain)

    return guided


def label_free(denoiser: Denoiser) -> Denoiser:
    """A denoiser that learnt without labels, for samplers and guides that have some."""

    def blind(x_t: Tensor, timestep: Tensor, label: Tensor, static: Tensor | None) -> Tensor:
        return denoiser(x_t, timestep, torch.zeros_like(label), static)

    return blind
