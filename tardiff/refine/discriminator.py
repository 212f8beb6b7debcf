"""The network that tells generated records from real ones, and how it is kept from winning."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tardiff.base.noise import stream
from tardiff.classifier.networks import TCNEncoder
from tardiff.data.codec import Codec
from tardiff.data.dataset import Split
from tardiff.data.statics import StaticModel
from tardiff.model.pipeline import Samples
from tardiff.refine.settings import DiscriminatorSettings

CPU = torch.device("cpu")
PSEUDO_STEP = 0.01  # change of the share of pseudo-real rows, an update
MOST_PSEUDO = 0.8


@dataclass(frozen=True)
class DiscriminatorRows:
    """What the discriminator reads of records: x [N, 2 C, T] (as `Codec.encode` shows them), encoded descriptors [N, s], label [N]."""

    x: Tensor
    static: Tensor
    label: Tensor

    @classmethod
    def of(cls, rows: Split | Samples, codec: Codec, statics: StaticModel) -> "DiscriminatorRows":
        """Real rows, or generated ones, decoded already."""
        return cls(codec.encode(rows), statics.encode(rows.static), torch.from_numpy(rows.label))

    def __len__(self) -> int:
        return len(self.label)

    def to(self, device: torch.device) -> "DiscriminatorRows":
        """The same rows on a device."""
        return DiscriminatorRows(self.x.to(device), self.static.to(device), self.label.to(device))

    def take(self, rows: Tensor) -> "DiscriminatorRows":
        """The rows given by an index or boolean tensor."""
        return DiscriminatorRows(self.x[rows], self.static[rows], self.label[rows])


class Discriminator(nn.Module):
    """Temporal convolutions over values and mask; descriptors and label enter at the end.

    The label enters by projection (arXiv 1802.05637): logit = f(h) + <embedding(label), h>, so it reads a record as one of its class.
    """

    def __init__(self, channels: int, static_features: int, classes: int, width: int) -> None:
        super().__init__()
        self.encoder = TCNEncoder(channels, width)
        self.join = nn.Linear(width + static_features, width)
        self.head = nn.Linear(width, 1)
        self.label = nn.Embedding(classes, width)
        nn.init.zeros_(self.label.weight)

    def forward(self, x: Tensor, static: Tensor, label: Tensor) -> Tensor:
        """Logit that a record is real, [b]: its log density ratio, once trained."""
        h = F.gelu(self.join(torch.cat([self.encoder(x), static], dim=1)))
        return self.head(h)[:, 0] + (self.label(label) * h).sum(1)


class DiscriminatorTrainer:
    """A discriminator with its optimizer and its share of pseudo-real rows.

    Args:
        held: real rows that it never learns from, None if there are none: where it does worse on them, it has learnt rows by heart.
    """

    def __init__(
        self,
        real: DiscriminatorRows,
        held: DiscriminatorRows | None,
        classes: int,
        settings: DiscriminatorSettings,
        learning_rate: float,
        seed: int,
        device: torch.device = CPU,
    ) -> None:
        self.real, self.held = real.to(device), None if held is None else held.to(device)
        self.settings, self.seed, self.device = settings, seed, device
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.network = Discriminator(real.x.shape[1], real.static.shape[1], classes, settings.width).to(device)
        rate = settings.ratio * learning_rate
        self.optimizer = torch.optim.Adam(self.network.parameters(), rate, betas=(0.5, 0.99))  # little momentum: its target moves
        self.pseudo = 0.0
        self.done = 0

    @torch.no_grad()
    def logit(self, rows: DiscriminatorRows) -> Tensor:
        """[N]."""
        parts, rows = torch.arange(len(rows)).split(512), rows.to(self.device)
        return torch.cat([self.network(part.x, part.static, part.label) for part in map(rows.take, parts)])

    def learn(self, fake: DiscriminatorRows, updates: int) -> dict[str, float]:
        """Some updates on real rows and these samples; returns what is logged."""
        fake = fake.to(self.device)
        for _ in range(updates):
            self._update(fake)
            self.done += 1
        return self.accuracy(fake)

    def accuracy(self, fake: DiscriminatorRows) -> dict[str, float]:
        """Share of generated, training and held-out rows that it tells rightly, and of training rows that are generated ones."""
        rows = stream("discriminator accuracy", self.seed, self.done).permutation(len(self.real))[: len(fake)]
        shares = {
            "discriminator_fake": float((self.logit(fake) < 0).float().mean()),
            "discriminator_train": float((self.logit(self.real.take(torch.from_numpy(rows))) > 0).float().mean()),
        }
        if self.held is not None:
            shares["discriminator_held"] = float((self.logit(self.held) > 0).float().mean())
        return shares | {"pseudo": self.pseudo}

    def _update(self, fake: DiscriminatorRows) -> None:
        random = stream("discriminator", self.seed, self.done)
        size = self.settings.batch_size
        real = self.real.take(torch.from_numpy(random.integers(len(self.real), size=size)))
        shown = fake.take(torch.from_numpy(random.integers(len(fake), size=size)))
        real = self._augmented(real, fake, random)
        x = self._noised(real.x, random).requires_grad_(True)
        static = real.static.detach().requires_grad_(True)
        at_real = self.network(x, static, real.label)
        at_fake = self.network(self._noised(shown.x, random), shown.static, shown.label)
        loss = F.softplus(-at_real).mean() + F.softplus(at_fake).mean()
        if self.settings.r1 > 0:
            slopes = torch.autograd.grad(at_real.sum(), (x, static), create_graph=True)
            steepness = torch.stack([slope.flatten(1).square().sum(1) for slope in slopes]).sum(0)
            loss = loss + self.settings.r1 / 2 * steepness.mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        # Adaptive pseudo augmentation, arXiv 2111.06849: a discriminator that is too sure of real rows is shown generated ones as real.
        sure = float(at_real.detach().sign().mean()) > self.settings.pseudo
        self.pseudo = min(max(self.pseudo + (PSEUDO_STEP if sure else -PSEUDO_STEP), 0.0), MOST_PSEUDO)

    def _augmented(self, real: DiscriminatorRows, fake: DiscriminatorRows, random: np.random.Generator) -> DiscriminatorRows:
        swap = torch.from_numpy(random.random(len(real)) < self.pseudo).to(self.device)
        other = fake.take(torch.from_numpy(random.integers(len(fake), size=len(real))))
        return DiscriminatorRows(
            torch.where(swap[:, None, None], other.x, real.x),
            torch.where(swap[:, None], other.static, real.static),
            torch.where(swap, other.label, real.label),
        )

    def _noised(self, x: Tensor, random: np.random.Generator) -> Tensor:
        return x + self.settings.instance_noise * torch.from_numpy(random.standard_normal(tuple(x.shape), dtype=np.float32)).to(x)
