"""A small GAN over whole records, RLSyn's baseline: the same discriminator, but its gradient instead of its reward."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from tardiff.codec import Z_LIMIT, Codec
from tardiff.dataset import Dataset
from tardiff.labels import draw_labels
from tardiff.noise import normal, row_seeds
from tardiff.pipeline import Card, RecordGenerator, Samples
from tardiff.refine.discriminator import DiscriminatorTrainer, Judgeable
from tardiff.refine.generator import Rollout, judged
from tardiff.refine.settings import DiscriminatorSettings
from tardiff.statics import StaticModel

LATENT = 32
LEARNING_RATE = 5e-4
ROWS = 128


class Network(nn.Module):
    """(latent, label) to a record; mask bits are rounded on the way forward and passed straight through on the way back."""

    def __init__(self, channels: int, steps: int, classes: int, hidden: int = 128) -> None:
        super().__init__()
        self.channels, self.steps, self.classes = channels, steps, classes
        self.layers = nn.Sequential(
            nn.Linear(LATENT + classes, hidden),
            nn.LeakyReLU(0.2),
            nn.Linear(hidden, hidden),
            nn.LeakyReLU(0.2),
            nn.Linear(hidden, 2 * channels * steps),
        )

    def forward(self, latent: Tensor, label: Tensor) -> Tensor:
        """[b, LATENT] and [b] to [b, 2 C, T]."""
        flat = self.layers(torch.cat([latent, F.one_hot(label, self.classes).to(latent)], dim=1))
        value, bit = flat.unflatten(1, (2 * self.channels, self.steps)).tanh().chunk(2, dim=1)
        return torch.cat([Z_LIMIT * value, bit + (torch.where(bit > 0, 1.0, -1.0) - bit).detach()], dim=1)


class GAN(RecordGenerator):
    """A trained network as a generator; descriptors come from the static model."""

    guidable = False

    def __init__(self, network: Network, codec: Codec, statics: StaticModel, card: Card) -> None:
        self.network, self.codec, self.statics, self.card = network, codec, statics, card

    @torch.no_grad()
    def __call__(self, label: NDArray[np.int64], seeds: Sequence[int], *_: Any, **__: Any) -> Samples:
        """One record a seed."""
        labels = torch.from_numpy(label)
        x = self.network(normal("gan", seeds, 0, (LATENT,)), labels)
        return judged(self.codec, Rollout(x, self.statics.sample(label, seeds), labels, torch.zeros(len(label), 1)))


def train_gan(data: Dataset, card: Card, iterations: int, seed: int) -> GAN:
    """Alternate five discriminator updates and one of the generator (non-saturating loss, R1)."""
    codec, statics = Codec.fit(data.train, data.manifest), StaticModel.fit(data.train, data.manifest)
    classes = len(card.class_counts)
    torch.manual_seed(seed)
    network = Network(len(codec.channels), codec.steps, classes)
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE, betas=(0.5, 0.99))
    trainer = DiscriminatorTrainer(
        Judgeable.of(data.train, codec, statics), None, classes, DiscriminatorSettings(ratio=1.0, r1=5.0), LEARNING_RATE, seed
    )
    gan = GAN(network, codec, statics, card)
    label = draw_labels("train", card.class_counts, ROWS, seed)
    for iteration in range(iterations):
        seeds = row_seeds(seed, range(2**28 + iteration * ROWS, 2**28 + (iteration + 1) * ROWS))
        samples = gan(label, seeds)
        fake = Judgeable(samples.x, statics.encode(samples.static), torch.from_numpy(label))
        trainer.learn(fake, 5)
        raw = network(normal("gan", seeds, 0, (LATENT,)), fake.label)
        loss = F.softplus(-trainer.network(raw, fake.static, fake.label)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return gan
