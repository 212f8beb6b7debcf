"""`tardiff adapt`: a generator that was trained elsewhere learns the ways of a hospital from few stays.

It learns in two parts. The marginals of each variable are fitted anew (`tardiff.data.recalibration`). Then small changes to the
networks (`low_rank`) learn how local records run, from rows without their label, while the label's effect (what the networks predict
with a label less what they predict without) is held where it was learnt from many patients: fine-tuning would learn a few dozen
positives by heart. Weight decay holds the changes back, too; validation rows stop them, and what they do not find better is not written.
"""

import copy
import math
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tardiff.base.checkpoint import Checkpoint, Identity, pack, pack_adam, plain, unpack, unpack_adam, weights_hash
from tardiff.base.distributed import barrier, main_process
from tardiff.base.error_of_mean import mean_by_group
from tardiff.base.files import refuse_existing
from tardiff.base.partial import partial_folder
from tardiff.base.progress import bar
from tardiff.data.contract import arranged
from tardiff.data.dataset import Dataset, Split
from tardiff.data.holdout import with_held_out
from tardiff.data.padding import Padded, padded
from tardiff.data.recalibration import changed_channels, off_the_grids, recalibrated, recalibrated_statics
from tardiff.errors import InputError, TardiffError
from tardiff.model.card import Card
from tardiff.model.charting import ChartingModel
from tardiff.model.diffusion import denoising_loss
from tardiff.model.low_rank import Changed
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.model.training import EXPLODED, Networks, NoisyRows, Steps
from tardiff.settings import AdaptSettings, TrainSettings

FEWEST = 20
"""Training rows from which anything can be learnt."""
WARM_UP = 20
DRAWS = 4
"""Noise levels and draws at which each validation row is looked at; they never change."""
HELD = 4.0
"""Weight of the label's effect in the loss, whose other terms are of about the size of 1."""
SURE = 2.0
"""Standard errors by which validation rows must find the networks better: the best of many checks is better by chance, too."""


class NotBetterError(TardiffError):
    """Nothing that was tried fits the local rows better than the generator as it is."""


def adapt(
    pipeline: TarDiffPipeline, data: Dataset, out: str | Path, settings: AdaptSettings | None = None, progress: bool = True
) -> TarDiffPipeline:
    """Adapt a generator to local records and write it as a pipeline folder.

    Work in progress stands in `OUT.partial`; the same call resumes from it, and ends in the same weights.

    Args:
        pipeline: trained elsewhere, with labels or without; it is left as it is.
        data: local records, whose labels are counted and never learnt from. Its validation rows stop and judge; if there are none, a
            fifth of the training patients does.
        out: pipeline folder to write.
        settings: of the training.
        progress: show a progress bar.

    Raises:
        TardiffError: `out` exists, `OUT.partial` belongs to other work, the records have another grid, units or categories, or hardly
            any row, or the loss explodes.
        NotBetterError: nothing that was tried fits the local rows better than the generator as it is.
    """
    settings, out = settings or AdaptSettings(), Path(out)
    refuse_existing(out)
    local = _local(pipeline, data, settings.seed)
    base = _with_marginals(pipeline, local.data.train, settings.seed)
    _say(pipeline, base, local)
    asked = {"settings": plain(settings), "base": _hashes(pipeline), "codec": pipeline.codec.digest()}
    checkpoint = Checkpoint(partial_folder(out), Identity(asked, data.manifest.content_hash))
    found = _Search(base, local, settings, checkpoint).run(progress)
    data.refuse_changed()
    marginals = base.codec.maps != pipeline.codec.maps or base.statics != pipeline.statics or bool(local.lacking)
    if not (found.better or marginals):
        checkpoint.remove()
        raise NotBetterError(f"{out}: not written, because RUN as it is fits the validation rows of --data no worse: {found}")
    result = TarDiffPipeline(
        found.networks.unet.eval(),
        found.networks.charting.eval(),
        pipeline.scheduler,
        base.codec,
        base.statics,
        _card(pipeline, base, local, data, settings, found),
    )
    result.save_pretrained(out)
    if main_process():
        checkpoint.remove()
    return result


@dataclass(frozen=True)
class _Local:
    """Local records in the generator's terms.

    Attributes:
        data: training and validation rows.
        labelled: whether their labels are the generator's.
        lacking, left_out: as in `Padded`.
        held_out: whether the validation rows were training rows.
    """

    data: Dataset
    labelled: bool
    lacking: tuple[str, ...]
    left_out: tuple[str, ...]
    held_out: bool


