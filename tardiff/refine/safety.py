"""Checks on validation rows: what a refinement is worth beside its base, and when to go back or to stop."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tardiff.codec import Codec
from tardiff.dataset import Dataset
from tardiff.evaluate.bootstrap import Draws, Resamples, row_weights
from tardiff.evaluate.features import summary_features
from tardiff.evaluate.models import Rows
from tardiff.noise import stream
from tardiff.pipeline import Samples
from tardiff.strength import FITS, tstr

RESAMPLES = 200
LEAST_ERROR = 1e-3  # of a figure: below it differences are not worth a decision


@dataclass(frozen=True)
class Exam:
    """Figures of a generator on validation rows, each with its resamples, [1 + B].

    Attributes:
        utility: AUPRC of models trained on its samples (`strength.tstr`); empty if the task has not two classes.
        distance: Kolmogorov-Smirnov distance between samples and validation rows, mean over summary features.
    """

    utility: Draws
    distance: Draws


@dataclass(frozen=True)
class Difference:
    """A paired difference with its 95 % interval."""

    value: float
    low: float
    high: float
    error: float

    @classmethod
    def of(cls, draws: Draws) -> "Difference":
        """From its resamples, [1 + B]."""
        low, high = np.quantile(draws[1:], (0.025, 0.975))
        return cls(float(draws[0]), float(low), float(high), float(draws[1:].std()))

    def __str__(self) -> str:
        return f"{self.value:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


@dataclass(frozen=True)
class Verdict:
    """A refined generator beside its base.

    Attributes:
        utility: gain in AUPRC, None where there is no utility; higher is better.
        distance: change of the distance to validation rows; lower is better.
    """

    utility: Difference | None
    distance: Difference

    @property
    def score(self) -> float:
        """Gains in utility and closeness, each in standard errors, added up; 0 is the base's."""
        gains = [(d.value * sign) / max(d.error, LEAST_ERROR) for d, sign in ((self.utility, 1), (self.distance, -1)) if d is not None]
        return float(sum(gains))

    @property
    def worse(self) -> bool:
        """True if utility or closeness is wholly below the base's."""
        return self.distance.low > 0 or (self.utility is not None and self.utility.high < 0)

    def record(self) -> dict[str, Any]:
        """For the log."""
        shown = {"score": self.score, "worse": self.worse, "distance": vars(self.distance)}
        return shown | ({"utility": vars(self.utility)} if self.utility else {})

    def __str__(self) -> str:
        utility = f"TSTR AUPRC {self.utility}, " if self.utility else ""
        return f"{utility}distance {self.distance} against the base, on validation rows"


class Examiner:
    """Examines samples by validation rows; the resamples are the same in every exam, so that exams pair.

    Args:
        codec: space of the features.
        data: its validation split judges.
        seed: of fits and resamples.
    """

    def __init__(self, codec: Codec, data: Dataset, seed: int) -> None:
        self.seed = seed
        self.codec = codec
        validation = data.split("validation")
        self.judge = Rows.of(validation, codec)
        self.resamples = Resamples.draw(validation.subject_id, FITS, RESAMPLES, stream("refine validation", seed))
        self.useful = len(data.manifest.task.classes) == 2 and len(np.unique(validation.label)) == 2

    def __call__(self, samples: Samples) -> Exam:
        """Samples (decoded) of the same labels and noise each time, so that rows pair, too."""
        x = self.codec.encode(samples)
        rows = Rows(self.codec.seen(x).numpy(), summary_features(x), samples.label)
        weights = row_weights(len(rows), RESAMPLES, stream("refine samples", self.seed))
        distance = ks_distance(rows.features, weights, self.judge.features, self.resamples.rows)
        return Exam(tstr(rows, self.judge, self.resamples, self.seed) if self.useful else np.empty(0), distance)


def compare(exam: Exam, base: Exam) -> Verdict:
    """Paired differences of two exams."""
    utility = Difference.of(exam.utility - base.utility) if len(base.utility) else None
    return Verdict(utility, Difference.of(exam.distance - base.distance))


def ks_distance(
    ours: NDArray[np.float64], our_weights: NDArray[np.float32], theirs: NDArray[np.float64], their_weights: NDArray[np.float32]
) -> Draws:
    """Kolmogorov-Smirnov distance in each resample, mean over features, [1 + B].

    Args:
        ours, theirs: features [n, F] and [m, F].
        our_weights, their_weights: times each row counts, [1 + B, n] and [1 + B, m].
    """
    signed = np.concatenate([our_weights / our_weights.sum(1, keepdims=True), -their_weights / their_weights.sum(1, keepdims=True)], axis=1)
    total = np.zeros(len(signed))
    for column in np.concatenate([ours, theirs]).T:
        order = np.argsort(column, kind="stable")
        last_of_ties = np.append(np.diff(column[order]) > 0, True)
        total += np.abs(signed[:, order].cumsum(axis=1)[:, last_of_ties]).max(axis=1)
    return total / ours.shape[1]
