"""The training of small changes to a generator's networks on local rows, and what validation rows say of it."""

import math
from dataclasses import dataclass, replace

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tardiff.base.checkpoint import Checkpoint, pack, pack_adam, unpack, unpack_adam
from tardiff.base.distributed import barrier, main_process
from tardiff.base.progress import bar
from tardiff.data.dataset import Dataset, Split
from tardiff.data.recalibration import mean_by_group
from tardiff.errors import TardiffError
from tardiff.model.diffusion import denoising_loss
from tardiff.model.low_rank import Changed
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.model.training import EXPLODED, Networks, NoisyRows, Steps
from tardiff.settings import AdaptSettings, TrainSettings

WARM_UP = 20
DRAWS = 4
"""Noise levels and draws at which each validation row is looked at; they never change."""
HELD = 4.0
"""Weight of the label's effect in the loss, whose other terms are of about the size of 1."""
FEWEST_OF_A_CLASS = {"train": 20, "validation": 10}
"""Rows of each class without which no local effect of the label is looked for."""
SURE = 2.0
"""Standard errors by which validation rows must find the networks better: the best of many checks is better by chance, too."""
ROUNDING = 1e-6
"""Gain in a float32 loss of about 1 that could be rounding, however sure validation rows seem to be of it."""


@dataclass(frozen=True)
class Local:
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

    @property
    def tells_labels(self) -> bool:
        """Whether there are rows enough of each class to look for an effect of the label of their own."""
        classes = len(self.data.manifest.task.classes)
        counts = {name: np.bincount(self.data.split(name).label, minlength=classes).min() for name in FEWEST_OF_A_CLASS}
        return self.labelled and all(counts[name] >= fewest for name, fewest in FEWEST_OF_A_CLASS.items())


class SameEffect(nn.Module):
    """Changed networks that are called without labels, with a penalty in the second loss on any change of the labels' effect."""

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
class Found:
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


class Search:
    """The training of changes to a generator's networks.

    Args:
        base: the generator, with local marginals; its networks are changed in place.
        labels: learn what labels tell, from rows with theirs; otherwise it is held where it was.
    """

    def __init__(self, base: TarDiffPipeline, local: Local, settings: AdaptSettings, checkpoint: Checkpoint, labels: bool = False) -> None:
        self.base, self.local, self.settings, self.checkpoint, self.labels = base, local, settings, checkpoint, labels
        learnt = msgspec.convert({**base.card.settings, "epsilon": None, "accumulate": 1}, TrainSettings)
        self.training = replace(learnt, batch_size=settings.batch_size, seed=settings.seed)
        self.any_label = base.statics.classes if base.labelled else 0
        self.networks = Networks(base.unet, base.charting)
        self.model = Changed(self.networks, settings.rank, settings.seed)
        self.optimizer = torch.optim.AdamW(
            self.model.changes.parameters(), settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )

    def run(self, progress: bool) -> Found:
        """Train to the end, or until validation losses stop it, from the last checkpoint if there is one."""
        settings, checkpoint = self.settings, self.checkpoint
        kept = checkpoint.load()  # first, because it says how many threads compute
        validation = self.local.data.split("validation")
        known = validation if self.local.labelled else self._without_labels(validation)
        held = NoisyRows(known, self.base.codec, self.base.statics, self.training)
        untold = NoisyRows(self._without_labels(validation), self.base.codec, self.base.statics, self.training)
        before = _losses(self.model, held)  # nothing is changed yet
        untold_before = _losses(self.model, untold) if self.labels else before
        train = self.local.data.train if self.labels else self._without_labels(self.local.data.train)
        rows = NoisyRows(train, self.base.codec, self.base.statics, self.training)
        trained = SameEffect(self.model, self.any_label) if self.base.labelled and not self.labels else self.model
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
                    if self._mean(losses) < self._mean(after):
                        best, best_step, after = pack("best", self.model.changes.state_dict()), step + 1, losses
                    if main_process():
                        changes = pack("changes", self.model.changes.state_dict())
                        adam = pack_adam("adam", self.model.changes, self.optimizer)
                        tensors = {**changes, **adam, **best, "after": torch.from_numpy(after)}
                        checkpoint.save(tensors, {"step": step + 1, "best_step": best_step})
                    moved.set_postfix(validation=f"{losses.mean():.3f}", refresh=False)
        barrier()
        self.model.changes.load_state_dict(unpack("best", best))
        gain, error = self._gain(before - after)
        better = gain > max(SURE * error, ROUNDING)
        if self.labels and better:
            told, uncertain = self._gain(before - after - (untold_before - _losses(self.model, untold)))
            better = told > max(SURE * uncertain, ROUNDING)
        if not better:
            for change in self.model.changes.values():
                nn.init.zeros_(change)
        self.model.merged()
        return Found(self.networks.cpu(), best_step if better else 0, self._mean(before), self._mean(after), gain, error)

    def _mean(self, losses: NDArray[np.float64]) -> float:
        """Of validation losses [n]; of labels each class counts alike."""
        label = self.local.data.split("validation").label
        return float(np.mean([losses[label == c].mean() for c in np.unique(label)]) if self.labels else losses.mean())

    def _gain(self, gains: NDArray[np.float64]) -> tuple[float, float]:
        """Mean of validation rows' gains [n] and its standard error, patients being the units; of labels each class counts alike."""
        validation = self.local.data.split("validation")
        parts = [validation.label == c for c in np.unique(validation.label)] if self.labels else [np.ones(len(gains), bool)]
        found = [mean_by_group(gains[part], validation.subject_id[part]) for part in parts]
        return float(np.mean([mean for mean, _ in found])), float(np.hypot.reduce([error for _, error in found]) / len(found))

    def _without_labels(self, split: Split) -> Split:
        return replace(split, label=np.full_like(split.label, self.any_label))


@torch.no_grad()
def _losses(networks: nn.Module, rows: NoisyRows) -> NDArray[np.float64]:
    """Mean loss of each row over `DRAWS` of noise that never change, [n]."""
    parts = torch.arange(len(rows)).split(256)
    draws = [torch.cat([rows.loss(networks, part, step=2**31 + draw) for part in parts]) for draw in range(DRAWS)]
    return torch.stack(draws).double().mean(dim=0).cpu().numpy()