def _local(pipeline: TarDiffPipeline, data: Dataset, seed: int) -> _Local:
    labelled = pipeline.labelled and data.manifest.task.name == pipeline.card.task.name
    form = pipeline.form if labelled else replace(pipeline.form, classes=None, task=None)
    known: Padded = padded(data if labelled else data.unlabelled(), pipeline.codec.channels, pipeline.statics.statics, "--data")
    rows = arranged(known.data, form, "--data", "RUN")
    held_out = not len(rows.splits.get("validation", ()))
    rows = with_held_out(rows, seed) if held_out else rows
    if len(rows.train) < FEWEST:
        raise InputError(f"--data: {len(rows.train)} training rows are too few to adapt to; {FEWEST} are needed")
    return _Local(rows, labelled, known.lacking, known.left_out, held_out)


def _with_marginals(pipeline: TarDiffPipeline, train: Split, seed: int) -> TarDiffPipeline:
    """A copy of the generator whose codec and descriptors have the marginals of other rows."""
    codec, statics = recalibrated(pipeline.codec, train, seed), recalibrated_statics(pipeline.statics, train, seed)
    old = pipeline.charting.config
    charting = ChartingModel(codec.symbol_rate, old.classes, old.static_features, old.width, old.hidden)
    charting.load_state_dict(pipeline.charting.state_dict())
    return TarDiffPipeline(copy.deepcopy(pipeline.unet), charting.eval(), pipeline.scheduler, codec, statics, pipeline.card)


def _say(pipeline: TarDiffPipeline, base: TarDiffPipeline, local: _Local) -> None:
    """On standard error, what the generator and the records do not share."""
    task = pipeline.card.task.name
    lines = {
        f"--data has no value of {', '.join(local.lacking)}; samples will have none either": local.lacking,
        f"{', '.join(local.left_out)} of --data is unknown to RUN and left out": local.left_out,
        f"values of {', '.join(off := off_the_grids(base.codec, local.data.train))} stand on other grids than RUN's and are rounded": off,
        f"the labels of --data are not those of RUN (task {task}); samples have RUN's": pipeline.labelled and not local.labelled,
        "--data has no validation rows; a fifth of its training patients takes their place": local.held_out,
    }
    for line, holds in lines.items():
        if holds and main_process():
            print(f"warning: {line}", file=sys.stderr)


class SameEffect(nn.Module):
    """Changed networks that are called without labels, with a penalty in the second loss on any change of the labels' effect.

    Args:
        changed: what is trained.
        classes: labels; each row of a batch is held for one of them.
    """

    def __init__(self, changed: Changed, classes: int) -> None:
        super().__init__()
        self.changed, self.classes = changed, classes

    def forward(self, x_t: Tensor, timestep: Tensor, label: Tensor, static: Tensor, chart: Tensor, keep: Tensor) -> tuple[Tensor, Tensor]:
        """As `Networks`: v [batch, C, time], and the chart's loss and the penalty, [batch]."""
        some = torch.arange(len(label), device=label.device) % self.classes
        with torch.no_grad():
            (v_before, _), (v_some_before, _) = (self.changed.networks(x_t, timestep, of, static, chart, keep) for of in (label, some))
        (v, unlikely), (v_some, _) = (self.changed(x_t, timestep, of, static, chart, keep) for of in (label, some))
        return v, unlikely + HELD * denoising_loss(v_some - v, v_some_before - v_before, chart)


@dataclass(frozen=True)
class _Found:
    """Networks, and the mean validation losses before and after; `step` is the one at which they were best, 0 for unchanged ones."""

    networks: Networks
    step: int
    before: float
    after: float
    gain: float
    error: float

    @property
    def better(self) -> bool:
        """Whether the networks have changed."""
        return self.step > 0

    def __str__(self) -> str:
        return f"loss {self.before:.4f}, adapted {self.after:.4f} (gain {self.gain:.4f}, standard error {self.error:.4f})"


