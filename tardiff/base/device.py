"""Where tensors are computed: `--device`, resolved in one place, and what differs between devices."""

import os
from typing import TYPE_CHECKING, Literal

from tardiff.errors import TardiffError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

DeviceName = Literal["auto", "cpu", "cuda", "mps"]
CHOSEN = "TARDIFF_DEVICE"
"""Environment variable with the device of this process and of those that it starts, which fit judges."""


def use_device(name: str) -> "torch.device":
    """Compute on a device from here on, in processes that this one starts, too; `auto` is the GPU of CUDA if there is one, else the CPU."""
    import torch

    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    chosen = ("cuda" if there["cuda"] else "cpu") if name == "auto" else name
    if not there.get(chosen, False):
        raise TardiffError(f"--device {name}: this machine has none; it has {', '.join(kind for kind in there if there[kind])}")
    os.environ[CHOSEN] = chosen
    return here()


def here() -> "torch.device":
    """The device that was chosen, the CPU if none was; of several processes with GPUs each has its own."""
    import torch

    kind = os.environ.get(CHOSEN, "cpu")
    if kind != "cuda":
        return torch.device(kind)
    # Sums in an order of their own, so that a sample's bits never depend on when it is drawn; a few kernels have no such form and warn.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def device_of(module: "nn.Module") -> "torch.device":
    """Where a network's weights are."""
    return next(module.parameters()).device


def chunk_rows(device: "torch.device") -> int:
    """Rows that a network reads at once, always so many: enough to keep the device busy."""
    return 64 if device.type in ("cpu", "meta") else 512


def wide(x: "Tensor") -> "Tensor":
    """The numbers in float64, or in float32 where the device has no other."""
    return x.float() if x.device.type == "mps" else x.double()
