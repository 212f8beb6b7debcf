"""Differentially private training steps (DP-SGD, arXiv 1607.00133), by Opacus.

One training row more or less changes the odds of any folder that training writes by at most e^epsilon (and delta). The weights of both
networks carry the noise. Everything else is made of the settings, of the number of training rows, which is public, or of validation rows:
the codec, the shares of what is observed, the descriptors' distribution, the class counts, the losses, the data set's hash. Validation
rows are not protected. Neither are training rows from what is made of them by other means: a classifier that guides, the discriminator
and rewards of a refinement, a privacy filter, an evaluation. A row is a stay: a patient with k stays has k times the loss of privacy.
"""

import secrets
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from tardiff.base.distributed import world_size
from tardiff.base.extras import needs
from tardiff.base.files import read_struct, write_struct
from tardiff.base.noise import stream
from tardiff.data.dataset import Dataset, Split
from tardiff.errors import TardiffError
from tardiff.settings import TrainSettings

if TYPE_CHECKING:
    from opacus import GradSampleModule
    from opacus.optimizers import DPOptimizer


class RowLosses(Protocol):
    """Training rows with a loss each."""

    def __len__(self) -> int: ...

    def loss(self, unet: nn.Module, rows: Tensor, step: int) -> Tensor:
        """Of some rows at a step, [len(rows)]."""


FEWEST_PUBLIC = 50


def public_rows(data: Dataset) -> Split:
    """The rows that describe a data set to whoever holds a privately trained generator: validation rows, which are not protected."""
    rows = data.splits.get("validation")
    if rows is None or len(rows) < FEWEST_PUBLIC:
        raise TardiffError(
            f"--epsilon needs {FEWEST_PUBLIC} validation rows, there are {0 if rows is None else len(rows)}: quantiles, descriptors and "
            "class counts are taken from them, and nothing but noisy gradients from training rows"
        )
    return rows


def described_rows(data: Dataset, epsilon: float | None) -> Split:
    """The rows that codec and descriptors of a generator are fitted on: training rows, or with an epsilon `public_rows`."""
    return data.train if epsilon is None else public_rows(data)


class Secret(msgspec.Struct, frozen=True):
    """What the draws of rows and noise depend on. Whoever knew it could take the noise off, so it goes when the run ends."""

    key: int

    @classmethod
    def of(cls, folder: Path) -> "Secret":
        """The one of a run that is under way, or a new one."""
        path = folder / "secret.json"
        if path.exists():
            return read_struct(path, cls)
        folder.mkdir(parents=True, exist_ok=True)
        secret = cls(secrets.randbits(62))
        write_struct(path, secret)
        path.chmod(0o600)
        return secret


class PrivateSteps:
    """Optimizer steps of which each row's part is bounded and drowned in noise.

    A step reads every row with the same small probability, clips each row's gradient to `settings.gradient_clip`, and adds
    Gaussian noise whose size follows from epsilon, delta, that probability and the number of steps.

    Args:
        folder: of work in progress, where the secret is kept that rows and noise are drawn from.
    """

    def __init__(self, unet: nn.Module, optimizer: torch.optim.Optimizer, rows: RowLosses, settings: TrainSettings, folder: Path) -> None:
        if world_size() > 1:
            raise TardiffError("--epsilon: private training runs in one process")
        if settings.batch_size > len(rows):
            raise TardiffError(f"--epsilon: --batch-size {settings.batch_size} must be below the number of training rows, {len(rows)}")
        if settings.delta >= 1 / len(rows):
            raise TardiffError(
                f"--delta {settings.delta:g} protects nobody among {len(rows)} training rows; give less than {1 / len(rows):.1e}"
            )
        assert settings.epsilon is not None
        self.rows, self.settings, self.secret = rows, settings, Secret.of(folder)
        self.sample_rate = settings.batch_size / len(rows)
        self.noise = noise_multiplier(settings.epsilon, settings.delta, self.sample_rate, settings.steps)
        self.model, self.optimizer = _wrapped(unet, optimizer, self.noise, settings)

    def gradients(self, step: int) -> tuple[None, float]:
        """Clipped, summed and noisy gradients; returns their norm, and no loss, for that of training rows would carry no noise."""
        chosen = self.chosen(step)
        rows = chosen if len(chosen) else torch.zeros(1, dtype=torch.int64)
        self.optimizer.zero_grad()
        losses = self.rows.loss(self.model, rows, step)
        with quiet():
            (losses * (len(chosen) > 0)).sum().backward()  # of no rows the gradient is 0, and the noise is added all the same
        self.optimizer.generator = torch.Generator().manual_seed(int(stream("private noise", self.secret.key, step).integers(2**62)))
        self.optimizer.pre_step()
        norm = nn.utils.get_total_norm([p.grad for p in self.model.parameters() if p.grad is not None])
        return None, float(norm)

    def apply(self) -> None:
        """Follow the gradients."""
        self.optimizer.original_optimizer.step()

    def chosen(self, step: int) -> Tensor:
        """The rows of a step: each with probability `sample_rate`, whatever the others do."""
        return torch.from_numpy(np.flatnonzero(stream("private rows", self.secret.key, step).random(len(self.rows)) < self.sample_rate))

    def finish(self) -> dict[str, float]:
        """Take Opacus' hooks off the network; returns what the model card says of privacy."""
        self.model.remove_hooks()
        assert self.settings.epsilon is not None
        return {
            "epsilon": self.settings.epsilon,
            "delta": self.settings.delta,
            "noise_multiplier": round(self.noise, 4),
            "sample_rate": round(self.sample_rate, 6),
            "gradient_clip": self.settings.gradient_clip,
        }


def noise_multiplier(epsilon: float, delta: float, sample_rate: float, steps: int) -> float:
    """Noise over clipping norm that so many steps need, by Opacus's Renyi accountant."""
    opacus = _opacus()
    try:
        with quiet():
            noise: float = opacus.accountants.utils.get_noise_multiplier(
                target_epsilon=epsilon, target_delta=delta, sample_rate=sample_rate, steps=steps, accountant="rdp"
            )
    except ValueError as error:
        raise TardiffError(f"--epsilon {epsilon:g}: out of reach for {steps} steps; give more, or fewer --steps ({error})") from error
    return noise


@contextmanager
def quiet() -> Iterator[None]:
    """Leave out what Opacus and PyTorch say of things that are as they should be."""
    with warnings.catch_warnings():
        for message in ("Full backward hook is firing", "In CPU autocast", "grad and param do not obey", "Optimal order is the largest"):
            warnings.filterwarnings("ignore", message)
        yield


def _wrapped(
    unet: nn.Module, optimizer: torch.optim.Optimizer, noise: float, settings: TrainSettings
) -> "tuple[GradSampleModule, DPOptimizer]":
    """The network with a gradient for each row, and the optimizer that clips and drowns them."""
    opacus = _opacus()
    private = opacus.optimizers.DPOptimizer(
        optimizer, noise_multiplier=noise, max_grad_norm=settings.gradient_clip, expected_batch_size=settings.batch_size
    )
    # Opacus' own rule for convolutions reads channels-last memory as if it were contiguous, and is wrong there; functorch is right.
    return opacus.GradSampleModule(unet, loss_reduction="sum", force_functorch=True), private


def _opacus() -> Any:
    for part in ("opacus.accountants.utils", "opacus.optimizers"):
        needs(part, "dp")
    return needs("opacus", "dp")
