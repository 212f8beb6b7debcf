"""What gives the records of a set away: what the trees miss most when it is shuffled, in words."""

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tardiff.data.dataset import Manifest
from tardiff.evaluate.fidelity import FLOOR
from tardiff.evaluate.metrics import auroc
from tardiff.evaluate.realism.records import Records
from tardiff.evaluate.realism.summaries import ASPECTS, PLACES, SUMMARIES

MOST = 5

SHARE, HOURS, UNIT = "share", "hours", "unit"
WORDS: dict[str, tuple[str, str]] = {
    "count": ("charted steps", ""),
    "first_hour": ("mean time into a stay of the first value", HOURS),
    "last_hour": ("mean time into a stay of the last value", HOURS),
    "gaps": ("gaps", ""),
    "longest_gap": ("longest gap", HOURS),
    "mean": ("mean of a stay", UNIT),
    "minimum": ("minimum of a stay", UNIT),
    "maximum": ("maximum of a stay", UNIT),
    "sd": ("standard deviation within a stay", UNIT),
    "first": ("first value", UNIT),
    "last": ("last value", UNIT),
    "change": ("change from one charted value to the next", UNIT),
    "largest_change": ("largest change from one charted value to the next", UNIT),
    "repeats": ("values that repeat the one before", SHARE),
    "whole": ("values that are whole numbers", SHARE),
    "halves": ("values that are halves", SHARE),
    "tenths": ("values that are tenths", SHARE),
    "fives": ("values that are fives", SHARE),
    "tens": ("values that are tens", SHARE),
}


Reason = dict[str, Any]


def reasons(records: Mapping[str, Records], importance: Mapping[str, NDArray[np.float64]], manifest: Manifest) -> dict[str, list[Reason]]:
    """By synthetic set, at most `MOST` aspects of channels that give its records away, each with the summary of it that tells most.

    Summaries of an aspect go together (a whole number is a half, too), so that trees which have lost one take another: an aspect is
    shuffled as a whole. First come the aspects that the trees need, by how much they miss them; then those that they could spare because
    others tell the same, by what they tell alone. What is no larger than the largest of held-out real rows is left out.

    Args:
        importance: rise of the logarithmic loss of unseen rows, by role but `train`, [C, aspects].

    Returns:
        `channel`, `aspect`, `summary`, `importance`, `alone` (AUROC of the summary by itself, at least 0.5), the means of it over stays,
        `real` and `synthetic`, and `words`.
    """

    def every(role: str) -> list[Reason]:
        pairs = product(range(len(manifest.channels)), ASPECTS)
        return [_reason(records["train"], records[role], importance[role], manifest, c, aspect) for c, aspect in pairs]

    noise = every(FLOOR)
    needed, telling = (max(reason[key] for reason in noise) for key in ("importance", "alone"))
    found = {}
    for role in (role for role in importance if role != FLOOR):
        worth = [reason for reason in every(role) if reason["importance"] > needed or reason["alone"] > telling]
        found[role.removeprefix("synthetic/")] = sorted(worth, key=lambda r: (-max(r["importance"], needed), -r["alone"]))[:MOST]
    return found


def _reason(train: Records, other: Records, importance: NDArray[np.float64], manifest: Manifest, c: int, aspect: str) -> Reason:
    alone = {s: _alone(train.summaries[:, c, s], other.summaries[:, c, s]) for s in range(*PLACES[aspect].indices(len(SUMMARIES)))}
    s = max(alone, key=lambda summary: round(alone[summary], 2))  # of equals the first: whole numbers before halves
    real, synthetic = (_mean(rows.summaries[:, c, s]) for rows in (train, other))
    return {
        "channel": manifest.channel_names[c],
        "aspect": aspect,
        "summary": SUMMARIES[s],
        "importance": float(importance[c, list(ASPECTS).index(aspect)]),
        "alone": alone[s],
        "real": real,
        "synthetic": synthetic,
        "words": in_words(SUMMARIES[s], manifest, c, real, synthetic),
    }


def in_words(summary: str, manifest: Manifest, channel: int, real: float | None, synthetic: float | None) -> str:
    """For instance "hr: values that are whole numbers 0.3 % (real 86.6 %)"."""
    words, kind = WORDS[summary]
    hours = manifest.step_hours if kind == HOURS else 1.0
    unit = {HOURS: " h", UNIT: f" {manifest.channels[channel].unit}".rstrip()}.get(kind, "")

    def shown(number: float | None) -> str:
        if number is None:
            return "none"
        return f"{number:.1%}".replace("%", " %") if kind == SHARE else f"{number * hours:.3g}"

    return f"{manifest.channel_names[channel]}: {words} {shown(synthetic)} (real {shown(real)}{unit})"


def _alone(real: NDArray[np.float32], synthetic: NDArray[np.float32]) -> float:
    """AUROC of one summary, among the rows that have it; 0.5 where one of the sets has none."""
    score = np.concatenate([real, synthetic])
    known = np.isfinite(score)
    label = np.repeat([0, 1], [len(real), len(synthetic)])[known]
    if len(np.unique(label)) < 2:
        return 0.5
    area = float(auroc(label, score[known], np.ones((1, len(label)), np.float32))[0])
    return max(area, 1 - area)


def _mean(summary: NDArray[np.float32]) -> float | None:
    known = summary[np.isfinite(summary)]
    return float(known.mean(dtype=np.float64)) if len(known) else None
