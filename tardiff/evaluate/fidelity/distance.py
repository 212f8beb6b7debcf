"""A distance between two sets with its resamples, and whether it is larger than the floor."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tardiff.evaluate.bootstrap import Draws
from tardiff.evaluate.fidelity.sample import Array, mean
from tardiff.evaluate.intervals import estimate

HIGHER_IS_BETTER = ("alpha_precision", "beta_recall", "authenticity", "density", "coverage")
TAIL = 0.975


@dataclass(frozen=True)
class Distance:
    """One number, or one by name (a channel, a descriptor) and the mean of their magnitudes.

    Attributes:
        draws: [1 + B], [1 + B, S] of S fits, or [1 + B, names].
        signed: the number may lie below 0; otherwise its interval does not.
        share: it lies between 0 and 1.
        more: what else is told of it.
    """

    draws: Array
    n: int
    names: tuple[str, ...] = ()
    signed: bool = False
    share: bool = False
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def overall(self) -> Draws:
        """The number, or the mean magnitude of those by name; draws."""
        return mean(np.abs(self.draws)) if self.names else self.draws

    def written(self) -> dict[str, Any]:
        """As JSON: an estimate, or `mean` and `by_channel`."""
        if not self.names:
            return self._estimate(self.draws, self.signed) | dict(self.more)
        by_name = {name: self._estimate(column, self.signed) for name, column in zip(self.names, self.draws.T, strict=True)}
        return {"mean": self._estimate(self.overall, False), "by_channel": by_name}

    def _estimate(self, draws: Draws, signed: bool) -> dict[str, Any]:
        number = estimate(draws, self.n, share=self.share)
        return number if signed or number["low"] is None else number | {"low": max(number["low"], 0.0)}


Distances = dict[str, Distance]


def against_floor(ours: Distances, floor: Distances) -> dict[str, Any]:
    """How much farther a set lies from the training rows than real held-out rows do, by metric.

    Both are compared with the same training rows in the same resamples, so the difference is taken draw by draw. A set is worse
    in a metric if it is over all names together, or in the one name in which it is most surely worse.

    Returns:
        By metric `mean` (the difference, an estimate), `worst` (`name`, `value` and lower end `low` of the worst one; None where there are
        no names, or no number) and `worse`.
    """
    result = {}
    for key, theirs in floor.items():
        sign = -1 if key in HIGHER_IS_BETTER else 1
        whole = estimate(sign * (ours[key].overall - theirs.overall), theirs.n)
        worst = _worst(np.abs(ours[key].draws) - np.abs(theirs.draws), theirs.names) if theirs.names else None
        lows = [number["low"] for number in (whole, worst) if number is not None and number["low"] is not None]
        result[key] = {"mean": whole, "worst": worst, "worse": any(low > 0 for low in lows)}
    return result


def _worst(excess: Array, names: tuple[str, ...]) -> dict[str, Any] | None:
    """The name whose excess is most surely above 0, with a lower end that holds for all names at once (max-t bootstrap)."""
    known = np.isfinite(excess).all(0)
    if not known.any():
        return None
    excess = excess[:, known]
    spread = excess[1:].std(0)
    scaled = (excess[1:] - excess[1:].mean(0)) / np.where(spread > 0, spread, 1)
    low = excess[0] - np.quantile(scaled.max(1), TAIL) * spread
    worst = int(low.argmax())
    return {"name": np.array(names)[known][worst].item(), "value": float(excess[0, worst]), "low": float(low[worst])}
