"""The strength of guidance, chosen on real validation rows: never on test rows, and unguided unless guidance helps."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tardiff.codec import Codec
from tardiff.dataset import Dataset, Split
from tardiff.errors import TardiffError
from tardiff.evaluate.bootstrap import Draws, Resamples
from tardiff.evaluate.metrics import auprc, positive_score
from tardiff.evaluate.models import Rows, fit_predict
from tardiff.evaluate.utility import held_out
from tardiff.noise import stream
from tardiff.progress import bar

CANDIDATES = (0.1, 0.3, 0.6, 1.0)
JUDGES = ("logistic", "trees")
FITS = 2
RESAMPLES = 500


@dataclass(frozen=True)
class Tried:
    """One strength: its gain in TSTR AUPRC over unguided samples of the same seeds, mean of `JUDGES`, with its 95 % interval."""

    strength: float
    gain: float
    low: float
    high: float


@dataclass(frozen=True)
class Choice:
    """What was chosen, and why.

    Attributes:
        strength: the one with the largest gain if that gain is more than one standard error above 0, else 0 (unguided).
        curve: every strength that was tried.
    """

    strength: float
    curve: tuple[Tried, ...]

    def __str__(self) -> str:
        lines = [f"  strength {t.strength:<4g} {t.gain:+.3f} [{t.low:+.3f}, {t.high:+.3f}]" for t in self.curve]
        verdict = f"chosen: {self.strength:g}" if self.strength else "none helps here: samples stay unguided"
        return "\n".join(["TSTR AUPRC on validation rows, guided - unguided:", *lines, verdict])


def choose_strength(
    draw: Callable[[float], Split],
    codec: Codec,
    data: Dataset,
    seed: int,
    candidates: tuple[float, ...] = CANDIDATES,
    progress: bool = False,
) -> Choice:
    """Train judges on samples of each strength and ask them about real validation rows.

    Args:
        draw: samples of a strength, of the same seeds each time; 0 is unguided.
        codec: the space of the judges' features.
        data: its validation split judges; nothing else of it is read.
        seed: of fits and resamples.
        candidates: strengths to try.
        progress: show a progress bar.

    Raises:
        TardiffError: the validation split lacks a class.
    """
    validation = data.split("validation")
    if len(np.unique(validation.label)) < 2:
        raise TardiffError("--strength auto: the validation split has one class only; give --strength a number")
    judge = Rows.of(validation, codec)
    resamples = Resamples.draw(validation.subject_id, FITS, RESAMPLES, stream("strength", seed))
    draws: dict[float, Draws] = {}
    for strength in bar((0.0, *candidates), progress, desc="strength"):
        draws[strength] = tstr(Rows.of(draw(strength), codec), judge, resamples, seed)
    return _chosen({strength: draws[strength] - draws[0.0] for strength in candidates})


def tstr(rows: Rows, judge: Rows, resamples: Resamples, seed: int) -> Draws:
    """AUPRC on real rows of `JUDGES` trained on synthetic ones, their mean, [1 + B].

    Args:
        rows: synthetic rows; a fifth of each class stops the fits.
        judge: real rows.
        resamples: of the real rows' patients and of `FITS` fits.
        seed: of the fits.
    """
    held = held_out(rows.label, seed)
    train, stop_on = rows.take(np.flatnonzero(~held)), rows.take(np.flatnonzero(held))
    scores = [np.stack([positive_score(fit_predict(name, train, stop_on, judge, seed + k)) for k in range(FITS)]) for name in JUDGES]
    return np.mean([resamples.mean_over_fits(auprc, judge.label, score) for score in scores], axis=0)


def _chosen(gains: dict[float, Draws]) -> Choice:
    """Resamples that lack a class say nothing."""
    curve = tuple(Tried(s, float(g[0]), *(float(q) for q in np.nanquantile(g[1:], (0.025, 0.975)))) for s, g in gains.items())
    best = max(curve, key=lambda tried: tried.gain)
    helps = best.gain > float(np.nanstd(gains[best.strength][1:]))
    return Choice(best.strength if helps else 0.0, curve)
