"""How strongly guidance acts where no number is given: until the classifier ranks samples as well as validation rows."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from tardiff.base.noise import reserved_rows, row_seeds
from tardiff.classifier.networks import Classifier, auroc
from tardiff.data.labels import draw_labels
from tardiff.guidance.gradient_guide import GradientGuide
from tardiff.model.pipeline import RecordGenerator, Samples
from tardiff.model.sampling import Guide
from tardiff.synthesis.plan import Plan

STRONGEST = 0.3
USUAL_SCALE = 2.0
FEW = 256
"""Rows that are drawn at every dose. The others, as many as `pilot` says, are drawn at dose 0 alone."""
CLEAR = 3.0
"""Standard errors between an AUROC and the target that leave no doubt which is larger."""
HALVINGS = 3


@dataclass(frozen=True)
class Dose:
    """How strongly the label is stressed."""

    cfg_scale: float
    strength: float

    @classmethod
    def at(cls, place: float, cfg_scale: float = USUAL_SCALE) -> "Dose":
        """The dose at a place between -1 (labels as they were learnt), 0 (`cfg_scale` and no guide) and 1 (the strongest guide as well)."""
        return cls(round(cfg_scale + min(place, 0) * (cfg_scale - 1), 4), round(STRONGEST * max(place, 0), 4))


@dataclass(frozen=True)
class Match:
    """The dose at which the classifier tells samples' labels as well as those of real rows that it has not learnt.

    A guide that goes further makes patients who are clearer cases than real ones: its labels become a shortcut, and models trained on the
    samples are too sure of themselves. Training rows are no measure, because a classifier knows some of them by heart. The mean
    log-probability is none either: where it is reached by making unlikely rows likelier, the likely ones are beyond any real row.

    Attributes:
        strength, cfg_scale: the dose, or the end of what was tried that lies nearest to it.
        target: the classifiers' AUROC on their validation rows, in the mean (`classifier.networks.auroc`).
        strengths, cfg_scales, aurocs: what was measured, weakest dose first.
        rows: samples drawn for it, each as often as it was drawn.
    """

    strength: float
    cfg_scale: float
    target: float
    strengths: tuple[float, ...]
    cfg_scales: tuple[float, ...]
    aurocs: tuple[float, ...]
    rows: int

    @property
    def guides(self) -> bool:
        """Whether anything is left of guidance."""
        return self.strength > 0 or self.cfg_scale > 1

    def __str__(self) -> str:
        measured = zip(self.strengths, self.cfg_scales, self.aurocs, strict=True)
        lines = [f"  strength {s:<6g} cfg-scale {scale:<5g} {a:.3f}" for s, scale, a in measured]
        head = f"AUROC of the classifier, {self.target:.3f} on validation rows ({self.rows:,} pilot samples):"
        return "\n".join([head, *lines, self.found])

    @property
    def found(self) -> str:
        """What was matched, in one line."""
        by = "already, and the classifier adds nothing" if self.guides else "without guidance, and there is none"
        note = "" if self.strength else f"; samples are as typical {by}"
        return f"matched: strength {self.strength:g}, cfg-scale {self.cfg_scale:g}{note}"


Judged = Callable[[float, slice], NDArray[np.float64]]
"""(place of a dose, rows of the pilot) -> each classifier's probabilities [K, N, class], of the same seeds at every dose."""


@dataclass
class Curve:
    """AUROC by dose: that of all rows drawn at dose 0, and the change from there of the few rows that are drawn at every dose.

    The change has less error than either AUROC, because the noise is the same.
    """

    judged: Judged
    label: NDArray[np.int64]
    start: NDArray[np.float64] = field(init=False)
    changes: dict[float, float] = field(default_factory=lambda: {0.0: 0.0})
    rows: int = 0

    def __post_init__(self) -> None:
        self.start = self._drawn(0.0, slice(0, FEW))

    def widen(self) -> None:
        """Draw the other rows at dose 0, unless they are there."""
        if (drawn := self.start.shape[1]) < len(self.label):
            self.start = np.concatenate([self.start, self._drawn(0.0, slice(drawn, len(self.label)))], axis=1)

    def at(self, place: float) -> float:
        """The AUROC at a dose, to three digits: the last bits depend on threads and batches, and no sample may."""
        if place not in self.changes:
            few = slice(0, FEW)
            self.changes[place] = self._auroc(self._drawn(place, few))[0] - self._auroc(self.start[:, few])[0]
        return round(self._auroc(self.start)[0] + self.changes[place], 3)

    @property
    def error(self) -> float:
        """Standard error of an AUROC."""
        return self._auroc(self.start)[1]

    def _auroc(self, probability: NDArray[np.float64]) -> tuple[float, float]:
        """The mean over the classifiers, with the mean of their errors, because they judge the same rows."""
        of = [auroc(self.label[: len(own)], own) for own in probability]
        return float(np.mean([value for value, _ in of])), float(np.mean([error for _, error in of]))

    def _drawn(self, place: float, rows: slice) -> NDArray[np.float64]:
        probability = self.judged(place, rows)
        self.rows += probability.shape[1]
        return probability


