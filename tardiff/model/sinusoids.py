"""Sinusoidal features of a position or a diffusion step."""

import math

import torch
from torch import Tensor


def sinusoids(position: Tensor, width: int) -> Tensor:
    """Features [b, width] of positions [b] (Vaswani et al., arXiv 1706.03762; wavelengths up to 10,000)."""
    half = width // 2
    rates = torch.exp(-math.log(10_000.0) * torch.arange(half, device=position.device) / half)
    angle = position.float()[:, None] * rates
    return torch.cat([angle.sin(), angle.cos()], dim=1)
