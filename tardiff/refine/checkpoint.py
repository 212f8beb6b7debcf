"""Work in progress of a refinement: tensors as safetensors, the rest as JSON; nothing is pickled.

All randomness is keyed by iteration, so weights, averages, moments and a few numbers are the whole state.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tardiff.errors import TardiffError
from tardiff.files import read_struct, write_struct
from tardiff.training import Identity

Tensors = dict[str, Tensor]


def pack(prefix: str, state: Mapping[str, Tensor]) -> Tensors:
    """A state dict under a prefix, copied, in plain layout."""
    return {f"{prefix}/{name}": tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in state.items()}


def unpack(prefix: str, tensors: Mapping[str, Tensor]) -> Tensors:
    """The inverse of `pack`."""
    return {name.removeprefix(f"{prefix}/"): tensor for name, tensor in tensors.items() if name.startswith(f"{prefix}/")}


def pack_adam(prefix: str, module: nn.Module, optimizer: torch.optim.Optimizer) -> Tensors:
    """Adam's moments and step counts, by parameter; nothing before its first step."""
    state = optimizer.state_dict()["state"]
    tensors: Tensors = {}
    for i, (name, _) in enumerate(module.named_parameters()):
        tensors |= pack(prefix, {f"{name}/{key}": value for key, value in state.get(i, {}).items()})
    return tensors


def unpack_adam(prefix: str, tensors: Mapping[str, Tensor], module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Restore what `pack_adam` kept."""
    kept: dict[int, Any] = {}
    for i, (name, _) in enumerate(module.named_parameters()):
        moments = {key: tensor.clone() for key, tensor in unpack(f"{prefix}/{name}", tensors).items()}
        if moments:
            kept[i] = moments
    optimizer.load_state_dict({"state": kept, "param_groups": optimizer.state_dict()["param_groups"]})


class Checkpoint:
    """The folder `OUT.partial`."""

    def __init__(self, folder: Path, identity: Identity) -> None:
        self.folder = folder
        self.identity = identity

    def load(self) -> tuple[Tensors, dict[str, Any]] | None:
        """What was saved last, None if nothing was.

        Raises:
            TardiffError: the folder belongs to other settings or data, or is damaged.
        """
        path = self.folder / "checkpoint.safetensors"
        if not path.exists():
            return None
        if read_struct(self.folder / "identity.json", Identity) != self.identity:
            raise TardiffError(
                f"{self.folder}: holds a run with other settings, data or base; finish that one, remove it, or choose another --out"
            )
        try:
            with safe_open(path, "pt") as file:
                progress = json.loads(file.metadata()["progress"])
            torch.set_num_threads(progress["threads"])  # another number adds the same sums in another order
            return load_file(path), progress
        except (SafetensorError, KeyError, TypeError) as error:
            raise TardiffError(f"{path}: damaged ({error}); remove {self.folder.name} to start again") from error

    def save(self, tensors: Tensors, progress: dict[str, Any]) -> None:
        """Write everything under a temporary name, then rename."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_struct(self.folder / "identity.json", self.identity)
        temporary = self.folder / ".checkpoint.tmp"
        save_file(tensors, temporary, {"progress": json.dumps(progress | {"threads": torch.get_num_threads()})})
        temporary.replace(self.folder / "checkpoint.safetensors")

    def remove(self) -> None:
        """Delete the folder, once the result stands."""
        shutil.rmtree(self.folder, ignore_errors=True)
