"""tsgm's cBetaVAE (Apache-2.0), a variational autoencoder that reads the label.

Its decoder ends in a sigmoid, so everything is brought between 0 and 1.
"""

import os

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
import tsgm
from numpy.typing import NDArray

from experiments.peers.clock import Clock
from experiments.peers.records import Records
from experiments.peers.shapes import Complete
from experiments.peers.worker import Sampler

EPOCHS = 10**6
"""More than anybody has time for: the clock ends training."""


class Stop(keras.callbacks.Callback):
    """Ends training when the clock runs out."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Look at the clock."""
        self.model.stop_training = self.clock.spent()


def fit(
    train: Records, clock: Clock, seed: int, latent_dim: int = 8, beta: float = 1.0, learning_rate: float = 1e-3, batch_size: int = 64
) -> Sampler:
    """Learn from complete arrays; one hour is repeated where the decoder cannot make so many (it can make 24, but not 12)."""
    keras.utils.set_random_seed(seed)
    complete = Complete.fit(train, "unit")
    cube, steps = complete.encode(train), train.values.shape[2]
    cube = np.pad(cube, ((0, 0), (0, possible(steps) - steps), (0, 0)), mode="edge")
    parts = tsgm.models.zoo["cvae_conv5"](cube.shape[1], cube.shape[2], latent_dim, 2)
    model = tsgm.models.cvae.cBetaVAE(parts.encoder, parts.decoder, latent_dim=latent_dim, temporal=False, beta=beta)
    model.compile(optimizer=keras.optimizers.Adam(learning_rate))
    model.fit(cube, np.eye(2, dtype=np.float32)[train.label], batch_size=batch_size, epochs=EPOCHS, verbose=0, callbacks=[Stop(clock)])

    def sample(label: NDArray[np.int64]) -> Records:
        made, _ = model.generate(keras.ops.convert_to_tensor(np.eye(2, dtype=np.float32)[label]))
        return complete.decode(keras.ops.convert_to_numpy(made)[:, :steps], label, train)

    return sample


def possible(steps: int) -> int:
    """The least number of hours, at least so many, that the decoder's pooling gives back."""
    return next(n for n in range(steps, 2 * steps + 8) if round((8 * n + 1) / (n + 1)) == 8)
