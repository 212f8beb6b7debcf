"""What a guide did, step by step."""

import math
from dataclasses import dataclass, field, fields

import torch
from torch import Tensor

from tardiff.base.device import wide
from tardiff.base.distributed import gather_objects
from tardiff.model.sampling import Step

INERT = 1e-3


def rounded(number: float) -> float:
    """To six digits: the order of a sum, and so its last bits, may depend on threads and batch size, but no record may."""
    return float(f"{number:.6g}")


@dataclass
class Sums:
    """Sums over the entries of all samples at one step.

    Attributes:
        change, update, before: squares of the guide's change, of the whole update of x, and of the change at the step before.
        along: products of the change and the one at the step before.
    """

    change: float = 0.0
    update: float = 0.0
    before: float = 0.0
    along: float = 0.0
    count: int = 0

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(Sums)))

    def record(self) -> dict[str, float]:
        """What `GuidanceLog.summary` says of the step; 0 where there was nothing to divide by."""
        norm = math.sqrt(self.change * self.before)
        return {
            "change": rounded(math.sqrt(self.change / self.count)),
            "update": rounded(math.sqrt(self.update / self.count)),
            "ratio": rounded(math.sqrt(self.change / self.update)) if self.update else 0.0,
            "cosine": rounded(self.along / norm) if norm else 0.0,
        }


@dataclass
class GuidanceLog:
    """What a guide did, by step index, and its change at the step before; a callback of the sampler."""

    steps: dict[int, Sums] = field(default_factory=dict)
    before: Tensor | None = None

    def __call__(self, step: Step, x_t: Tensor, x_next: Tensor, change: Tensor) -> None:
        """Add one batch."""
        sums = self.steps.get(step.index, Sums())
        # A batch runs through all its steps before the next one starts.
        now, moved = wide(change), wide(x_next - x_t)
        before = wide(self.before) if step.index and self.before is not None else torch.zeros_like(now)
        products = (now * now, moved * moved, before * before, now * before)
        squares, updates, befores, along = torch.stack([product.sum() for product in products]).tolist()
        self.steps[step.index] = sums + Sums(squares, updates, befores, along, change.numel())
        self.before = change

    def over_processes(self) -> "GuidanceLog":
        """The sums of all processes together."""
        total = GuidanceLog()
        for steps in gather_objects(self.steps):
            total = total.joined(GuidanceLog(steps))
        return total

    def joined(self, other: "GuidanceLog") -> "GuidanceLog":
        """The sums of both."""
        steps = sorted(self.steps.keys() | other.steps.keys())
        return GuidanceLog({index: self.steps.get(index, Sums()) + other.steps.get(index, Sums()) for index in steps})

    def summary(self) -> list[dict[str, float]]:
        """One record a step: root mean square of change and update, their ratio, and the cosine of the change to the step before's."""
        return [{"step": index} | sums.record() for index, sums in sorted(self.steps.items())]

    @property
    def inert(self) -> bool:
        """True if in no step the change reached a thousandth of the update."""
        return all(record["ratio"] < INERT for record in self.summary())
