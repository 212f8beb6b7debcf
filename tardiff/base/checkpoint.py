"""Work in progress of a training or a refinement: tensors as safetensors, the rest as JSON; nothing is pickled.

All randomness is keyed by step, so weights, averages, moments and a few numbers are the whole state.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tardiff.base.partial import check_signed, sign
from tardiff.errors import TardiffError

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
    for i, (name, parameter) in enumerate(module.named_parameters()):
        moments = unpack(f"{prefix}/{name}", tensors)
        for key, tensor in moments.items():  # fused steps read moments in the parameter's memory layout
            moments[key] = torch.empty_like(parameter).copy_(tensor) if tensor.shape == parameter.shape else tensor.clone()
        if moments:
            kept[i] = moments
    optimizer.load_state_dict({"state": kept, "param_groups": optimizer.state_dict()["param_groups"]})


def weights_hash(module: nn.Module) -> str:
    """Hash of a module's weights, by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return f"sha256:{digest.hexdigest()}"


class Identity(msgspec.Struct, frozen=True):
    """What work in progress belongs to."""

    settings: dict[str, Any]
    data_hash: str


def plain(settings: Any) -> dict[str, Any]:
    """As JSON gives them back, so that what was stored can be compared with what is asked for."""
    return msgspec.json.decode(msgspec.json.encode(settings))


class Checkpoint:
    """The folder `OUT.partial`."""

    def __init__(self, folder: Path, identity: Identity) -> None:
        self.folder = folder
        self.identity = identity
        self.path = folder / "checkpoint.safetensors"

    def load(self) -> tuple[Tensors, dict[str, Any]] | None:
        """What was saved last, None if nothing was; from here on there are as many threads as there were then."""
        if not self.path.exists():
            return None
        check_signed(self.folder, plain(self.identity))
        try:
            with safe_open(self.path, "pt") as file:
                progress = json.loads(file.metadata()["progress"])
            torch.set_num_threads(progress["threads"])  # another number adds the same sums in another order
            return load_file(self.path), progress
        except (SafetensorError, KeyError, TypeError) as error:
            raise TardiffError(f"{self.path}: damaged ({error}); remove {self.folder.name} to start again") from error

    def save(self, tensors: Tensors, progress: dict[str, Any]) -> None:
        """Write everything under a temporary name, then rename."""
        temporary = self.folder / ".checkpoint.tmp"
        try:
            sign(self.folder, plain(self.identity))
            save_file(tensors, temporary, {"progress": json.dumps(progress | {"threads": torch.get_num_threads()})})
            temporary.replace(self.path)
        except (OSError, SafetensorError) as error:
            temporary.unlink(missing_ok=True)
            raise TardiffError(f"{self.folder}: cannot be written ({error}); make room, and the same command goes on") from error

    def remove(self) -> None:
        """Delete the folder, once the result stands."""
        shutil.rmtree(self.folder, ignore_errors=True)
