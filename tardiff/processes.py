"""Several processes that work as one (`accelerate launch`): each does its share, all end with the whole, the first one writes.

With one process nothing here does anything. Nothing heavy is imported before it is needed, for every command asks who it is.
"""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from accelerate import PartialState
    from torch import Tensor, nn

T = TypeVar("T")


def index() -> int:
    """Number of this process, from 0; the launcher says it in the environment."""
    return int(os.environ.get("RANK", "0"))


def count() -> int:
    """Processes that work together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def here() -> int:
    """Processes that work together on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def main_process() -> bool:
    """Whether this one writes and speaks for all."""
    return index() == 0


def state() -> "PartialState":
    """accelerate's state: meets the other processes, by NCCL on GPUs and gloo on CPUs, and knows this one's device."""
    import torch
    from accelerate import PartialState

    return PartialState(cpu=not torch.cuda.is_available())


def wait() -> None:
    """Until all processes are here."""
    if count() > 1:
        state().wait_for_everyone()


def share(rows: int) -> slice:
    """Of so many rows, those that are this process's: blocks of equal length, in order, the last ones shorter."""
    block = -(-rows // count())
    return slice(min(rows, index() * block), min(rows, (index() + 1) * block))


def whole(part: "Tensor", rows: int) -> "Tensor":
    """All rows, of which every process has made its `share`: [len(share), ...] to [rows, ...], bit for bit."""
    if count() == 1:
        return part
    from accelerate.utils import gather

    padded = part.new_zeros(-(-rows // count()), *part.shape[1:])
    padded[: len(part)] = part
    return gather(padded.to(state().device))[:rows].to(part.device)


def every(thing: T) -> list[T]:
    """What each process has, in the processes' order (small things: sums, counts)."""
    if count() == 1:
        return [thing]
    from accelerate.utils import gather_object

    state()
    found: list[T] = gather_object([thing])
    return found


def shared(rows: "Tensor") -> "tuple[Tensor, float]":
    """This process's rows of a minibatch, and what their mean weighs, so that the processes' average is the minibatch's mean."""
    mine = rows[share(len(rows))]
    return (mine, len(mine) * count() / len(rows)) if len(mine) else (rows[:1], 0.0)


def average_gradients(module: "nn.Module") -> None:
    """Give every process the mean of all processes' gradients."""
    if count() == 1:
        return
    from accelerate.utils import reduce

    state()
    for parameter in module.parameters():
        if parameter.grad is not None:
            parameter.grad.copy_(reduce(parameter.grad, "mean"))


def dealt(things: Sequence[T]) -> list[T]:
    """This process's things, when they are dealt out one by one."""
    return list(things[index() :: count()])
