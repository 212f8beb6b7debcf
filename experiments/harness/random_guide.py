"""A control: a guide that moves samples as far as another one does, in a direction that means nothing."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tardiff.base.noise import row_seeds, stream
from tardiff.classifier.folder import ClassifierFolder
from tardiff.data.resolution import ABSENT
from tardiff.model.pipeline import RecordGenerator, Samples
from tardiff.model.sampling import Step
from tardiff.settings import GuidanceSettings
from tardiff.synthesis.matched_strength import USUAL_SCALE
from tardiff.synthesis.run import synthesise

STRONGEST = 4.0
HALVINGS = 7
COMPARED = 128


@dataclass(frozen=True)
class RandomGuide:
    """x0_hat changes by strength times sigma along one fixed direction a class, in the first share `window` of the steps.

    Attributes:
        direction: of each class, of root mean square 1, [classes, C, T].
        strength: in units of the step's noise level.
        window: share of the steps.
    """

    direction: Tensor
    strength: float
    window: float
    through_denoiser: bool = False

    @classmethod
    def draw(cls, classes: int, channels: int, steps: int, window: float, seed: int) -> "RandomGuide":
        """Directions of a seed, at strength 0."""
        direction = torch.from_numpy(stream("random direction", seed).standard_normal((classes, channels, steps)).astype(np.float32))
        return cls(direction / direction.square().mean((1, 2), keepdim=True).sqrt(), 0.0, window)

    def acts(self, step: Step) -> bool:
        """In the first steps."""
        return step.index < self.window * step.count

    def __call__(self, x0_hat: Tensor, chart: Tensor, label: Tensor, step: Step, x_t: Tensor) -> Tensor:
        """x0_hat [b, C, T] to its change."""
        return self.strength * step.sigma * self.direction[label]


def strength_of(movement: Callable[[float], float], wanted: float) -> float:
    """The strength at which samples move as far as is wanted, by halving; 0 if they do already without, or the strongest.

    Args:
        movement: of a strength; it rises.
        wanted: root mean square, in standard deviations.
    """
    if movement(0.0) >= wanted:
        return 0.0
    low, high = 0.0, STRONGEST
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if movement(middle) < wanted else (low, middle)
    return (low + high) / 2


def moved_at_random(
    generator: RecordGenerator, folder: ClassifierFolder, guidance: GuidanceSettings, label: NDArray[np.int64], seed: int
) -> tuple[Samples, float]:
    """Samples of a seed that a random guide moves as far as a guide of a given strength does, and how far that is.

    Classifier-free guidance acts beside both, alike; how far is measured on the first rows, against unguided ones.

    Args:
        generator: what draws.
        folder: the classifier that the other guide follows.
        guidance: the other guide.
        label: of the samples, [n].
        seed: of noise and directions.
    """
    few, seeds = label[:COMPARED], row_seeds(seed, range(len(label)))
    done = synthesise(generator, len(few), classifier=folder, guidance=guidance, label=few, seed=seed, progress=False)
    assert done.movement is not None  # a guide acts
    scale = USUAL_SCALE if isinstance(guidance.cfg_scale, str) else guidance.cfg_scale
    steered, plain = generator.with_cfg(scale, guidance.window), generator(few, seeds[: len(few)])
    shape = len(generator.classes), len(generator.codec.channels), generator.codec.steps
    guide = RandomGuide.draw(*shape, guidance.window, seed)

    def movement(strength: float) -> float:
        drawn = steered(few, seeds[: len(few)], guide=replace(guide, strength=strength), like=plain)
        return float(((drawn.x0 - plain.x0).square().sum() / (plain.chart != ABSENT).sum()).sqrt())

    strength = strength_of(movement, done.movement.value)
    return steered(label, seeds, guide=replace(guide, strength=strength)), movement(strength)
