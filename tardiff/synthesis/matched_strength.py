"""The strength at which the classifier is as sure of the samples' labels as of its own training rows'."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tardiff.base.noise import reserved_rows, row_seeds
from tardiff.classifier.folder import ClassifierFolder, certainty
from tardiff.data.labels import draw_labels
from tardiff.model.pipeline import RecordGenerator
from tardiff.model.sampling import Guide
from tardiff.synthesis.plan import Plan

CANDIDATES = (0.0, 0.1, 0.2, 0.3)


@dataclass(frozen=True)
class Match:
    """Where samples became as typical of their labels as training rows are.

    A guide that goes further makes patients who are clearer cases than any that the classifier has learnt from: its labels become a
    shortcut, and models trained on the samples are too sure of themselves.

    Attributes:
        strength: the match; 0 if samples are as typical without the classifier, the largest candidate if none is.
        target: the classifiers' certainty of their training rows (`classifier_folder.certainty`).
        strengths, certainties: the curve that was measured.
    """

    strength: float
    target: float
    strengths: tuple[float, ...]
    certainties: tuple[float, ...]

    def __str__(self) -> str:
        lines = [f"  strength {s:<4g} {c:+.3f}" for s, c in zip(self.strengths, self.certainties, strict=True)]
        conclusion = (
            f"matched: {self.strength:g}"
            if self.strength
            else "matched: 0; samples are as typical already, and the classifier adds nothing"
        )
        return "\n".join([f"mean log-probability of the label, {self.target:+.3f} on training rows:", *lines, conclusion])


def match_strength(
    draw: Callable[[float], tuple[Tensor, Tensor]], folders: Sequence[ClassifierFolder], candidates: tuple[float, ...] = CANDIDATES
) -> Match:
    """Measure the certainty of some strengths and interpolate to that of the training rows.

    Args:
        draw: samples as `Codec.encode` shows them [N, 2 C, T] and labels [N] of a strength, of the same seeds each time.
        folders: the classifiers that guide.
        candidates: ascending, from 0; none is measured beyond the match.
    """
    target = float(np.mean([folder.card.certainty for folder in folders]))
    measured: list[float] = []
    for strength in candidates:
        seen, label = draw(strength)
        measured.append(float(np.mean([certainty(f.classifier, seen, label) for f in folders])))
        if measured[-1] >= target:
            break
    strengths = candidates[: len(measured)]
    match = float(np.interp(target, np.maximum.accumulate(measured), strengths))
    # Two digits, because the last bits of a certainty depend on threads and batches, and no sample may.
    return Match(round(match, 2), round(target, 3), strengths, tuple(round(c, 3) for c in measured))


def pilot_samples(
    plan: Plan, generator: RecordGenerator, guide: Guide, progress: bool, use: str = "matched strength"
) -> tuple[Tensor, Tensor]:
    """Samples in model space [N, 2 C, T], each class as often as the others, and their labels [N].

    Args:
        plan: the job that they are wanted for.
        generator: what draws, with classifier-free guidance if the job has it.
        guide: what steers.
        progress: show a progress bar.
        use: in `RESERVED`, whose seeds are no other sample's.
    """
    label = draw_labels("balanced", [1] * len(plan.task.classes), plan.guidance.pilot, plan.seed)
    seeds = row_seeds(plan.seed, reserved_rows(use, len(label)))
    samples = generator(label, seeds, plan.sampler, guide, progress="pilot" if progress else None)
    return generator.codec.encode(samples), torch.from_numpy(label)
