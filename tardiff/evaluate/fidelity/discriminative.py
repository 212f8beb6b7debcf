"""Discriminative score: how well a model tells synthetic rows from real ones that it has not seen."""

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tardiff.base.noise import stream
from tardiff.evaluate.bootstrap import Resamples, estimate
from tardiff.evaluate.cache import Arrays
from tardiff.evaluate.judges import Rows, fit_predict
from tardiff.evaluate.metrics import auroc, positive_score
from tardiff.evaluate.pool import COST, Fit
from tardiff.evaluate.row_sets import Bench
from tardiff.evaluate.utility import fit_seeds
from tardiff.settings import EvaluateSettings

DISCRIMINATORS = ("gru", "trees")
FITS = 3
SHARES = (0.6, 0.8)  # of the patients: where learning ends and stopping ends; the rest is judged


def fits(bench: Bench, settings: EvaluateSettings) -> list[Fit]:
    """Discriminators of each synthetic set, and of the held-out real rows (the floor), from the real training rows."""
    asked = product(_roles(bench), _models(settings), _seeds(settings))
    return [_fit_of(role, model, seed, bench, settings) for role, model, seed in asked]


def discriminative(bench: Bench, done: Mapping[Fit, Arrays], settings: EvaluateSettings) -> dict[str, dict[str, Any]]:
    """AUROC of each discriminator on patients of both kinds that it has not seen; 0.5 is indistinguishable, 1 is told apart.

    TimeGAN's discriminative score (Yoon et al., NeurIPS 2019) is an accuracy less 0.5; AUROC needs no threshold. Intervals are
    over judged patients and fits.

    Returns:
        `discriminative_MODEL` by role (`held-out`, `synthetic/NAME`).
    """
    seeds = _seeds(settings)
    result: dict[str, dict[str, Any]] = {}
    for role in _roles(bench):
        _, _, judged, subject = parts(bench, role, settings.seed)
        resamples = Resamples.draw(subject, len(seeds), settings.bootstrap, stream(f"discriminative/{role}", settings.seed))
        result[role] = {}
        for model in _models(settings):
            score = np.stack([done[_fit_of(role, model, seed, bench, settings)]["score"] for seed in seeds])
            draws = resamples.mean_over_fits(auroc, judged.label, score)
            result[role][f"discriminative_{model}"] = estimate(draws, len(judged), len(seeds))
    return result


def parts(bench: Bench, role: str, seed: int) -> tuple[Rows, Rows, Rows, NDArray[np.int64]]:
    """Rows to learn from, to stop on and to judge, as many real (0) as others (1), and the patients of the last; none is in two."""
    random = stream(f"discriminative rows/{role}", seed)
    size = min(len(bench.train), len(bench.rows[role]))
    pieces: list[list[Rows]] = [[], [], []]
    patients = []
    for label, name in enumerate(("train", role)):
        chosen = np.sort(random.permutation(len(bench.rows[name]))[:size])
        _, member = np.unique(bench.subject[name][chosen], return_inverse=True)
        place = random.permutation(member.max() + 1)[member] / (member.max() + 1)
        stage = np.searchsorted(SHARES, place, side="right")
        for number, piece in enumerate(pieces):
            piece.append(bench.rows[name].take(chosen[stage == number]).labelled(label))
        patients.append(2 * member[stage == 2] + label)
    learn, stop, judge = (real.join(other) for real, other in pieces)
    return learn, stop, judge, np.concatenate(patients)


def _roles(bench: Bench) -> tuple[str, ...]:
    return ("held-out", *(f"synthetic/{name}" for name in bench.names))


def _models(settings: EvaluateSettings) -> list[str]:
    return [model for model in DISCRIMINATORS if model in settings.models]


def _seeds(settings: EvaluateSettings) -> list[int]:
    return fit_seeds(settings)[:FITS]


def _fit_of(role: str, model: str, seed: int, bench: Bench, settings: EvaluateSettings) -> Fit:
    cost = COST[model] * 2 * SHARES[0] * min(len(bench.train), len(bench.rows[role]))
    return Fit(_fit, (role, model, seed, settings.seed), ("train", role), cost)


def _fit(bench: Bench, role: str, model: str, seed: int, rows_seed: int) -> Arrays:
    learn, stop, judge, _ = parts(bench, role, rows_seed)
    return {"score": positive_score(fit_predict(model, learn, stop, judge, seed))}