def match_strength(judged: Judged, label: NDArray[np.int64], target: float, cfg_scale: float | None = None) -> Match:
    """Find the dose of a target: its side first, then the end of that side, then by halves in between.

    A few rows decide what they decide beyond doubt; the whole pilot is drawn for what is left.

    Args:
        cfg_scale: given by the user, and not lowered; None is `USUAL_SCALE`, or down to 1 where it makes samples clearer than the target.
    """
    target, lowest = round(target, 3), -1.0 if cfg_scale is None else 0.0
    curve = Curve(judged, label)
    if abs(curve.at(0) - target) <= CLEAR * curve.error:
        curve.widen()
    end = 1.0 if curve.at(0) < target else lowest
    if end and (abs(curve.at(end) - target) <= CLEAR * curve.error or (curve.at(end) < target) == (end < 0)):
        curve.widen()
        low, high = sorted((0.0, end))
        for _ in range(HALVINGS):
            if not curve.at(low) < target < curve.at(high):
                break
            middle = (low + high) / 2
            low, high = (middle, high) if curve.at(middle) < target else (low, middle)
            if abs(curve.at(middle) - target) <= curve.error:
                break
    places = sorted(curve.changes)
    measured = [curve.at(place) for place in places]
    scale = USUAL_SCALE if cfg_scale is None else cfg_scale
    found = Dose.at(float(np.interp(target, np.maximum.accumulate(measured), places)), scale)
    doses = [Dose.at(place, scale) for place in places]
    strengths, scales = tuple(dose.strength for dose in doses), tuple(dose.cfg_scale for dose in doses)
    return Match(round(found.strength, 2), round(found.cfg_scale, 2), target, strengths, scales, tuple(measured), curve.rows)


def matched(plan: Plan, guide: GradientGuide, cfg_scale: float | None, progress: bool) -> Match:
    """Match the dose of a plan on a pilot of noise that is the same for every seed of the user's."""
    label = pilot_labels(plan)
    known: dict[int, Samples] = {}

    def judged(place: float, rows: slice) -> NDArray[np.float64]:
        dose = Dose.at(place, USUAL_SCALE if cfg_scale is None else cfg_scale)
        generator, steered = plan.generator.with_cfg(dose.cfg_scale, guide.window), replace(guide, strength=dose.strength)
        samples = pilot_samples(plan, generator, steered, progress, "matched strength", rows, known.get(rows.start))
        known.setdefault(rows.start, samples)
        seen = generator.codec.encode(samples)
        return np.stack([Classifier.probability(folder.classifier, seen) for folder in plan.classifiers])

    return match_strength(judged, label, float(np.mean([folder.card.validation_auroc for folder in plan.classifiers])), cfg_scale)


def pilot_labels(plan: Plan) -> NDArray[np.int64]:
    """Labels of a pilot's rows, each class as often as the others, [N]."""
    return draw_labels("balanced", [1] * len(plan.task.classes), plan.guidance.pilot, 0)


def pilot_samples(
    plan: Plan,
    generator: RecordGenerator,
    guide: Guide,
    progress: bool,
    use: str,
    rows: slice = slice(None),
    like: Samples | None = None,
) -> Samples:
    """Samples of noise that no user's sample has, and that is the same for every seed of the user's."""
    label = pilot_labels(plan)
    seeds = row_seeds(0, reserved_rows(use, len(label)))
    return generator(label[rows], seeds[rows], plan.sampler, guide, progress="pilot" if progress else None, like=like)
