"""`tardiff train --model policy`: the record policy, trained from scratch by PPO on a discriminator's reward."""

import copy
from pathlib import Path

import torch

from tardiff.codec import Codec
from tardiff.dataset import Dataset
from tardiff.files import new_folder, refuse_existing
from tardiff.labels import draw_labels
from tardiff.noise import row_seeds
from tardiff.pipeline import Card
from tardiff.refine import reward_terms as _registered  # noqa: F401  (fills the registry)
from tardiff.refine.checkpoint import Checkpoint, unpack
from tardiff.refine.discriminator import DiscriminatorTrainer, Judgeable
from tardiff.refine.log import Log
from tardiff.refine.loop import EXAMINED_ROWS, Loop
from tardiff.refine.policy import PolicyGenerator, new_policy
from tardiff.refine.policy_folder import PolicyPipeline
from tardiff.refine.ppo import ppo_update
from tardiff.refine.rewards import Context, WeightedRewards
from tardiff.refine.safety import Examiner
from tardiff.refine.settings import PolicySettings
from tardiff.refine.watch import Watch
from tardiff.statics import StaticModel
from tardiff.training import Identity, plain

REWARDS = "discriminator=1"


def train_policy(
    data: Dataset, out: str | Path, settings: PolicySettings | None = None, seed: int = 0, progress: bool = True
) -> PolicyPipeline:
    """Train a record policy and write its folder, at the checkpoint that validation rows like best.

    Work in progress stands in `OUT.partial`; the same call resumes from it and ends in the same weights.

    Args:
        data: with a validation split.
        out: folder to write.
        settings: sizes, updates, discriminator.
        seed: of weights, order and noise.
        progress: show a progress bar.

    Raises:
        TardiffError: `out` exists, or `OUT.partial` belongs to other settings or data.
    """
    out, settings = Path(out), settings or PolicySettings()
    refuse_existing(out)
    codec, statics = Codec.fit(data.train, data.manifest), StaticModel.fit(data.train, data.manifest)
    manifest = data.manifest
    counts = manifest.splits["train"].classes
    card = Card(
        source=manifest.source,
        source_version=manifest.source_version,
        data_hash=manifest.content_hash,
        task=manifest.task,
        step_hours=manifest.step_hours,
        class_counts=counts,
        settings=plain(settings),
        history=(),
    )
    policy = new_policy(codec, statics, len(counts), settings.latent, settings.hidden, seed)
    average = PolicyPipeline(copy.deepcopy(policy), codec, statics, card)
    generator = PolicyGenerator(policy, codec, statics)
    optimizer = torch.optim.Adam(policy.parameters(), settings.ppo.learning_rate)
    real, held = (Judgeable.of(data.split(name), codec, statics) for name in ("train", "validation"))
    trainer = DiscriminatorTrainer(real, held, len(counts), settings.discriminator, settings.ppo.learning_rate, seed)
    examiner = Examiner(codec, data, seed)
    checked = draw_labels("train", counts, settings.check_rows, seed)
    seeds = row_seeds(seed, range(EXAMINED_ROWS, EXAMINED_ROWS + len(checked)))
    watch = Watch(lambda: examiner(average(checked, seeds)), policy, average.policy, optimizer, patience=settings.iterations)
    rewards = WeightedRewards.of(REWARDS, Context(codec, statics, data, trainer))
    log = Log()
    loop = Loop(
        generator=generator,
        average=average.policy,
        optimizer=optimizer,
        update=lambda rollout, samples, reward, iteration: ppo_update(generator, optimizer, rollout, reward, settings.ppo, seed, iteration),
        rewards=rewards,
        trainer=trainer,
        watch=watch,
        codec=codec,
        statics=statics,
        label=draw_labels("train", counts, settings.rows, seed),
        iterations=settings.iterations,
        check_every=settings.check_every,
        warm_up=settings.discriminator.warm_up,
        ema_decay=settings.ema_decay,
        seed=seed,
        checkpoint=Checkpoint(out.with_name(out.name + ".partial"), Identity({**plain(settings), "seed": seed}, manifest.content_hash)),
        log=log,
    )
    loop.run(progress)
    assert watch.best is not None
    average.policy.load_state_dict(unpack("best", watch.best.weights))
    with new_folder(out) as folder:
        average.write(folder)
        log.write(folder)
        log.draw(folder)
    loop.checkpoint.remove()
    return average
