"""The generators of a table's rows, each trained once a study and seed: the base, and what else is offered or compared."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from experiments.harness.data import Budget
from experiments.harness.gan import train_gan
from experiments.harness.protocol import Protocol, Study
from experiments.harness.shared import Work
from tardiff.classifier.folder import ClassifierFolder, fit_guide, guide_seeds
from tardiff.model.pipeline import RecordGenerator, TarDiffPipeline
from tardiff.model.training import train
from tardiff.refine import PolicySettings, RefineSettings, refine, train_policy
from tardiff.refine.load import load_generator

ALL_REWARDS = "discriminator=1,influence=0.5,value=0.2,fidelity=0.2,plausibility=0.1,privacy=0.1,spectral=0.1"


@dataclass(frozen=True)
class Generators:
    """The generators of a study with one seed.

    Attributes:
        protocol, study: what is run.
        budget: what may be read.
        seed: of all of them; without labels one generator serves all seeds, because it reads the same rows.
        work: where they stand.
        without: a part that the base lacks.
        steps: of the base's training, as a multiple of what its size says.
    """

    protocol: Protocol
    study: Study
    budget: Budget
    seed: int
    work: Work
    without: str | None = None
    steps: float = 1.0

    def __getitem__(self, name: str) -> RecordGenerator:
        """A generator by name, trained if it is not there.

        Raises:
            BusyError: another process is training it.
        """
        if name == "base":
            return self.base
        if name == "gan":  # kept nowhere: a cell asks for it once
            return train_gan(self.budget.labelled, self.base.card, self.protocol.iterations["gan"], self.seed)
        settings = self.protocol.training(self.study.generator, self.seed)
        identity = [self.budget.labelled.manifest.content_hash, settings, name, self.protocol.iterations]
        make = OTHERS[name]
        return load_generator(self.work.once(f"{name} {self.study.regime} {self.seed}", identity, lambda path: make(self, path)))

    @property
    def base(self) -> TarDiffPipeline:
        """The diffusion model that the study's size says."""
        settings = self.protocol.training(self.study.generator, 0 if self._unlabelled else self.seed)
        settings = replace(settings, steps=round(self.steps * settings.steps))
        left_out = [self.without] if self.without else []
        path = self.work.once(
            " ".join(["generator", self.study.regime, self.study.generator, str(settings.seed), *left_out]),
            [self.budget.source.manifest.content_hash, settings, *left_out],
            lambda path: train(self.budget.source, path, settings, progress=False),
        )
        return TarDiffPipeline.from_pretrained(path)

    def guide(self, architecture: str = "committee") -> ClassifierFolder:
        """The classifier that guides, fitted on the labelled rows of the budget in the base's space."""
        return ClassifierFolder.load(self.guide_folder(architecture))

    def guide_folder(self, architecture: str = "committee") -> Path:
        """Where it stands."""
        seed, codec = guide_seeds(self.seed, 1)[0], self.base.codec
        return self.work.once(
            f"guide {self.study.regime} {architecture} {self.seed}",
            [self.budget.labelled.manifest.content_hash, codec.digest(), architecture, seed],
            lambda path: fit_guide(self.budget.labelled, codec, seed, architecture).save(path),
        )

    @property
    def _unlabelled(self) -> bool:
        return self.protocol.regimes[self.study.regime].unlabelled


def _refined(rewards: str) -> Callable[[Generators, Path], object]:
    def make(of: Generators, path: Path) -> object:
        asked = rewards
        if of.budget.labelled.manifest.steps == 1:  # no spectrum
            asked = ",".join(term for term in rewards.split(",") if not term.startswith("spectral"))
        settings = RefineSettings(rewards=asked, iterations=of.protocol.iterations["ppo"], allow_worse=True, seed=of.seed)
        return refine(of.base, of.budget.labelled, path, settings, classifier=of.guide("gru"), progress=False)

    return make


def _policy(of: Generators, path: Path) -> object:
    return train_policy(of.budget.labelled, path, PolicySettings(iterations=of.protocol.iterations["policy"]), of.seed, progress=False)


OTHERS: Mapping[str, Callable[[Generators, Path], Any]] = {
    "ppo-discriminator": _refined("discriminator=1"),
    "ppo-all": _refined(ALL_REWARDS),
    "policy": _policy,
}
