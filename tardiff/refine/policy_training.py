"""`tardiff train --model policy`: the record policy, trained from scratch by PPO on a discriminator's reward."""

import copy
from pathlib import Path

import torch

from tardiff.base.checkpoint import Identity, plain
from tardiff.base.device import here
from tardiff.base.files import refuse_existing
from tardiff.data.codec import Codec
from tardiff.data.dataset import UNLABELLED, Dataset
from tardiff.data.statics import StaticModel
from tardiff.errors import TardiffError
from tardiff.model.training import training_card
from tardiff.refine.assembly import assemble, write
from tardiff.refine.policy import PolicyGenerator, new_policy
from tardiff.refine.policy_folder import PolicyPipeline
from tardiff.refine.ppo import LossWeights
from tardiff.refine.settings import PolicySettings, RefineSettings


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
        TardiffError: `out` exists, the data have no labels, or `OUT.partial` belongs to other settings or data.
    """
    out, settings = Path(out), settings or PolicySettings()
    refuse_existing(out)
    if data.manifest.task == UNLABELLED:
        raise TardiffError("--no-labels: a record policy learns what each label looks like; leave it out, or train a diffusion model")
    codec, statics = Codec.fit(data.train, data.manifest), StaticModel.fit(data.train, data.manifest)
    policy = new_policy(codec, statics, len(data.manifest.task.classes), settings.latent, settings.hidden, seed).to(here())
    average = PolicyPipeline(copy.deepcopy(policy), codec, statics, training_card(data, settings, []))
    course = RefineSettings(
        rewards="discriminator=1",
        iterations=settings.iterations,
        rows=settings.rows,
        ema_decay=settings.ema_decay,
        check_every=settings.check_every,
        check_rows=settings.check_rows,
        patience=settings.iterations,
        seed=seed,
    )
    loop = assemble(
        PolicyGenerator(policy, codec, statics),
        average,
        average.policy,
        data,
        out,
        course,
        settings.ppo,
        LossWeights(vf_coef=settings.vf_coef, ent_coef=settings.ent_coef),
        settings.discriminator,
        trained=False,
        identity=Identity({**plain(settings), "seed": seed}, data.manifest.content_hash),
    )
    best = loop.run(progress)
    data.refuse_changed()
    write(loop, best, average, out)
    return average.to(torch.device("cpu"))
