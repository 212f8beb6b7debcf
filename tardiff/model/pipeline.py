"""`TarDiffPipeline`: U-Net, noise schedule, codec and static model in one folder."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from numpy.typing import NDArray
from torch import Tensor

from tardiff.base.device import device_of, use_device
from tardiff.base.distributed import gather, shard
from tardiff.base.files import new_folder, replace_file, write_struct
from tardiff.base.folders import PIPELINE
from tardiff.base.markdown import CARD
from tardiff.data.codec import Codec
from tardiff.data.contract import Form
from tardiff.data.dataset import Dataset, Manifest, Split, Task
from tardiff.data.statics import StaticModel
from tardiff.errors import TardiffError
from tardiff.model.card import Card
from tardiff.model.charting import ChartingModel
from tardiff.model.denoisers import label_free, with_cfg
from tardiff.model.diffusion import noise_schedule
from tardiff.model.model_card import model_card
from tardiff.model.sampling import UNGUIDED, Callback, Denoiser, Guide, dpm_solver, sample
from tardiff.model.unet import TemporalUNet
from tardiff.settings import SamplerSettings

NETWORKS: dict[str, Any] = {"unet": TemporalUNet, "charting": ChartingModel}
"""By the folder that each stands in."""


@dataclass(frozen=True)
class Samples:
    """Synthetic records.

    Attributes:
        x0: scores of what is charted, 0 elsewhere, [N, C, T].
        chart: symbols (`tardiff.data.resolution`), [N, C, T].
        values: physical units, NaN where unobserved, [N, C, T].
        mask: 1 = observed, [N, C, T].
        static: descriptors, [N, S].
        label: [N].
    """

    x0: Tensor
    chart: Tensor
    values: NDArray[np.float32]
    mask: NDArray[np.uint8]
    static: NDArray[np.float32]
    label: NDArray[np.int64]

    def take(self, rows: NDArray[np.intp]) -> "Samples":
        """The rows given by an index array."""
        some = torch.from_numpy(rows)
        return Samples(self.x0[some], self.chart[some], self.values[rows], self.mask[rows], self.static[rows], self.label[rows])

    def join(self, other: "Samples") -> "Samples":
        """These records, then the other ones."""
        arrays = (np.concatenate([getattr(self, name), getattr(other, name)]) for name in ("values", "mask", "static", "label"))
        return Samples(torch.cat([self.x0, other.x0]), torch.cat([self.chart, other.chart]), *arrays)


class RecordGenerator(ABC):
    """What every trained generator of records has: codec, static model, card, and their use.

    Attributes:
        codec: physical units <-> model space.
        statics: encoding and generator of the static descriptors.
        card: what the folder remembers of its training.
        guidable: whether it has reverse steps that a guide can steer.
    """

    codec: Codec
    statics: StaticModel
    card: Card
    guidable = True

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where it computes."""

    @abstractmethod
    def to(self, device: torch.device | str) -> "RecordGenerator":
        """The same generator, whose networks are and compute on a device; what it draws comes back to the CPU.

        Raises:
            TardiffError: the machine has no such device.
        """

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the labels."""
        return self.card.task.classes

    @property
    def form(self) -> Form:
        """What its records mean."""
        return Form.of(self.codec.channels, self.codec.steps, self.card.step_hours, self.statics.statics, self.card.task)

    @property
    def labelled(self) -> bool:
        """False if it learnt without labels; then only a guide makes a sample fit its label."""
        return len(self.classes) > 1

    @abstractmethod
    def __call__(
        self,
        label: NDArray[np.int64],
        seeds: Sequence[int],
        settings: SamplerSettings | None = None,
        guide: Guide = UNGUIDED,
        callback: Callback | None = None,
        progress: str | None = None,
        like: Samples | None = None,
    ) -> Samples:
        """Draw one record a seed; record i depends on label[i] and seeds[i] alone."""

    def save_pretrained(self, path: str | Path) -> None:
        """Write the folder, whole or not at all.

        Raises:
            TardiffError: `path` exists.
        """
        with new_folder(path) as folder:
            self.write(folder)

    def write(self, folder: Path) -> None:
        """Write codec, static model and card into an empty folder."""
        self.codec.save(folder / "codec.json")
        self.statics.save(folder / "statics.json")
        write_struct(folder / "card.json", self.card)

    def reads(self, data: Dataset) -> Dataset:
        """Real records as this generator has them: as they are, if its records are not summaries of theirs."""
        return data

    def with_cfg(self, cfg_scale: float, window: float) -> "RecordGenerator":
        """The same generator with classifier-free guidance in the first steps; one that has no steps is as it was."""
        return self

    def dataset(self, samples: Samples, settings: dict[str, Any], task: Task | None = None) -> Dataset:
        """Samples as a data set with a training split, ready to be saved.

        Args:
            samples: what calling the pipeline gave.
            settings: how they were made, for the manifest.
            task: what the labels mean; None is the task that the generator was trained with.
        """
        rows = len(samples.label)
        number = np.arange(rows, dtype=np.int64)
        manifest = Manifest(
            source=self.card.source,
            source_version=self.card.source_version,
            channels=self.codec.channels,
            statics=self.statics.statics,
            step_hours=self.card.step_hours,
            steps=self.codec.steps,
            task=task or self.card.task,
            orderings=self.codec.orderings,
            settings=settings,
            synthetic=True,
        )
        split = Split(
            values=samples.values,
            mask=samples.mask,
            static=samples.static,
            label=samples.label,
            stay_id=number,
            subject_id=number,
            length=np.full(rows, self.codec.steps, np.int32),
            origin_minute=np.full(rows, manifest.window_minutes),
        )
        return Dataset(manifest, {"train": split}).completed()


class TarDiffPipeline(RecordGenerator, DiffusionPipeline):
    """A trained generator. `TarDiffPipeline.from_pretrained(folder)` loads one; calling it samples.

    Args:
        unet: the denoiser of the values.
        charting: what is charted.
        scheduler: the diffusion process it was trained on.
        codec: physical units <-> model space.
        statics: encoding and generator of the static descriptors.
        card: what the folder remembers of its training.
    """

    def __init__(
        self, unet: TemporalUNet, charting: ChartingModel, scheduler: DDIMScheduler, codec: Codec, statics: StaticModel, card: Card
    ) -> None:
        super().__init__()
        self.cfg_scale, self.window = 1.0, 1.0
        # Loaded weights come in another layout, whose kernels round differently: samples must not depend on that.
        self.register_modules(unet=unet.to(memory_format=torch.channels_last), charting=charting, scheduler=scheduler)
        self.codec = codec
        self.statics = statics
        self.card = card

    def denoiser(self) -> Denoiser:
        """The U-Net as it reads labels, or as it ignores them if it learnt without."""
        return with_cfg(self.unet, len(self.classes), self.cfg_scale, self.window) if self.labelled else label_free(self.unet)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return device_of(self.unet)

    def to(self, device: torch.device | str) -> "TarDiffPipeline":
        """The same pipeline, whose networks are and compute on a device."""
        for network in (self.unet, self.charting):
            network.to(use_device(device) if isinstance(device, str) else device)
        return self

    def with_cfg(self, cfg_scale: float, window: float) -> "TarDiffPipeline":
        """The same generator, whose samples exaggerate what the label changes (see `denoisers.with_cfg`)."""
        guided = TarDiffPipeline(self.unet, self.charting, self.scheduler, self.codec, self.statics, self.card)
        guided.cfg_scale, guided.window = cfg_scale, window
        return guided

    def write(self, folder: Path) -> None:
        """Write the pipeline's files into an empty folder."""
        DiffusionPipeline.save_pretrained(self, folder)
        super().write(folder)
        replace_file(folder / CARD, model_card(self.card, self.codec))

    @classmethod
    def from_pretrained(cls, path: str | Path) -> "TarDiffPipeline":
        """Open a pipeline folder.

        Raises:
            TardiffError: naming the file that is missing or damaged.
        """
        path = Path(path)
        if not (path / "model_index.json").is_file():
            raise PIPELINE.refusal(path)
        card = Card.load(path)
        files = [f"{name}/{file}" for name in NETWORKS for file in ("config.json", "diffusion_pytorch_model.safetensors")]
        for file in (*files, "scheduler/scheduler_config.json"):
            if not (path / file).is_file():
                raise TardiffError(f"{path / file}: no such file; train again")
        unet, charting = (_read_network(path / name, kind) for name, kind in NETWORKS.items())
        scheduler = _read_scheduler(path / "scheduler")
        codec, statics = Codec.load(path / "codec.json"), StaticModel.load(path / "statics.json")
        form = (codec.symbols, statics.features, len(card.task.classes))
        rate = tuple(map(tuple, charting.config.symbol_rate))
        forms = [(codec.symbols, of.static_features, of.classes) for of in (charting.config, unet.config)]
        forms += [(tuple(unet.config.symbols), statics.features, statics.classes)]
        if rate != codec.symbol_rate or any(other != form for other in forms):
            raise TardiffError(f"{path}: unet, charting, codec.json, statics.json and card.json are not of one pipeline; train again")
        return cls(unet.eval(), charting.eval(), scheduler, codec, statics, card)

    def __call__(
        self,
        label: NDArray[np.int64],
        seeds: Sequence[int],
        settings: SamplerSettings | None = None,
        guide: Guide = UNGUIDED,
        callback: Callback | None = None,
        progress: str | None = None,
        like: Samples | None = None,
    ) -> Samples:
        """Draw one record a seed; record i depends on label[i] and seeds[i] alone.

        Several processes (`accelerate launch`) draw a share each, and all get the whole.

        Args:
            label: [N], 0 .. classes - 1.
            seeds: N integers (see `noise.row_seeds`).
            settings: how the reverse process is run.
            guide: what steers.
            callback: called after every reverse step.
            progress: title of a progress bar; None shows none.
            like: samples of the same labels and seeds, however they were steered: their descriptors and charts, which no guide changes, are
                taken and not drawn again.

        Raises:
            TardiffError: the solver broke down (diffusers' stochastic DDIM does with five steps).
        """
        settings = settings or SamplerSettings()
        known = label if self.labelled else np.zeros_like(label)
        static = self.statics.sample(known, seeds) if like is None else like.static
        mine = shard(len(label))
        encoded = self.statics.encode(static[mine]).to(self.device)
        if like is None:
            chart = self.charting.sample(torch.from_numpy(known[mine]).to(self.device), seeds[mine], self.codec.steps, encoded)
        else:
            chart = like.chart[mine].to(self.device)
        scheduler = dpm_solver(settings.eta) if settings.sampler == "dpm" else {"ddim": self.scheduler, "ode": "ode"}[settings.sampler]
        x0 = sample(
            self.denoiser(),
            scheduler,
            torch.from_numpy(label[mine]).to(self.device),
            chart,
            seeds=seeds[mine],
            static=encoded,
            steps=settings.steps,
            eta=settings.eta,
            guide=guide,
            project=self.codec.project if settings.project else self.codec.clamp,
            batch_size=settings.batch_size,
            callback=callback,
            progress=progress,
        )
        x0, chart = gather(x0, len(label)).cpu(), gather(chart, len(label)).cpu()
        if not torch.isfinite(x0).all():
            raise TardiffError(
                f"--sampler {settings.sampler} --steps {settings.steps} gave numbers that are not finite; choose another number of steps"
            )
        return Samples(x0, chart, *self.codec.decode(x0, chart), static, label)


def _read_network(path: Path, kind: Any) -> Any:
    """A network with all of its weights: diffusers itself would draw at random what a file lacks."""
    try:
        network, told = kind.from_pretrained(path, use_safetensors=True, local_files_only=True, output_loading_info=True)
    except Exception as error:  # diffusers raises whatever its parsers raise
        raise TardiffError(f"{path}: damaged ({' '.join(str(error).split())[:200]}); train again") from error
    if any(told.values()) or not all(bool(weight.isfinite().all()) for weight in network.parameters()):
        raise TardiffError(f"{path}: weights are missing, too many, or no finite numbers; train again")
    return network


def _read_scheduler(path: Path) -> DDIMScheduler:
    try:
        scheduler = DDIMScheduler.from_pretrained(path, local_files_only=True)
    except Exception as error:  # as above
        raise TardiffError(f"{path}: damaged ({' '.join(str(error).split())[:200]}); train again") from error
    ours = noise_schedule()
    if any(scheduler.config[name] != value for name, value in ours.config.items() if not name.startswith("_")):
        raise TardiffError(f"{path}: not the process that tardiff trains on; train again")
    return scheduler
