"""Four models of GenTS (MIT, WillWang1113/GenTS on GitHub): TimeVAE, RCGAN, DiffusionTS and VanillaDDPM.

Whoever runs this fetches the repository; nothing of it is kept here. `GENTS` names its folder. Importing one of its models would import
all of them, with a dozen packages that these four do not need; so its packages are entered without their `__init__`, and torchvision,
whose builds clash with a torch for CPUs, is replaced by the one class that is used of it.
"""

import math
import os
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from experiments.peers.clock import Clock
from experiments.peers.records import Records
from experiments.peers.shapes import Complete
from experiments.peers.worker import Sampler

MODELS = {
    "TimeVAE": "vae.timevae",
    "RCGAN": "gan.rcgan",
    "DiffusionTS": "diffusion.diffusionts",
    "VanillaDDPM": "diffusion.vanilladiffusion",
}
BATCH = 64
CHUNK = 512


class MLP(nn.Sequential):
    """What `torchvision.ops.MLP` is without norm or dropout: linear layers with ReLU between them."""

    def __init__(self, in_channels: int, hidden_channels: list[int]) -> None:
        layers: list[nn.Module] = []
        for width in hidden_channels:
            layers += [nn.Linear(in_channels, width), nn.ReLU(), nn.Dropout(0.0)]
            in_channels = width
        super().__init__(*layers[:-2], nn.Dropout(0.0))


def model_of(name: str) -> Callable[..., Any]:
    """A model's class, from the repository that `GENTS` names."""
    root = Path(os.environ["GENTS"]) / "gents"
    if not (root / "model").is_dir():
        raise FileNotFoundError(f"{root}: GENTS does not name a copy of the GenTS repository")
    kinds = {f".model.{path.partition('.')[0]}" for path in MODELS.values()}
    for package in ("", ".model", *kinds, ".common", ".evaluation", ".evaluation.model_free"):
        entered = ModuleType(f"gents{package}")
        entered.__path__ = [str(root.joinpath(*package.split(".")[1:]))]
        sys.modules.setdefault(f"gents{package}", entered)
    if find_spec("torchvision") is None:
        sys.modules["torchvision"], sys.modules["torchvision.ops"] = ModuleType("torchvision"), ModuleType("torchvision.ops")
        sys.modules["torchvision.ops"].MLP = MLP  # type: ignore[attr-defined]
    return getattr(import_module(f"gents.model.{MODELS[name]}.model"), name)


class Stays(Dataset):
    """Batches as GenTS's models read them."""

    def __init__(self, cube: Tensor, label: Tensor | None) -> None:
        self.cube, self.label = cube, label

    def __len__(self) -> int:
        return len(self.cube)

    def __getitem__(self, row: int) -> dict[str, Tensor]:
        return {"seq": self.cube[row]} | ({} if self.label is None else {"c": self.label[row]})


class Stop(lightning.Callback):
    """Ends training when its share of the clock is over."""

    def __init__(self, clock: Clock, until: float) -> None:
        self.clock, self.until = clock, until

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Look at the clock."""
        trainer.should_stop = self.clock.elapsed() >= self.until or self.clock.spent()


def fit(train: Records, clock: Clock, seed: int, model: str, **setting: Any) -> Sampler:
    """Learn from complete arrays: with the label, if the model takes one; else a model a class, in equal shares of the time."""
    lightning.seed_everything(seed, verbose=False)
    complete, steps = Complete.fit(train, "standard"), train.values.shape[2]
    cube, label = torch.from_numpy(complete.encode(train)), torch.from_numpy(train.label)
    kind = model_of(model)
    if model == "TimeVAE" and steps % 8:  # three halvings, by default
        setting = {"hidden_size_list": [64, 128]} | setting
    if model == "VanillaDDPM":
        setting["patch_size"] = math.gcd(steps, setting.get("patch_size", 8))
    by_class = "class" not in kind.ALLOW_CONDITION  # type: ignore[attr-defined]
    fitted = {}
    values = list(np.unique(train.label)) if by_class else [None]
    for number, value in enumerate(values):
        rows = slice(None) if value is None else label == value
        condition = {} if by_class else {"condition": "class", "class_num": int(label.max()) + 1}
        fitted[value] = kind(seq_len=steps, seq_dim=cube.shape[2], **condition, **setting)
        until = clock.elapsed() + clock.left() / (len(values) - number)  # clock
        chosen = Stays(cube[rows], None if by_class else label[rows, None] if model == "RCGAN" else label[rows])
        loader = DataLoader(chosen, min(BATCH, len(chosen)), shuffle=True, drop_last=True)
        quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
        trainer = lightning.Trainer(max_epochs=-1, accelerator="cpu", callbacks=[Stop(clock, until)], limit_val_batches=0, **quiet)
        trainer.fit(fitted[value], loader)

    def draw(network: Any, labels: Tensor | None, rows: int) -> Tensor:
        if model == "VanillaDDPM":  # its `sample` forgets the label
            network.eval()
            with torch.no_grad():
                return network._sample_loop(torch.randn(rows, steps, cube.shape[2]), labels)
        return network.sample(rows) if labels is None else network.sample(rows, labels)

    def sample(wanted: NDArray[np.int64]) -> Records:
        made, asked = torch.empty(len(wanted), steps, cube.shape[2]), torch.from_numpy(wanted)
        for value, network in fitted.items():
            rows = torch.arange(len(wanted)) if value is None else (asked == value).nonzero()[:, 0]
            for chunk in rows.split(CHUNK):
                made[chunk] = draw(network, None if by_class else asked[chunk], len(chunk)).detach()
        return complete.decode(made.numpy(), wanted, train)

    return sample
