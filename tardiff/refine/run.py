"""`tardiff refine`: from a pipeline and real rows to a refined pipeline folder."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tardiff.classifier_folder import ClassifierFolder
from tardiff.codec import Codec
from tardiff.dataset import Dataset
from tardiff.direction import weights_hash
from tardiff.errors import TardiffError
from tardiff.files import new_folder, refuse_existing, write_json
from tardiff.guides import served_task
from tardiff.labels import draw_labels
from tardiff.noise import row_seeds
from tardiff.pipeline import TarDiffPipeline
from tardiff.refine import reward_terms as _registered  # noqa: F401  (fills the registry)
from tardiff.refine.awm import MatchingGenerator
from tardiff.refine.checkpoint import Checkpoint, unpack
from tardiff.refine.discriminator import DiscriminatorTrainer, Judgeable
from tardiff.refine.draft import draft_update, refuse_rough
from tardiff.refine.log import Log
from tardiff.refine.loop import EXAMINED_ROWS, Loop, Update
from tardiff.refine.ppo import ppo_update
from tardiff.refine.rewards import Context, WeightedRewards, parse_weights
from tardiff.refine.safety import Examiner, Verdict
from tardiff.refine.settings import DiscriminatorSettings, PPOSettings, RefineSettings
from tardiff.refine.trajectories import DiffusionGenerator
from tardiff.refine.watch import Watch
from tardiff.training import Identity, plain


@dataclass(frozen=True)
class Refined:
    """A refined pipeline, the iteration that it comes from, and how it did beside its base."""

    pipeline: TarDiffPipeline
    iteration: int
    verdict: Verdict


def refine(
    pipeline: TarDiffPipeline,
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
        pipeline: the base; it is left as it is.
        data: what it was trained on; validation rows check.
        out: folder to write.
        settings: rewards, length, checks.
        ppo: the updates.
        discriminator: the network that judges.
        classifier: what the rewards influence and value serve.
        progress: show a progress bar, and an estimate after the first iteration.

    Raises:
        TardiffError: `out` exists, a reward is unknown or needs what is not there, `data` has another codec, or the result is
            worse than the base on validation rows and `settings.allow_worse` is not set.
    """
    settings, ppo, discriminator = settings or RefineSettings(), ppo or PPOSettings(), discriminator or DiscriminatorSettings()
    out = Path(out)
    refuse_existing(out)
    parse_weights(settings.rewards)
    data = data if pipeline.labelled else data.unlabelled()
    _check_match(pipeline, data, classifier)
    log = Log(out.with_name(out.name + ".tensorboard") if settings.track else None)

    refined, average = _copy(pipeline), _copy(pipeline)
    kinds = {"ppo": DiffusionGenerator, "awm": MatchingGenerator, "draft": DiffusionGenerator}
    generator = kinds[settings.method](refined, settings.steps, kl=ppo.kl > 0 or settings.method == "draft")
    optimizer = torch.optim.Adam(refined.unet.parameters(), ppo.learning_rate)
    trainer = DiscriminatorTrainer(
        Judgeable.of(data.train, pipeline.codec, pipeline.statics),
        Judgeable.of(data.split("validation"), pipeline.codec, pipeline.statics),
        len(pipeline.classes),
        discriminator,
        ppo.learning_rate,
        settings.seed,
    )
    rewards = WeightedRewards.of(settings.rewards, Context(pipeline.codec, pipeline.statics, data, trainer, classifier))
    examiner = Examiner(pipeline.codec, data, settings.seed)
    checked = draw_labels("train", pipeline.card.class_counts, settings.check_rows, settings.seed)
    seeds = row_seeds(settings.seed, range(EXAMINED_ROWS, EXAMINED_ROWS + settings.check_rows))
    watch = Watch(lambda: examiner(average(checked, seeds)), refined.unet, average.unet, optimizer, settings.patience)
    identity = Identity(
        {"settings": _plain(settings), "ppo": _plain(ppo), "discriminator": _plain(discriminator), "base": weights_hash(pipeline.unet)}
        | {"classifier": weights_hash(classifier.classifier) if classifier else None},
        data.manifest.content_hash,
    )
    loop = Loop(
        generator=generator,
        average=average.unet,
        optimizer=optimizer,
        update=_update(generator, optimizer, rewards, settings, ppo),
        rewards=rewards,
        trainer=trainer,
        watch=watch,
        codec=pipeline.codec,
        statics=pipeline.statics,
        label=draw_labels("train", pipeline.card.class_counts, settings.rows, settings.seed),
        iterations=settings.iterations,
        check_every=settings.check_every,
        warm_up=discriminator.warm_up,
        ema_decay=settings.ema_decay,
        seed=settings.seed,
        checkpoint=Checkpoint(out.with_name(out.name + ".partial"), identity),
        log=log,
    )
    loop.run(progress)
    log.close()

    best = watch.best
    assert best is not None
    if best.verdict.worse and not settings.allow_worse:
        raise TardiffError(
            f"{out}: not written, for the best refinement (iteration {best.iteration}) is worse than its base: {best.verdict}; "
            "change the rewards, lower --learning-rate, raise --kl (in another --out), or run it again with --allow-worse"
        )
    average.unet.load_state_dict(unpack("best", best.weights))
    with new_folder(out) as folder:
        average.write(folder)
        log.write(folder)
        log.draw(folder)
        write_json(folder / "refinement.json", identity.settings | {"iteration": best.iteration, "verdict": best.verdict.record()})
    loop.checkpoint.remove()
    return Refined(average, best.iteration, best.verdict)


def _update(
    generator: DiffusionGenerator, optimizer: torch.optim.Optimizer, rewards: WeightedRewards, settings: RefineSettings, ppo: PPOSettings
) -> Update:
    if settings.method == "draft":
        refuse_rough(rewards)
        return lambda rollout, samples, reward, iteration: draft_update(
            generator, optimizer, rollout, samples, rewards, ppo, settings.seed, iteration
        )
    return lambda rollout, samples, reward, iteration: ppo_update(generator, optimizer, rollout, reward, ppo, settings.seed, iteration)


def _check_match(pipeline: TarDiffPipeline, data: Dataset, classifier: ClassifierFolder | None) -> None:
    """The data are those that the generator learnt, and the classifier reads its space.

    Raises:
        TardiffError: they are not.
    """
    if data.manifest.task != pipeline.card.task:
        raise TardiffError(f"--data has the task {data.manifest.task.name!r}, the generator learnt {pipeline.card.task.name!r}")
    if Codec.fit(data.train, data.manifest).digest() != pipeline.codec.digest():
        raise TardiffError("--data is not the data set that the generator was trained on (its codec differs); give that one")
    if classifier is not None:
        if not pipeline.labelled:
            raise TardiffError("--classifier: the generator learnt without labels, so no reward can serve a classifier of some")
        served_task(pipeline, [classifier])


def _copy(pipeline: TarDiffPipeline) -> TarDiffPipeline:
    return TarDiffPipeline(copy.deepcopy(pipeline.unet), pipeline.scheduler, pipeline.codec, pipeline.statics, pipeline.card)


def _plain(settings: Any) -> dict[str, Any]:
    """As JSON gives them back, without what decides only where and whether the result is written."""
    return {name: value for name, value in plain(settings).items() if name not in ("allow_worse", "track")}
