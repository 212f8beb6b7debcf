"""Rewards behind one interface, by name; each is standardised within its class before they are weighted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from tardiff.classifier.folder import ClassifierFolder
from tardiff.data.codec import Codec
from tardiff.data.dataset import Dataset
from tardiff.data.statics import StaticModel
from tardiff.errors import TardiffError
from tardiff.model.pipeline import Samples
from tardiff.refine.discriminator import DiscriminatorTrainer
from tardiff.refine.ppo import whiten_by_class
from tardiff.settings import named_weights


class Reward(Protocol):
    """`reward(samples) -> [B]`: higher is better. It sees the whole batch at once, as a user would get it, labels included."""

    def __call__(self, samples: Samples) -> NDArray[np.floating]:
        """One number a sample."""


@dataclass(frozen=True)
class Context:
    """What a reward may be made from; the training split is imitated, validation rows check."""

    codec: Codec
    statics: StaticModel
    data: Dataset
    discriminator: DiscriminatorTrainer
    classifier: ClassifierFolder | None = None

    def needed(self, name: str) -> ClassifierFolder:
        """The classifier."""
        if self.classifier is None:
            raise TardiffError(f"reward {name} needs --classifier (make one with `tardiff fit-classifier`)")
        return self.classifier


Factory = Callable[[Context], Reward]
FACTORIES: dict[str, Factory] = {}
F = TypeVar("F", bound=Factory)


def factory(name: str) -> Callable[[F], F]:
    """Register a function that makes reward `name` from a `Context`."""

    def register(make: F) -> F:
        FACTORIES[name] = make
        return make

    return register


def reward(name: str) -> Callable[[Reward], Reward]:
    """Register a plain function `f(samples) -> [B]` as reward `name`."""

    def register(function: Reward) -> Reward:
        FACTORIES[name] = lambda context: function
        return function

    return register


def parse_weights(text: str) -> dict[str, float]:
    """`discriminator=1,influence=0.5` as a dict."""
    return named_weights("--rewards", "reward", text, FACTORIES)


@dataclass(frozen=True)
class WeightedRewards:
    """Several rewards as one."""

    parts: Mapping[str, Reward]
    weights: Mapping[str, float]

    @classmethod
    def of(cls, text: str, context: Context) -> "WeightedRewards":
        """From `NAME=WEIGHT,...`; the names are checked before anything is made."""
        weights = parse_weights(text)
        return cls({name: FACTORIES[name](context) for name in weights}, weights)

    def __call__(self, samples: Samples) -> tuple[NDArray[np.float64], dict[str, float]]:
        """The weighted sum of standardised rewards, whitened by class again, [B]; and each reward's mean and spread, for the log."""
        total = np.zeros(len(samples.label))
        logged: dict[str, float] = {}
        for name, part in self.parts.items():
            raw = np.asarray(part(samples), dtype=np.float64)
            if raw.shape != total.shape:
                raise TardiffError(f"reward {name} must give one number a sample, got shape {raw.shape} for {len(total)} samples")
            if len(odd := np.flatnonzero(~np.isfinite(raw))):
                raise TardiffError(f"reward {name} must be finite, got {raw[odd[0]]} for sample {odd[0]} of {len(total)} ({len(odd)} such)")
            logged |= {f"reward/{name}": float(raw.mean()), f"reward_spread/{name}": float(raw.std())}
            total += self.weights[name] * whiten_by_class(raw, samples.label)
        return whiten_by_class(total, samples.label), logged
