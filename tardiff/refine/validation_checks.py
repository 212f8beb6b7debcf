"""Checks on validation rows: what a refinement is worth beside its base, and when to go back or to stop."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tardiff.base.estimates import interval
from tardiff.base.noise import stream
from tardiff.data.codec import Codec
from tardiff.data.dataset import Dataset
from tardiff.evaluate.bootstrap import Draws, Resamples, row_weights
from tardiff.evaluate.fidelity.sample import mean, observed, ratio
from tardiff.evaluate.intervals import interval as bounds
from tardiff.evaluate.intervals import standard_error
from tardiff.evaluate.judges import Rows
from tardiff.evaluate.train_and_judge import tstr
from tardiff.model.pipeline import Samples

RESAMPLES = 200
FEWEST = 5  # samples of a class from which models can be trained
LEAST_UNIT = 1e-3  # of a figure: smaller differences are not worth a decision


@dataclass(frozen=True)
class CheckFigures:
    """Figures of a generator on validation rows, each with its resamples, [1 + B] or, of utility, [1 + B, S].

    Attributes:
        utility: AUPRC of models trained on its samples (`tstr`); empty if the task has not two classes, or samples have hardly
            any row of one.
        distance: Kolmogorov-Smirnov distance between samples and validation rows, mean over summary features.
        marginal: the same of observed values, mean over channels. Features of a channel that is seldom observed say little of its values.
    """

    utility: Draws
    distance: Draws
    marginal: Draws


@dataclass(frozen=True)
class Difference:
    """A paired difference with its 95 % interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, draws: Draws) -> "Difference | None":
        """From its resamples; None where it is undefined."""
        found = bounds(draws)
        return cls(*found) if np.isfinite(found).all() else None

    def __str__(self) -> str:
        return interval(vars(self), signed=True)


@dataclass(frozen=True)
class CheckResult:
    """A refined generator beside its base: paired differences of their figures.

    Attributes:
        utility: gain in AUPRC, None where there is no utility; higher is better.
        distance, marginal: changes of the distances to validation rows; lower is better.
        score: gains in utility and closeness, each in standard errors of the base's figure, added up; 0 is the base's. The unit is the
            same for all checkpoints: the error of a difference grows with the step taken, and would praise the timid.
    """

    utility: Difference | None
    distance: Difference
    marginal: Difference
    score: float

    @classmethod
    def of(cls, figures: CheckFigures, base: CheckFigures) -> "CheckResult":
        """From the figures of both."""
        distance, marginal = (Difference.of(getattr(figures, name) - getattr(base, name)) for name in ("distance", "marginal"))
        assert distance is not None  # some resamples hold rows of both sides
        assert marginal is not None
        score = -distance.value / unit(base.distance) - marginal.value / unit(base.marginal)
        both = len(figures.utility) and len(base.utility)
        utility = Difference.of(figures.utility - base.utility) if both else None
        return cls(utility, distance, marginal, score + utility.value / unit(base.utility) if utility else score)

    @property
    def worse(self) -> bool:
        """True if utility or closeness is wholly below the base's."""
        return self.distance.low > 0 or self.marginal.low > 0 or (self.utility is not None and self.utility.high < 0)

    def record(self) -> dict[str, Any]:
        """For the log."""
        shown = {"score": self.score, "worse": self.worse, "distance": vars(self.distance), "marginal": vars(self.marginal)}
        return shown | ({"utility": vars(self.utility)} if self.utility else {})

    def __str__(self) -> str:
        utility = f"TSTR AUPRC {self.utility}" if self.utility else f"TSTR unknown (it takes two classes, {FEWEST} samples of each)"
        return f"{utility}, distance of features {self.distance}, of values {self.marginal} against the base, on validation rows"


class ValidationCheck:
    """Holds samples against validation rows; the resamples are the same in every check, so that checks pair."""

    def __init__(self, codec: Codec, data: Dataset, seed: int) -> None:
        self.seed = seed
        self.codec = codec
        validation = data.split("validation")
        self.real = Rows.of(validation, codec)
        self.validation = validation
        self.resamples = Resamples.draw(validation.subject_id, RESAMPLES, stream("refine validation", seed))
        self.two_classes = len(data.manifest.task.classes) == 2 and len(np.unique(validation.label)) == 2

    def __call__(self, samples: Samples) -> CheckFigures:
        """Samples (decoded) of the same labels and noise each time, so that rows pair, too."""
        rows = Rows.shown(self.codec.encode(samples), samples.label)
        weights = row_weights(len(rows), RESAMPLES, stream("refine samples", self.seed))
        distance = ks_distance(rows.features, weights, self.real.features, self.resamples.rows)
        marginal = self._marginal(samples, weights)
        useful = self.two_classes and np.bincount(rows.label, minlength=2).min() >= FEWEST
        return CheckFigures(tstr(rows, self.real, self.resamples, self.seed) if useful else np.empty(0), distance, marginal)

    def _marginal(self, samples: Samples, weights: NDArray[np.float32]) -> Draws:
        """Distance of observed values, mean over the channels that validation rows observe; 1 where no sample does."""
        draws = []
        for channel in range(len(self.codec.channels)):
            (row, ours), (real_row, real) = observed(samples, channel), observed(self.validation, channel)
            if len(real) and len(ours):
                draws.append(ks_distance(ours[:, None], weights[:, row], real[:, None], self.resamples.rows[:, real_row]))
            elif len(real):
                draws.append(np.ones(1 + RESAMPLES))
        return mean(np.stack(draws, axis=1)) if draws else np.zeros(1 + RESAMPLES)


def unit(draws: Draws) -> float:
    """Standard error of a figure, from its resamples."""
    return max(standard_error(draws), LEAST_UNIT)


def ks_distance(
    ours: NDArray[np.floating], our_weights: NDArray[np.float32], theirs: NDArray[np.floating], their_weights: NDArray[np.float32]
) -> Draws:
    """Kolmogorov-Smirnov distance in each resample, mean over features, [1 + B]; NaN where a resample holds no row of one side.

    Exact in every resample, where `evaluate.fidelity.marginals` resamples on a grid of quantiles, which its larger samples need: a change
    of one iteration can be finer than the grid.

    Args:
        ours, theirs: features [n, F] and [m, F].
        our_weights, their_weights: times each row counts, [1 + B, n] and [1 + B, m].
    """
    shares = [
        ratio(weights, weights.sum(1, keepdims=True)) for weights in (our_weights.astype(np.float64), their_weights.astype(np.float64))
    ]
    signed = np.concatenate([shares[0], -shares[1]], axis=1)
    total = np.zeros(len(signed))
    for column in np.concatenate([ours, theirs]).T:
        order = np.argsort(column, kind="stable")
        last_of_ties = np.append(np.diff(column[order]) > 0, True)
        total += np.abs(signed[:, order].cumsum(axis=1)[:, last_of_ties]).max(axis=1)
    return total / ours.shape[1]
