"""Training the denoiser: an accelerate loop that stops and resumes exactly.

Every draw is keyed by (seed, step, row), so a checkpoint needs weights, averages and optimizer moments only.
"""

import math
from contextlib import nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel
from torch import Tensor, nn

from tardiff.base.checkpoint import Checkpoint, Identity, Tensors, pack, pack_adam, plain, unpack, unpack_adam
from tardiff.base.device import here
from tardiff.base.distributed import barrier, main_process, shard, world_size
from tardiff.base.files import refuse_existing
from tardiff.base.noise import normal, row_seeds, stream, uniform
from tardiff.base.partial import partial_folder
from tardiff.base.progress import bar
from tardiff.data.codec import Codec
from tardiff.data.dataset import Dataset, Split
from tardiff.data.resolution import ABSENT
from tardiff.data.statics import StaticModel
from tardiff.errors import TardiffError
from tardiff.model.card import FORMAT, Card
from tardiff.model.charting import ChartingModel
from tardiff.model.diffusion import TIMESTEPS, denoising_loss, diffuse, noise_schedule
from tardiff.model.dp_training import PrivateSteps, described_rows
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.model.unet import TemporalUNet
from tardiff.settings import TrainSettings

WARM_UP = 0.05
EXPLODED = 100.0  # v has about unit variance: a network that knows nothing loses 1
LOW_NOISE = 0.4
PEAKS = (1.0, 1.5)
"""Peak learning rates of the U-Net and of the charting model, in units of the setting: the second is shallow and learns more slowly."""
SHIFT, STRETCH = 0.07, 0.05
"""How far a training row's channel is moved, in scores, and stretched, on a log scale: enough that no row is known by heart, too little to
be seen in the samples (variances grow by one percent)."""
HIDDEN = 0.1
"""Share of the charting model's units that a row does not see in training."""


class Networks(nn.Module):
    """What is trained: the denoiser of the values, and the model of what is charted."""

    def __init__(self, unet: TemporalUNet, charting: ChartingModel) -> None:
        super().__init__()
        self.unet, self.charting = unet, charting

    def forward(self, x_t: Tensor, timestep: Tensor, label: Tensor, static: Tensor, chart: Tensor, keep: Tensor) -> tuple[Tensor, Tensor]:
        """v as predicted, [batch, C, time], and the chart's negative log-likelihood an entry, [batch]; arguments as of the two."""
        return self.unet(x_t, timestep, label, static, chart), self.charting(chart, label, static, keep)


