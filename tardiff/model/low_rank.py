"""Small changes to trained networks, of which nothing is left but the changed weights once they are merged.

Every matrix W becomes W + left right, of low rank (LoRA, Hu et al., arXiv 2106.09685), every bias and norm b becomes b + change. All
changes are 0 at first, so that weight decay is a penalty on moving. Embeddings of the label stay as they are.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.func import functional_call


class Changed(nn.Module):
    """Networks whose weights are frozen, and trainable changes to them; called like the networks.

    Args:
        rank: of a matrix's change; 0 changes biases and norms alone.
        seed: of the right factors, which are drawn; the left ones are 0.
    """

    def __init__(self, networks: nn.Module, rank: int, seed: int) -> None:
        super().__init__()
        self.networks = networks.requires_grad_(False)
        self.changes = nn.ParameterDict()
        labels = {f"{name}.weight" for name, module in networks.named_modules() if isinstance(module, nn.Embedding)}
        random = torch.Generator().manual_seed(seed)
        for name, weight in networks.named_parameters():
            if name.endswith("bias") or weight.ndim == 1:
                self.changes[_key(name, "change")] = torch.zeros(weight.shape)
            elif name not in labels and rank:
                rows, columns = weight.flatten(1).shape
                self.changes[_key(name, "left")] = torch.zeros(rows, rank)
                self.changes[_key(name, "right")] = torch.randn(rank, columns, generator=random) / columns**0.5

    def forward(self, *arguments: Tensor) -> tuple[Tensor, ...]:
        """What the networks with their changed weights give."""
        return functional_call(self.networks, dict(self.weights()), arguments)

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """The changed weights by name; what has no change is left out."""
        for name, weight in self.networks.named_parameters():
            if (key := _key(name, "change")) in self.changes:
                yield name, weight + self.changes[key]
            elif (key := _key(name, "left")) in self.changes:
                change = self.changes[key] @ self.changes[_key(name, "right")]
                yield name, weight + change.view(weight.shape)

    @torch.no_grad()
    def merged(self) -> nn.Module:
        """The networks, with the changes added to their weights in place."""
        own = dict(self.networks.named_parameters())
        for name, weight in list(self.weights()):
            own[name].copy_(weight)
        return self.networks.requires_grad_(True)


def _key(name: str, part: str) -> str:
    return f"{name.replace('.', '/')}/{part}"