class _Search:
    """The training of changes to a generator's networks.

    Args:
        base: the generator, with local marginals; its networks are changed in place.
        local: the records.
        settings: of the training.
        checkpoint: where work in progress stands.
    """

    def __init__(self, base: TarDiffPipeline, local: _Local, settings: AdaptSettings, checkpoint: Checkpoint) -> None:
        self.base, self.local, self.settings, self.checkpoint = base, local, settings, checkpoint
        learnt = msgspec.convert({**base.card.settings, "epsilon": None, "accumulate": 1}, TrainSettings)
        self.training = replace(learnt, batch_size=settings.batch_size, seed=settings.seed)
        self.any_label = base.statics.classes if base.labelled else 0
        self.networks = Networks(base.unet, base.charting)
        self.model = Changed(self.networks, settings.rank, settings.seed)
        self.optimizer = torch.optim.AdamW(
            self.model.changes.parameters(), settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )

    def run(self, progress: bool) -> _Found:
        """Train to the end, or until validation losses stop it, from the last checkpoint if there is one."""
        settings, checkpoint = self.settings, self.checkpoint
        kept = checkpoint.load()  # first, because it says how many threads compute
        validation = self.local.data.split("validation")
        known = validation if self.local.labelled else self._without_labels(validation)
        held = NoisyRows(known, self.base.codec, self.base.statics, self.training)
        before = _losses(self.model, held)  # nothing is changed yet
        rows = NoisyRows(self._without_labels(self.local.data.train), self.base.codec, self.base.statics, self.training)
        trained = SameEffect(self.model, self.any_label) if self.base.labelled else self.model
        steps = Steps(trained, self.optimizer, rows, self.training, checkpoint.folder)
        best, best_step, after, first = pack("best", self.model.changes.state_dict()), 0, before, 0
        if kept is not None:
            tensors, done = kept
            self.model.changes.load_state_dict(unpack("changes", tensors))
            unpack_adam("adam", tensors, self.model.changes, self.optimizer)
            best, best_step, first = pack("best", unpack("best", tensors)), done["best_step"], done["step"]
            after = tensors["after"].numpy()
        with bar(shown=progress, total=settings.steps, initial=first, desc="adapt", unit="step") as moved:
            for step in range(first, settings.steps):
                if step - best_step >= settings.patience * settings.validate_every:
                    break
                for group in self.optimizer.param_groups:
                    group["lr"] = settings.learning_rate * min(1.0, (step + 1) / WARM_UP)
                loss, norm = steps.gradients(step)
                if not (loss < EXPLODED and math.isfinite(norm)):
                    raise TardiffError(f"adapt: the loss is {loss:.3g} at step {step}; give a smaller --learning-rate and another --out")
                steps.apply()
                moved.update()
                if (step + 1) % settings.validate_every == 0 or step + 1 == settings.steps:
                    losses = _losses(self.model, held)
                    if losses.mean() < after.mean():
                        best, best_step, after = pack("best", self.model.changes.state_dict()), step + 1, losses
                    if main_process():
                        changes = pack("changes", self.model.changes.state_dict())
                        adam = pack_adam("adam", self.model.changes, self.optimizer)
                        tensors = {**changes, **adam, **best, "after": torch.from_numpy(after)}
                        checkpoint.save(tensors, {"step": step + 1, "best_step": best_step})
                    moved.set_postfix(validation=f"{losses.mean():.3f}", refresh=False)
        barrier()
        gain, error = mean_by_group(before - after, validation.subject_id)
        better = gain > SURE * error
        self.model.changes.load_state_dict(unpack("best", best))
        if not better:
            for change in self.model.changes.values():
                nn.init.zeros_(change)
        self.model.merged()
        return _Found(self.networks.cpu(), best_step if better else 0, float(before.mean()), float(after.mean()), gain, error)

    def _without_labels(self, split: Split) -> Split:
        return replace(split, label=np.full_like(split.label, self.any_label))


@torch.no_grad()
def _losses(networks: nn.Module, rows: NoisyRows) -> NDArray[np.float64]:
    """Mean loss of each row over `DRAWS` of noise that never change, [n]."""
    parts = torch.arange(len(rows)).split(256)
    draws = [torch.cat([rows.loss(networks, part, step=2**31 + draw) for part in parts]) for draw in range(DRAWS)]
    return torch.stack(draws).double().mean(dim=0).cpu().numpy()


def _hashes(pipeline: TarDiffPipeline) -> list[str]:
    return [weights_hash(network) for network in (pipeline.unet, pipeline.charting)]


def _card(pipeline: TarDiffPipeline, base: TarDiffPipeline, local: _Local, data: Dataset, settings: AdaptSettings, found: _Found) -> Card:
    """What the folder remembers: of its first training settings, losses and task, of the local records all else."""
    old, manifest = pipeline.card, data.manifest
    facts: dict[str, Any] = {
        **plain(settings),
        "from_source": f"{old.source} {old.source_version}".strip(),
        "from_data": old.data_hash,
        "from_weights": _hashes(pipeline),
        "from_codec": pipeline.codec.digest(),
        "rows": len(local.data.train),
        "validation_rows": len(local.data.split("validation")),
        "validation_rows_held_out_of_training": local.held_out,
        "new_value_maps": changed_channels(pipeline.codec, base.codec),
        "never_charted": local.lacking,
        "left_out": local.left_out,
        "steps_kept": found.step,
        "loss_before": round(found.before, 5),
        "loss_after": round(found.after if found.better else found.before, 5),
        **({"privacy_of_first_training": old.privacy} if old.privacy else {}),
    }
    rows = tuple(np.bincount(local.data.train.label, minlength=len(old.task.classes)).tolist())
    return msgspec.structs.replace(
        old,
        source=manifest.source,
        source_version=manifest.source_version,
        data_hash=manifest.content_hash,
        class_counts=rows if local.labelled or not pipeline.labelled else old.class_counts,
        privacy={},
        adaptation=facts,
    )
