"""Discriminative score: how well a model tells synthetic rows from real ones that it has not seen."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tardiff.base.noise import stream
from tardiff.evaluate.bootstrap import Resamples, estimate
from tardiff.evaluate.cache import Arrays
from tardiff.evaluate.metrics import auroc
from tardiff.evaluate.pool import Fit
from tardiff.evaluate.row_sets import Part, Parts, RowSets
from tardiff.evaluate.train_and_judge import judge_fit, judged
from tardiff.evaluate.utility import fit_seeds
from tardiff.settings import EvaluateSettings

DISCRIMINATORS = ("gru", "trees")
FITS = 3
SHARES = (0.6, 0.8)  # of the patients: where learning ends and stopping ends; the rest is judged

Discriminators = dict[str, dict[str, list[Fit]]]
"""By role (`held-out`, the floor, and `synthetic/NAME`), by model, one a seed."""


def fits(sets: RowSets, settings: EvaluateSettings) -> Discriminators:
    """Discriminators of each synthetic set, and of the held-out real rows, from the real training rows."""
    models, seeds = [model for model in DISCRIMINATORS if model in settings.models], fit_seeds(settings)[:FITS]

    def of(role: str) -> dict[str, list[Fit]]:
        learn, stop_on, test, _ = parts(sets, role, settings.seed)
        return {model: [judge_fit(model, learn, stop_on, {"test": test}, seed, sets) for seed in seeds] for model in models}

    return {role: of(role) for role in ("held-out", *sets.synthetic.values())}


def discriminative(
    sets: RowSets, by_role: Discriminators, done: Mapping[Fit, Arrays], settings: EvaluateSettings
) -> dict[str, dict[str, Any]]:
    """AUROC of each discriminator on patients of both kinds that it has not seen; 0.5 is indistinguishable, 1 is told apart.

    TimeGAN's discriminative score (Yoon et al., NeurIPS 2019) is an accuracy less 0.5; AUROC needs no threshold. Intervals are
    over judged patients and fits.

    Returns:
        `discriminative_MODEL` by role.
    """
    seeds = len(fit_seeds(settings)[:FITS])
    result: dict[str, dict[str, Any]] = {}
    for role, by_model in by_role.items():
        _, _, test, subject = parts(sets, role, settings.seed)
        label = sets.take(test).label
        resamples = Resamples.draw(subject, seeds, settings.bootstrap, stream(f"discriminative/{role}", settings.seed))
        result[role] = {}
        for model, of_model in by_model.items():
            draws = judged(label, np.stack([done[fit]["test"] for fit in of_model]), resamples, {"auroc": auroc})["auroc"]
            result[role][f"discriminative_{model}"] = estimate(draws, len(label), seeds)
    return result


def parts(sets: RowSets, role: str, seed: int) -> tuple[Parts, Parts, Parts, NDArray[np.int64]]:
    """Rows to learn from, to stop on and to judge, as many real (0) as others (1), and the patients of the last; none is in two."""
    random = stream(f"discriminative rows/{role}", seed)
    size = min(len(sets.rows["train"]), len(sets.rows[role]))
    pieces: list[list[Part]] = [[], [], []]
    patients = []
    for label, name in enumerate(("train", role)):
        chosen = np.sort(random.permutation(len(sets.rows[name]))[:size])
        _, member = np.unique(sets.subject[name][chosen], return_inverse=True)
        place = random.permutation(member.max() + 1)[member] / (member.max() + 1)
        stage = np.searchsorted(SHARES, place, side="right")
        for number, piece in enumerate(pieces):
            piece.append(Part.of(name, chosen[stage == number], label))
        patients.append(2 * member[stage == 2] + label)
    learn, stop_on, test = map(tuple, pieces)
    return learn, stop_on, test, np.concatenate(patients)
