"""A small GAN over whole records, RLSyn's baseline: the same discriminator, but its gradient instead of its reward."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from tardiff.base.checkpoint import unpack
from tardiff.base.noise import normal, reserved_rows, row_seeds
from tardiff.data.codec import Z_LIMIT, Codec
from tardiff.data.dataset import Dataset
from tardiff.data.labels import draw_labels
from tardiff.data.resolution import ABSENT, FIRST_GRID
from tardiff.data.statics import StaticModel
from tardiff.errors import TardiffError
from tardiff.model.pipeline import Card, RecordGenerator, Samples
from tardiff.refine.discriminator import DiscriminatorRows, DiscriminatorTrainer
from tardiff.refine.early_stopping import EarlyStopping
from tardiff.refine.generator import Rollout, decoded
from tardiff.refine.settings import DiscriminatorSettings
from tardiff.refine.validation_checks import ValidationCheck

LATENT = 32
LEARNING_RATE = 5e-4
ROWS = 128
CHECKED = 1024
CHECK_EVERY = 100


class Network(nn.Module):
    """(latent, label) to a record; what is charted is rounded on the way forward and passed straight through on the way back."""

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
        """[b, LATENT] and [b] to scores and mask, [b, 2 C, T]."""
        flat = self.layers(torch.cat([latent, F.one_hot(label, self.classes).to(latent)], dim=1))
        value, bit = flat.unflatten(1, (2 * self.channels, self.steps)).tanh().chunk(2, dim=1)
        return torch.cat([Z_LIMIT * value, bit + ((bit > 0).float() - bit).detach()], dim=1)


class GAN(RecordGenerator):
    """A trained network as a generator; descriptors come from the static model."""

    guidable = False

    def __init__(self, network: Network, codec: Codec, statics: StaticModel, card: Card) -> None:
        self.network, self.codec, self.statics, self.card = network, codec, statics, card

    @property
    def device(self) -> torch.device:
        """The CPU."""
        return torch.device("cpu")

    def to(self, device: torch.device | str) -> "GAN":
        """Stays where it is.

        Raises:
            TardiffError: that is elsewhere.
        """
        if torch.device(device).type != "cpu":
            raise TardiffError("the GAN of the experiments computes on the CPU")
        return self

    @torch.no_grad()
    def __call__(self, label: NDArray[np.int64], seeds: Sequence[int], *_: Any, **__: Any) -> Samples:
        """One record a seed."""
        labels = torch.from_numpy(label)
        x0, mask = self.network(normal("gan", seeds, 0, (LATENT,)), labels).chunk(2, dim=1)
        chart = torch.where(mask > 0, FIRST_GRID, ABSENT)
        return decoded(self.codec, Rollout(x0, chart, self.statics.sample(label, seeds), labels, torch.zeros(len(label), 1)))


def train_gan(data: Dataset, card: Card, iterations: int, seed: int) -> GAN:
    """Alternate five discriminator updates and one of the generator (non-saturating loss, R1); the best of the checks is kept.

    The discriminator reads records as a user would get them; the gradient passes straight through the decoder.
    """
    codec, statics = Codec.fit(data.train, data.manifest), StaticModel.fit(data.train, data.manifest)
    classes = len(card.class_counts)
    torch.manual_seed(seed)
    network = Network(len(codec.channels), codec.steps, classes)
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE, betas=(0.5, 0.99))
    trainer = DiscriminatorTrainer(
        DiscriminatorRows.of(data.train, codec, statics), None, classes, DiscriminatorSettings(ratio=1.0, r1=5.0), LEARNING_RATE, seed
    )
    gan = GAN(network, codec, statics, card)
    label = draw_labels("train", card.class_counts, ROWS, seed)
    checked, check = draw_labels("train", card.class_counts, CHECKED, seed), ValidationCheck(codec, data, seed)
    stopping = EarlyStopping(
        lambda: check(gan(checked, row_seeds(seed, range(CHECKED)))),
        network,
        copy.deepcopy(network),
        optimizer,
        iterations,
        trained=False,
    )
    stopping.begin()
    for iteration in range(iterations):
        seeds = row_seeds(seed, reserved_rows("refinement", ROWS, iteration * ROWS))
        fake = DiscriminatorRows.of(gan(label, seeds), codec, statics)
        trainer.learn(fake, 5)
        raw = network(normal("gan", seeds, 0, (LATENT,)), fake.label)
        loss = F.softplus(-trainer.network(fake.x + (raw - raw.detach()), fake.static, fake.label)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (iteration + 1) % CHECK_EVERY == 0 or iteration + 1 == iterations:
            stopping.average.load_state_dict(network.state_dict())
            stopping.check(iteration + 1)
    assert stopping.best is not None
    network.load_state_dict(unpack("best", stopping.best.weights))
    return gan
