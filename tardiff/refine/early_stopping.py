"""Keeps the best checkpoint, goes back when a check is wholly worse than the base, and says when to stop."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from tardiff.base.checkpoint import Tensors, pack, unpack
from tardiff.refine.validation_checks import CheckFigures, CheckResult

SLOWER = 0.5  # of the learning rate, after going back


@dataclass(frozen=True)
class Best:
    """The checkpoint of highest score so far."""

    iteration: int
    check: CheckResult
    weights: Tensors


class EarlyStopping:
    """Checks a generator beside its base.

    Args:
        measure: figures of the averaged weights on validation rows.
        average: its averaged copy; both start as the base.
        patience: checks without a better one after which to stop.
        trained: whether the base is worth going back to; one that begins untrained is not.
    """

    def __init__(
        self,
        measure: Callable[[], CheckFigures],
        module: nn.Module,
        average: nn.Module,
        optimizer: torch.optim.Optimizer,
        patience: int,
        trained: bool = True,
    ) -> None:
        self.trained = trained
        self.measure, self.module, self.average, self.optimizer, self.patience = measure, module, average, optimizer, patience
        self.start = pack("start", average.state_dict())
        self.base: CheckFigures | None = None
        self.best: Best | None = None
        self.stale = 0

    @property
    def stopped(self) -> bool:
        """True once patience is at its end."""
        return self.stale >= self.patience

    def begin(self) -> None:
        """Measure the base."""
        self.base = self.measure()

    def check(self, iteration: int) -> dict[str, Any]:
        """Measure the averaged weights, keep them if they are the best, go back if they are worse; returns what is logged."""
        assert self.base is not None
        check = CheckResult.of(self.measure(), self.base)
        if self.best is None or self._rank(check) > self._rank(self.best.check):
            self.best = Best(iteration, check, pack("best", self.average.state_dict()))
            self.stale = 0
        else:
            self.stale += 1
        if went_back := self.trained and check.worse:
            self._go_back()
        return {**check.record(), "best": self.best.iteration, "went_back": went_back}

    def _rank(self, check: CheckResult) -> tuple[bool, float]:
        """What may be written comes first, whatever it scores."""
        return not (self.trained and check.worse), check.score

    def _go_back(self) -> None:
        """To the best checkpoint, or to the base where even that is worse: with fresh moments and a smaller learning rate."""
        good = self.best is not None and not self.best.check.worse
        weights = unpack("best", self.best.weights) if good and self.best else unpack("start", self.start)
        self.module.load_state_dict(weights)
        self.average.load_state_dict(weights)
        self.optimizer.state.clear()
        for group in self.optimizer.param_groups:
            group["lr"] *= SLOWER

    def tensors(self) -> Tensors:
        """What a checkpoint keeps as tensors."""
        assert self.base is not None
        kept = {f"base/{name}": torch.from_numpy(draws) for name, draws in vars(self.base).items()}
        return kept | (self.best.weights if self.best else {})

    def progress(self) -> dict[str, Any]:
        """What a checkpoint keeps as JSON."""
        best = {"iteration": self.best.iteration, "check": msgspec.to_builtins(self.best.check)} if self.best else None
        return {"stale": self.stale, "learning_rate": self.optimizer.param_groups[0]["lr"], "best": best}

    def restore(self, tensors: dict[str, Tensor], progress: dict[str, Any]) -> None:
        """Take up what a checkpoint kept."""
        self.base = CheckFigures(**{name: tensor.numpy() for name, tensor in unpack("base", tensors).items()})
        self.stale = progress["stale"]
        for group in self.optimizer.param_groups:
            group["lr"] = progress["learning_rate"]
        best = progress["best"]
        if best:
            weights = {name: tensor for name, tensor in tensors.items() if name.startswith("best/")}
            self.best = Best(best["iteration"], msgspec.convert(best["check"], CheckResult), weights)