class NoisyRows:
    """A split in model space, with its noise keyed by row."""

    def __init__(self, split: Split, codec: Codec, statics: StaticModel, settings: TrainSettings) -> None:
        self.codec = codec
        self.entries = codec.entries(split)
        self.static = statics.encode(split.static)
        self.label = torch.from_numpy(split.label)
        self.seeds = row_seeds(settings.seed, range(len(split)))
        self.alpha_bar = noise_schedule().alphas_cumprod
        self.unconditional = statics.classes
        self.dropout, self.charting_width = settings.dropout, settings.widths[0]

    def __len__(self) -> int:
        return len(self.label)

    def loss(self, networks: nn.Module, rows: Tensor, step: int) -> Tensor:
        """Loss of some rows, [len(rows)], with the noise that belongs to (row, step): of denoising, and of the chart."""
        v_hat, v, chart, unlikely = self.predicted(networks, rows, step)
        return denoising_loss(v_hat, v, chart) + unlikely

    def predicted(self, networks: nn.Module, rows: Tensor, step: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """v as predicted, v as it is, the chart, all [len(rows), C, T], and the chart's negative log-likelihood [len(rows)]."""
        seeds = [self.seeds[row] for row in rows.tolist()]
        entries = self.entries.take(rows)
        place = uniform("place", seeds, step, (len(self.codec.channels),)).float() - 0.5
        moved = normal("jitter", seeds, step, (len(self.codec.channels), 2))[..., None]
        x0 = self.codec.scores(entries, place) * (STRETCH * moved[:, :, 0]).exp() + SHIFT * moved[:, :, 1]
        timestep = training_timesteps(uniform("time", seeds, step))
        x_t, v = diffuse(x0, normal("noise", seeds, step, x0.shape[1:]), self.alpha_bar[timestep])
        # Label and descriptors are dropped independently, so that guidance by the label leaves the descriptors' effect as it is.
        no_label, no_static = (uniform(use, seeds, step) < self.dropout for use in ("no label", "no descriptors"))
        label = torch.where(no_label, self.unconditional, self.label[rows])
        static = self.static[rows].masked_fill(no_static[:, None], 0.0)
        device = next(networks.parameters()).device
        chart = entries.chart.to(device)
        keep = (uniform("keep", seeds, step, (self.charting_width,)) >= HIDDEN).float() / (1 - HIDDEN)
        v_hat, unlikely = networks(x_t.to(device), timestep.to(device), label.to(device), static.to(device), chart, keep.to(device))
        return v_hat, v.to(device), chart, unlikely

    @torch.no_grad()
    def worst_channel(self, networks: nn.Module, rows: Tensor, step: int) -> str:
        """The channel in which the prediction of some rows is furthest off."""
        v_hat, v, chart, _ = self.predicted(networks, rows, step)
        off = ((v_hat - v).square() * (chart != ABSENT)).mean(dim=(0, 2)).nan_to_num(nan=float("inf"))
        return self.codec.channels[int(off.argmax())].name


def training_timesteps(chance: Tensor) -> Tensor:
    """Timesteps from uniform numbers [n]: half of them from everywhere, half from the `LOW_NOISE` share of least noise.

    There a record gets its roughness, which a uniform choice learns last.
    """
    return (torch.where(chance < 0.5, 2 * chance, LOW_NOISE * (2 * chance - 1)) * TIMESTEPS).long()


class Steps:
    """Optimizer steps, of which several processes (`accelerate launch`) compute a share each.

    Args:
        networks: trained in place, on the device that accelerate gives this process.
        optimizer: of its parameters.
        rows: the training rows.
        settings: batch, order, clipping.
        folder: of work in progress; nothing of it is needed.

    Raises:
        TardiffError: the processes cannot share a batch evenly.
    """

    def __init__(
        self, networks: nn.Module, optimizer: torch.optim.Optimizer, rows: NoisyRows, settings: TrainSettings, folder: Path
    ) -> None:
        if settings.batch_size % world_size():
            raise TardiffError(f"--batch-size {settings.batch_size}: {world_size()} processes cannot share it evenly")
        self.rows, self.settings = rows, settings
        self.accelerator = Accelerator(cpu=here().type == "cpu")
        self.model, self.optimizer = self.accelerator.prepare(networks, optimizer)

    def chosen(self, step: int) -> Tensor:
        """This process's rows of a step."""
        rows = _batch(len(self.rows), self.settings, step)
        return rows[shard(len(rows))]

    def gradients(self, step: int) -> tuple[float, float]:
        """Gradients of the mean loss, clipped, one part of the rows after the other; returns that loss and the gradients' norm."""
        rows, total = self.chosen(step), 0.0
        self.optimizer.zero_grad()
        parts = rows.chunk(self.settings.accumulate)
        for i, part in enumerate(parts):
            with nullcontext() if i + 1 == len(parts) else self.accelerator.no_sync(self.model):
                loss = self.rows.loss(self.model, part, step).sum() / len(rows)
                self.accelerator.backward(loss)
            total += loss.item()
        norm = float(self.accelerator.clip_grad_norm_(self.model.parameters(), self.settings.gradient_clip))
        return total, 0.0 if self.accelerator.scaler else norm  # a scaler leaves out steps that overflow, by itself

    def apply(self) -> None:
        """Follow the gradients."""
        self.optimizer.step()

    def finish(self) -> dict[str, float]:
        """What the model card says of privacy: nothing."""
        return {}


def train(data: Dataset, out: str | Path, settings: TrainSettings, progress: bool = True) -> TarDiffPipeline:
    """Train on a data set and write a pipeline folder.

    Work in progress stands in `OUT.partial`; the same call resumes from it, with as many threads as it began with, and ends in
    the same weights. Several processes (`accelerate launch`) share the rows of every step and end in one model.

    Args:
        data: its validation split, where there is one, gives the validation loss.
        out: pipeline folder to write.
        settings: model and optimizer.
        progress: show a progress bar.

    Raises:
        TardiffError: `out` exists, `OUT.partial` belongs to other settings or data, or the loss explodes.
    """
    out = Path(out)
    refuse_existing(out)
    described = described_rows(data, settings.epsilon)
    codec, statics = Codec.fit(described, data.manifest), StaticModel.fit(described, data.manifest)
    training = NoisyRows(data.train, codec, statics, settings)
    held = data.splits.get("validation")
    validation = NoisyRows(held, codec, statics, settings) if held else None  # absent or empty

    networks = new_networks(codec, statics, settings)
    optimizer = new_optimizer(networks, settings)
    ema = EMAModel(networks.parameters(), decay=settings.ema_decay, use_ema_warmup=True, power=0.75, foreach=True)
    checkpoint = Checkpoint(partial_folder(out), Identity(plain(settings), data.manifest.content_hash))
    steps = (Steps if settings.epsilon is None else PrivateSteps)(networks, optimizer, training, settings, checkpoint.folder)
    ema.to(next(networks.parameters()).device)
    first, history = 0, []
    if (kept := checkpoint.load()) is not None:
        first, history = kept[1]["step"], kept[1]["history"]
        _unpack(kept[0], first, networks, ema, optimizer)
    smooth = history[-1].get("loss", 0.0) if history else 0.0
    with bar(shown=progress, total=settings.steps, initial=first, desc="train", unit="step") as moved:
        for step in range(first, settings.steps):
            for group, peak in zip(optimizer.param_groups, PEAKS, strict=True):
                group["lr"] = peak * settings.learning_rate * _rate(step, settings.steps)
            loss, norm = steps.gradients(step)
            if not (math.isfinite(norm) and (loss is None or loss < EXPLODED)):
                worst = None if loss is None else training.worst_channel(networks, steps.chosen(step), step)
                raise TardiffError(_fault(loss, step, worst, checkpoint))
            steps.apply()
            ema.step(networks.parameters())
            shown = {"validation": _shown(history)}
            if loss is not None:
                smooth = 0.98 * smooth + 0.02 * loss if smooth else loss
                shown = {"loss": f"{smooth:.3f}", **shown}
            moved.update()
            moved.set_postfix(**shown, refresh=False)
            if (step + 1) % settings.validate_every == 0 or step + 1 == settings.steps:
                history.append({"step": step + 1} | ({} if loss is None else {"loss": smooth}))
                if validation:
                    history[-1]["validation_loss"] = _validate(networks, ema, validation)
                if main_process():
                    checkpoint.save(_packed(networks, ema, optimizer), {"step": step + 1, "history": history})
    barrier()

    ema.copy_to(networks.parameters())
    networks = networks.cpu().eval()
    card = training_card(data, settings, history, steps.finish())
    pipeline = TarDiffPipeline(networks.unet, networks.charting, noise_schedule(), codec, statics, card)
    pipeline.save_pretrained(out)
    if main_process():
        checkpoint.remove()
    return pipeline


def _fault(loss: float | None, step: int, channel: str | None, checkpoint: Checkpoint) -> str:
    kept = f"; the last good checkpoint is kept in {checkpoint.folder.name}" if checkpoint.path.exists() else ""
    if loss is None:
        return f"train: the gradients are not finite at step {step}: start again with a smaller --learning-rate and another --out{kept}"
    return (
        f"train: the loss is {loss:.3g} at step {step}, and the prediction is furthest off in channel {channel}: look at its unit and "
        f"limits (`tardiff audit`), or start again with a smaller --learning-rate or --gradient-clip and another --out{kept}"
    )


def new_networks(codec: Codec, statics: StaticModel, settings: TrainSettings) -> Networks:
    """Untrained networks for this data, their weights drawn from `settings.seed`."""
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        unet = TemporalUNet(
            symbols=codec.symbols,
            classes=statics.classes,
            static_features=statics.features,
            widths=settings.widths,
            blocks=settings.blocks,
        )
        return Networks(unet, ChartingModel(codec.symbol_rate, statics.classes, statics.features, settings.widths[0]))


def new_optimizer(networks: Networks, settings: TrainSettings) -> torch.optim.Optimizer:
    """AdamW with a group of parameters for each network; `PEAKS` says at which learning rates."""
    groups = [{"params": list(network.parameters())} for network in (networks.unet, networks.charting)]
    return torch.optim.AdamW(groups, settings.learning_rate, weight_decay=settings.weight_decay, fused=True)


def training_card(data: Dataset, settings: Any, history: list[dict[str, float]], privacy: dict[str, float] | None = None) -> Card:
    """What the pipeline folder remembers of this training; of a private one nothing that is counted or hashed on training rows.

    Raises:
        TardiffError: the data set is no longer what it was when it was opened.
    """
    data.refuse_changed()
    manifest = data.manifest
    return Card(
        format=FORMAT,
        source=manifest.source,
        source_version=manifest.source_version,
        data_hash=(data.without_training_rows() if privacy else data).manifest.content_hash,
        task=manifest.task,
        step_hours=manifest.step_hours,
        class_counts=manifest.splits["validation" if privacy else "train"].classes,
        settings=plain(settings),
        history=tuple(history),
        privacy=privacy or {},
    )


def _packed(networks: Networks, ema: EMAModel, optimizer: torch.optim.Optimizer) -> Tensors:
    """Weights, their averages and the optimizer's moments."""
    names = [name for name, _ in networks.named_parameters()]
    averages = dict(zip(names, ema.shadow_params, strict=True))
    return {**pack("model", networks.state_dict()), **pack("ema", averages), **pack_adam("adam", networks, optimizer)}


def _unpack(tensors: Tensors, step: int, networks: Networks, ema: EMAModel, optimizer: torch.optim.Optimizer) -> None:
    """The inverse of `_packed`."""
    networks.load_state_dict(unpack("model", tensors))
    averages = unpack("ema", tensors)
    names = [name for name, _ in networks.named_parameters()]
    ema.shadow_params = [averages[name].to(p.device) for name, p in zip(names, ema.shadow_params, strict=True)]
    ema.optimization_step = step
    unpack_adam("adam", tensors, networks, optimizer)


def _shown(history: list[dict[str, float]]) -> str:
    return f"{history[-1]['validation_loss']:.3f}" if history and "validation_loss" in history[-1] else "-"


def _batch(rows: int, settings: TrainSettings, step: int) -> Tensor:
    """The rows of a step: consecutive parts of an endless sequence of permutations, each keyed by its epoch."""
    first = step * settings.batch_size
    return torch.tensor([_permutation(rows, settings.seed, i // rows)[i % rows] for i in range(first, first + settings.batch_size)])


@lru_cache(maxsize=1)
def _permutation(rows: int, seed: int, epoch: int) -> list[int]:
    return stream("order", seed, epoch).permutation(rows).tolist()


def _rate(step: int, steps: int) -> float:
    """Learning rate at a step as a share of its peak: linear warm-up, then a cosine to 0."""
    warm_up = max(1, int(WARM_UP * steps))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


@torch.no_grad()
def _validate(networks: Networks, ema: EMAModel, rows: NoisyRows) -> float:
    """Mean loss of the averaged weights, over all rows at noise and steps that never change."""
    ema.store(networks.parameters())
    ema.copy_to(networks.parameters())
    losses = [rows.loss(networks, part, step=2**31) for part in torch.arange(len(rows)).split(256)]
    ema.restore(networks.parameters())
    return float(torch.cat(losses).mean())
