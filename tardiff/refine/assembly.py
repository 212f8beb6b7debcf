"""Putting a loop together, and writing what came out of it: the same for refinement and for the record policy."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from tardiff.base.checkpoint import Checkpoint, Identity, unpack
from tardiff.base.distributed import main_process
from tardiff.base.files import new_folder, write_json
from tardiff.base.noise import reserved_rows, row_seeds
from tardiff.base.partial import partial_folder
from tardiff.classifier.folder import ClassifierFolder
from tardiff.data.dataset import Dataset
from tardiff.data.labels import draw_labels
from tardiff.model.pipeline import RecordGenerator
from tardiff.refine import reward_terms as _registered  # noqa: F401  (fills the registry)
from tardiff.refine.discriminator import DiscriminatorRows, DiscriminatorTrainer
from tardiff.refine.early_stopping import Best, EarlyStopping
from tardiff.refine.generator import Generator
from tardiff.refine.log import Log
from tardiff.refine.loop import Loop
from tardiff.refine.ppo import LossWeights
from tardiff.refine.rewards import Context, WeightedRewards
from tardiff.refine.settings import DiscriminatorSettings, PPOSettings, RefineSettings
from tardiff.refine.validation_checks import ValidationCheck
from tardiff.settings import SamplerSettings


def assemble(
    generator: Generator,
    average: RecordGenerator,
    average_module: nn.Module,
    data: Dataset,
    out: Path,
    settings: RefineSettings,
    ppo: PPOSettings,
    loss_weights: LossWeights,
    discriminator: DiscriminatorSettings,
    *,
    trained: bool,
    identity: Identity,
    classifier: ClassifierFolder | None = None,
) -> Loop:
    """A loop that is ready to run.

    Args:
        average: the generator that is checked and written.
        average_module: its network, which follows that of `generator`.
        data: real rows; the training split is imitated, validation rows check.
        out: folder to write; work in progress stands beside it.
        trained: False if the generator starts from nothing, to which no check goes back.
    """
    codec, statics, counts, seed = average.codec, average.statics, average.card.class_counts, settings.seed
    real, held = (DiscriminatorRows.of(data.split(name), codec, statics) for name in ("train", "validation"))
    trainer = DiscriminatorTrainer(real, held, len(counts), discriminator, ppo.learning_rate, seed, average.device)
    weighted = WeightedRewards.of(settings.rewards, Context(codec, statics, data, trainer, classifier))
    optimizer = torch.optim.Adam(generator.module.parameters(), ppo.learning_rate)
    check = ValidationCheck(codec, data, seed)
    sampler = SamplerSettings(steps=settings.steps)
    checked = draw_labels("train", counts, settings.check_rows, seed)
    seeds = row_seeds(seed, reserved_rows("validation checks", len(checked)))
    return Loop(
        generator=generator,
        average=average_module,
        optimizer=optimizer,
        ppo=ppo,
        loss_weights=loss_weights,
        rewards=weighted,
        trainer=trainer,
        stopping=EarlyStopping(
            lambda: check(average(checked, seeds, sampler)), generator.module, average_module, optimizer, settings.patience, trained
        ),
        codec=codec,
        statics=statics,
        label=draw_labels("train", counts, settings.rows, seed),
        iterations=settings.iterations,
        check_every=settings.check_every,
        ema_decay=settings.ema_decay,
        seed=seed,
        checkpoint=Checkpoint(partial_folder(out), identity),
        log=Log(out.with_name(f"{out.name}.tensorboard") if settings.track else None),
    )


def write(loop: Loop, best: Best, average: Any, out: Path) -> None:
    """The best checkpoint as a folder, with the log, the figure and `refinement.json`; then work in progress goes."""
    loop.average.load_state_dict(unpack("best", best.weights))
    with new_folder(out) as folder:
        average.write(folder)
        loop.log.write(folder)
        loop.log.draw(folder)
        identity = loop.checkpoint.identity
        about = {"data_hash": identity.data_hash, "iteration": best.iteration, "verdict": best.check.record()}
        write_json(folder / "refinement.json", identity.settings | about)
    if main_process():
        loop.checkpoint.remove()
