"""Several processes that work as one (`accelerate launch`): each does its share, all end with the whole, the first one writes.

With one process nothing here does anything. Nothing heavy is imported before it is needed, for every command asks who it is.
"""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from accelerate import PartialState
    from torch import Tensor, nn

from tardiff.base.device import here

T = TypeVar("T")


def rank() -> int:
    """Number of this process, from 0; the launcher says it in the environment."""
    return int(os.environ.get("RANK", "0"))


def world_size() -> int:
    """Processes that work together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def local_world_size() -> int:
    """Processes that work together on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def main_process() -> bool:
    """Whether this one writes and speaks for all."""
    return rank() == 0


def state() -> "PartialState":
    """accelerate's state: meets the other processes, by NCCL on GPUs and gloo on CPUs, and knows this one's device."""
    from accelerate import PartialState

    return PartialState(cpu=here().type == "cpu")


def barrier() -> None:
    """Until all processes are here."""
    if world_size() > 1:
        state().wait_for_everyone()


def shard(rows: int) -> slice:
    """Of so many rows, those that are this process's: blocks of equal length, in order, the last ones shorter."""
    block = -(-rows // world_size())
    return slice(min(rows, rank() * block), min(rows, (rank() + 1) * block))


def gather(part: "Tensor", rows: int) -> "Tensor":
    """All rows, of which every process has made its `share`: [len(share), ...] to [rows, ...], bit for bit."""
    if world_size() == 1:
        return part
    from accelerate.utils import gather

    padded = part.new_zeros(-(-rows // world_size()), *part.shape[1:])
    padded[: len(part)] = part
    return gather(padded.to(state().device))[:rows].to(part.device)


def gather_objects(thing: T) -> list[T]:
    """What each process has, in the processes' order (small things: sums, counts)."""
    if world_size() == 1:
        return [thing]
    from accelerate.utils import gather_object

    state()
    found: list[T] = gather_object([thing])
    return found


def minibatch_shard(rows: "Tensor") -> "tuple[Tensor, float]":
    """This process's rows of a minibatch, and what their mean weighs, so that the processes' average is the minibatch's mean."""
    mine = rows[shard(len(rows))]
    return (mine, len(mine) * world_size() / len(rows)) if len(mine) else (rows[:1], 0.0)


def average_gradients(module: "nn.Module") -> None:
    """Give every process the mean of all processes' gradients."""
    if world_size() == 1:
        return
    from accelerate.utils import reduce

    state()
    for parameter in module.parameters():
        if parameter.grad is not None:
            parameter.grad.copy_(reduce(parameter.grad, "mean"))


def round_robin(things: Sequence[T]) -> list[T]:
    """This process's things, when they are dealt out one by one."""
    return list(things[rank() :: world_size()])
