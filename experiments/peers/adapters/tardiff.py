"""tardiff's own rows, held to the same minutes: they read the dataset folder beside the training stays, which holds nothing else.

What stops or chooses by rows holds out a fifth of the training stays. Training cannot be cut short, because its learning rates follow
from the number of steps; so a few steps are timed first, and as many are asked for as there is time, but no more than the setting has.
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
import numpy as np
from numpy.typing import NDArray

from experiments.harness.published import published_guide
from experiments.peers.clock import Clock
from experiments.peers.exchange import records_of
from experiments.peers.records import Records
from experiments.peers.worker import Sampler
from tardiff.base.noise import row_seeds
from tardiff.classifier.folder import fit_classifier
from tardiff.data.codec import Codec
from tardiff.data.dataset import Dataset
from tardiff.data.holdout import with_held_out
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.model.training import train as train_generator
from tardiff.refine import PolicySettings, RefineSettings, refine, train_policy
from tardiff.refine.loop import Loop
from tardiff.settings import ClassifierSettings, GuidanceSettings, TrainSettings
from tardiff.synthesis.run import synthesise

UNGUIDED = GuidanceSettings(guidance="none")
TIMED = (4, 12)
"""Steps of the two trainings that tell how long a step takes."""
SAFETY = 0.93
"""Of the time that is left, the share for which steps are asked."""
LAST_CHECK = 0.9
"""Share of its time after which refinement begins no further round: what is left is for the last check."""


def unguided(train: Records, clock: Clock, seed: int, **setting: Any) -> Sampler:
    """A generator that takes all of the time."""
    data = opened(train)
    generator = affordable(data, clock, clock.left(), training(setting, seed))

    def sample(label: NDArray[np.int64]) -> Records:
        return records_of(synthesise(generator, len(label), label=label, guidance=UNGUIDED, seed=seed).dataset.train, data.manifest)

    return sample


def guided(train: Records, clock: Clock, seed: int, **setting: Any) -> Sampler:
    """The classifier first, and a generator in the time that is left; the default guide, whose strength is matched while it samples."""
    data = opened(train)
    classifier = fit_classifier(with_held_out(data, seed), ClassifierSettings(seed=seed), codec=Codec.fit(data.train, data.manifest))
    generator = affordable(data, clock, clock.left(), training(setting, seed))

    def sample(label: NDArray[np.int64]) -> Records:
        return records_of(synthesise(generator, len(label), classifier=classifier, label=label, seed=seed).dataset.train, data.manifest)

    return sample


def published(train: Records, clock: Clock, seed: int, **setting: Any) -> Sampler:
    """The rule of TarDiff's release, on tardiff's generator and a GRU of 32 units."""
    data = opened(train)
    settings = ClassifierSettings(architecture="gru", width=32, seed=seed)
    classifier = fit_classifier(with_held_out(data, seed), settings, codec=Codec.fit(data.train, data.manifest))
    generator = affordable(data, clock, clock.left(), training(setting, seed))
    guide = published_guide(classifier, data.train)

    def sample(label: NDArray[np.int64]) -> Records:
        samples = generator(label, row_seeds(seed, range(len(label))), guide=guide)
        return records_of(generator.dataset(samples, {}).train, data.manifest)

    return sample


def refined(train: Records, clock: Clock, seed: int, **setting: Any) -> Sampler:
    """A generator in half of the time, refined by the discriminator's reward in the other half; a refinement that hurts is kept, too."""
    data = with_held_out(opened(train), seed)
    generator = affordable(data, clock, clock.left() / 2, training(setting, seed))
    settings = RefineSettings(seed=seed, allow_worse=True)
    with ending(clock):
        better = refine(generator, data, Path(tempfile.mkdtemp()) / "refined", settings, progress=False).pipeline

    def sample(label: NDArray[np.int64]) -> Records:
        return records_of(synthesise(better, len(label), label=label, guidance=UNGUIDED, seed=seed).dataset.train, data.manifest)

    return sample


def policy(train: Records, clock: Clock, seed: int, **setting: Any) -> Sampler:
    """The record policy, until its rounds or the time are over."""
    data = with_held_out(opened(train), seed)
    with ending(clock):
        generator = train_policy(data, Path(tempfile.mkdtemp()) / "policy", msgspec.convert(setting, PolicySettings), seed, progress=False)

    def sample(label: NDArray[np.int64]) -> Records:
        return records_of(synthesise(generator, len(label), label=label, guidance=UNGUIDED, seed=seed).dataset.train, data.manifest)

    return sample


def opened(train: Records) -> Dataset:
    """The training stays as a data set, with units and limits."""
    assert train.folder is not None
    return Dataset.load(train.folder / "dataset")


def training(setting: Mapping[str, Any], seed: int) -> TrainSettings:
    """Settings from JSON."""
    return msgspec.convert({**setting, "seed": seed}, TrainSettings)


def affordable(data: Dataset, clock: Clock, seconds: float, settings: TrainSettings) -> TarDiffPipeline:
    """A generator trained for as many steps as the seconds allow, one at least, and no more than the settings have."""
    begin, folder = clock.elapsed(), Path(tempfile.mkdtemp())
    settings = replace(settings, validate_every=10**6)
    passed = [begin]
    for steps in TIMED:
        train_generator(data, folder / f"timed-{steps}", replace(settings, steps=steps), progress=False)
        passed.append(clock.elapsed())
    step = max(1e-6, (passed[2] - 2 * passed[1] + passed[0]) / (TIMED[1] - TIMED[0]))
    around = max(0.0, passed[1] - passed[0] - TIMED[0] * step)
    left = SAFETY * (seconds - (clock.elapsed() - begin)) - around
    return train_generator(data, folder / "run", replace(settings, steps=max(1, min(settings.steps, int(left / step)))), progress=False)


@contextmanager
def ending(clock: Clock) -> Iterator[None]:
    """Inside, refinement and the policy's training end with the round in which their time is nearly over, and are checked then."""
    iterate, begin, granted = Loop._iterate, clock.elapsed(), clock.left()

    def timed(loop: Loop, iteration: int) -> dict[str, Any]:
        record = iterate(loop, iteration)
        if clock.elapsed() - begin >= LAST_CHECK * granted:
            loop.iterations = iteration + 1
        return record

    with patch.object(Loop, "_iterate", timed):
        yield
