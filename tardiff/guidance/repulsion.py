"""Repulsion: samples that keep away from a fixed set of rows, so that each still depends on its own seed and label alone."""

from dataclasses import dataclass

import torch
from torch import Tensor

from tardiff.errors import TardiffError


@dataclass(frozen=True)
class Repulsion:
    """Mean squared distance from the nearest reference row [M, 2 C, t] of the sample's class.

    IGD (ICLR 2025) keeps away from the samples drawn before instead, so that there each depends on all the others.
    """

    reference: Tensor
    label: Tensor

    def __call__(self, seen: Tensor, label: Tensor) -> Tensor:
        """[b, 2 C, t] and [b] to [b]."""
        if not torch.isin(label, self.label).all():
            raise TardiffError("--objective repulsion: a class has no row to keep away from; raise --pilot")
        with torch.no_grad():
            distance = torch.cdist(seen.flatten(1), self.reference.flatten(1))
            nearest = distance.masked_fill(label[:, None] != self.label, torch.inf).argmin(1)
        return (seen - self.reference[nearest]).square().mean(dim=(1, 2))
