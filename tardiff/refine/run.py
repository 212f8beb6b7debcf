"""`tardiff refine`: from a pipeline and real rows to a refined pipeline folder."""

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
from torch import nn

from tardiff.base.checkpoint import Identity, plain, weights_hash
from tardiff.base.files import refuse_existing
from tardiff.classifier.folder import ClassifierFolder
from tardiff.data.codec import Codec
from tardiff.data.contract import arranged
from tardiff.data.dataset import Dataset
from tardiff.data.padding import padded
from tardiff.errors import TardiffError
from tardiff.guidance.build import served_task
from tardiff.model.dp_training import described_rows
from tardiff.model.pipeline import RecordGenerator, TarDiffPipeline
from tardiff.refine.assembly import assemble, write
from tardiff.refine.awm import MatchingGenerator
from tardiff.refine.generator import Generator
from tardiff.refine.language.folder import LanguagePipeline
from tardiff.refine.ppo import LossWeights
from tardiff.refine.settings import DiscriminatorSettings, PPOSettings, RefineSettings
from tardiff.refine.trajectories import DiffusionGenerator
from tardiff.refine.validation_checks import CheckResult
from tardiff.synthesis.run import in_its_space

WITHOUT_EFFECT = ("allow_worse", "track")
"""Settings that decide only where and whether the result is written."""


@dataclass(frozen=True)
class Refined:
    """A refined pipeline, the iteration that it comes from, and how it did beside its base."""

    pipeline: TarDiffPipeline | LanguagePipeline
    iteration: int
    check: CheckResult


def refine(
    pipeline: TarDiffPipeline | LanguagePipeline,
    data: Dataset,
    out: str | Path,
    settings: RefineSettings | None = None,
    ppo: PPOSettings | None = None,
    discriminator: DiscriminatorSettings | None = None,
    classifier: ClassifierFolder | None = None,
    progress: bool = True,
) -> Refined:
    """Refine a generator by rewards and write it as a pipeline folder.

    Work in progress stands in `OUT.partial`; the same call resumes from it and ends in the same weights.

    Args:
        pipeline: the base, a diffusion pipeline or a language model of rows; it is left as it is.
        data: what it was trained on, or adapted to; validation rows check.
        out: folder to write.
        settings: rewards, length, checks.
        ppo: the updates.
        discriminator: the network that tells samples from real rows.
        classifier: what the rewards influence and value serve.
        progress: show a progress bar, and an estimate after the first iteration.

    Raises:
        TardiffError: `out` exists, a reward is unknown or needs what is not there, `data` has another codec, or the result is
            worse than the base on validation rows and `settings.allow_worse` is not set.
    """
    settings, ppo, discriminator = settings or RefineSettings(), ppo or PPOSettings(), discriminator or DiscriminatorSettings()
    out = Path(out)
    refuse_existing(out)
    given = data.manifest.content_hash
    data = pipeline.reads(data if pipeline.labelled else data.unlabelled())
    if pipeline.card.adaptation:  # it may have variables that its local rows lack, and they some that it has not
        data = padded(data, pipeline.codec.channels, pipeline.statics.statics, "--data").data
    data = arranged(data, pipeline.form, "--data", "RUN")
    classifier = in_its_space(classifier, pipeline) if classifier is not None else None
    _check_match(pipeline, given, data, classifier)
    if isinstance(pipeline, LanguagePipeline):
        ppo = replace(ppo, share=1.0)
    average = _copy(pipeline)
    generator = _generator(_copy(pipeline), settings)
    asked: dict[str, Any] = {
        "settings": {name: value for name, value in plain(settings).items() if name not in WITHOUT_EFFECT},
        "ppo": plain(ppo),
        "discriminator": plain(discriminator),
        "base": weights_hash(_network(pipeline)),
        "classifier": [weights_hash(classifier.classifier), classifier.card.guidance_set, classifier.card.guidance_rows]
        if classifier
        else [],
    }
    loop = assemble(
        generator,
        average,
        _network(average),
        data,
        out,
        settings,
        ppo,
        LossWeights(kl=settings.kl),
        discriminator,
        trained=True,
        identity=Identity(asked, data.manifest.content_hash),
        classifier=classifier,
    )
    best = loop.run(progress)
    if best.check.worse and not settings.allow_worse:
        raise TardiffError(
            f"{out}: not written, because the best refinement (iteration {best.iteration}) is worse than its base: {best.check}; "
            "change the rewards, lower --learning-rate, raise --kl (in another --out), or run it again with --allow-worse"
        )
    data.refuse_changed()
    refinement = {
        **asked["settings"],
        "iteration": best.iteration,
        "base": asked["base"],
        "verdict": str(best.check),
        "worse": best.check.worse,
    }
    average.card = msgspec.structs.replace(average.card, refinement=refinement)
    write(loop, best, average, out)
    return Refined(average, best.iteration, best.check)


def _check_match(pipeline: RecordGenerator, given: str, data: Dataset, classifier: ClassifierFolder | None) -> None:
    """The data, whose hash was `given`, are those that the generator learnt last, and the classifier reads its space."""
    if pipeline.card.adaptation and given != pipeline.card.data_hash:
        raise TardiffError("--data is not the data set that the generator was adapted to; give that one")
    described = described_rows(data, pipeline.card.settings.get("epsilon"))
    if not pipeline.card.adaptation and Codec.fit(described, data.manifest).digest() != pipeline.codec.digest():
        raise TardiffError("--data is not the data set that the generator was trained on (its codec differs); give that one")
    if classifier is not None:
        if not pipeline.labelled:
            raise TardiffError("--classifier: the generator learnt without labels, so no reward can serve a classifier of some")
        served_task(pipeline, [classifier])


def _copy(pipeline: TarDiffPipeline | LanguagePipeline) -> TarDiffPipeline | LanguagePipeline:
    """Without a claim of privacy: rewards and discriminator read the rows themselves."""
    if isinstance(pipeline, LanguagePipeline):
        return pipeline.copied()
    card = msgspec.structs.replace(pipeline.card, privacy={})
    return TarDiffPipeline(copy.deepcopy(pipeline.unet), pipeline.charting, pipeline.scheduler, pipeline.codec, pipeline.statics, card)


def _network(pipeline: TarDiffPipeline | LanguagePipeline) -> nn.Module:
    """What is trained of it."""
    return pipeline.writer.model if isinstance(pipeline, LanguagePipeline) else pipeline.unet


def _generator(pipeline: TarDiffPipeline | LanguagePipeline, settings: RefineSettings) -> Generator:
    """The pipeline as PPO trains it, in place."""
    if isinstance(pipeline, LanguagePipeline):
        if settings.method != "ppo":
            raise TardiffError(f"--method {settings.method}: a language model is refined by ppo")
        return pipeline.generator(kl=settings.kl > 0)
    kinds = {"ppo": DiffusionGenerator, "awm": MatchingGenerator}
    return kinds[settings.method](pipeline, settings.steps, kl=settings.kl > 0)
