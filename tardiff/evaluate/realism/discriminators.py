"""Discriminators: how well models tell the records of a set from real training rows, on patients that they have not seen."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from tardiff.base.noise import stream
from tardiff.classifier import networks as classifier
from tardiff.evaluate.bootstrap import Resamples
from tardiff.evaluate.cache import Arrays
from tardiff.evaluate.fidelity.distance import Distance, Distances
from tardiff.evaluate.fidelity.sample import Sample
from tardiff.evaluate.judges import BATCH, COST
from tardiff.evaluate.metrics import auroc
from tardiff.evaluate.pool import Fit
from tardiff.evaluate.realism.records import Records, RecordSets
from tardiff.evaluate.realism.summaries import ASPECTS, PLACES
from tardiff.evaluate.utility import fit_seeds
from tardiff.settings import ClassifierSettings, EvaluateSettings

FOLDS = 5
FITS = 3
ROUNDS = 100  # of boosting
Score = Callable[[NDArray[np.float32]], NDArray[np.float64]]
Fits = dict[str, dict[str, list[Fit]]]
"""By role (`held-out`, the floor, and `synthetic/NAME`), by discriminator, one a seed."""

SEES: dict[str, Callable[[Records], NDArray[np.float32]]] = {
    "trees": lambda rows: rows.summaries.reshape(len(rows.subject), -1),
    "gru": lambda rows: rows.series,
    "charting": lambda rows: rows.summaries[..., PLACES["charting"]].reshape(len(rows.subject), -1),
    "descriptors": lambda rows: rows.descriptors,
}
"""What each discriminator reads; all but the GRU are boosted trees."""


def fits(sets: RecordSets, settings: EvaluateSettings) -> Fits:
    """The discriminators of each set, and of held-out real rows, from real training rows; the GRU is one if it is among the judges."""
    train, seeds = sets.rows["train"], fit_seeds(settings)[:FITS]
    names = [name for name in SEES if name != "gru" or "gru" in settings.models]
    if train.descriptors.shape[1] == 1:  # the label alone
        names.remove("descriptors")

    def fit(name: str, role: str, seed: int) -> Fit:
        cost = COST["gru" if name == "gru" else "trees"] * 2 * FOLDS * len(train.subject)
        return Fit(cross_fitted, (name, role, seed), ("train", role), cost)

    roles = [role for role in sets.rows if role != "train"]
    return {role: {name: [fit(name, role, seed) for seed in seeds] for name in names} for role in roles}


def told_apart(
    by_role: Fits, done: Mapping[Fit, Arrays], samples: Mapping[str, Sample], settings: EvaluateSettings
) -> dict[str, Distances]:
    """AUROC of each discriminator on rows whose patients it has not seen; 0.5 is indistinguishable, 1 is told apart.

    Intervals are over patients and fits; the training rows are resampled alike for every set.

    Returns:
        `told_apart_NAME` by role.
    """
    result: dict[str, Distances] = {}
    for role, by_name in by_role.items():
        n = len(samples[role].split)
        label = np.repeat([0, 1], n)
        rows = np.concatenate([samples["train"].weights, samples[role].weights], axis=1)
        result[role] = {}
        for name, of_name in by_name.items():
            score = np.stack([done[fit]["score"] for fit in of_name])
            result[role][f"told_apart_{name}"] = Distance(Resamples(rows).by_fit(auroc, label, score), n, share=True)
    return result


def cross_fitted(sets: RecordSets, name: str, role: str, seed: int) -> Arrays:
    """The work of a `Fit`.

    Returns:
        `score`: probability of not being a training row, of the training rows and then the role's, each by the fold's model that
        learnt from no row of its patient, [2 n]; of `trees` also `importance`, how much the logarithmic loss of unseen rows rises when the
        summaries of a channel's aspect are shuffled between them, [C, aspects].
    """
    rows = [sets.rows["train"], sets.rows[role]]
    seen = np.concatenate([SEES[name](part) for part in rows])
    label = np.repeat([0, 1], [len(part.subject) for part in rows])
    random = stream(f"discriminators/{role}", seed)
    fold = np.concatenate([_folds(part.subject, random) for part in rows])
    score = np.zeros(len(label))
    importance = np.zeros((sets.rows["train"].summaries.shape[1], len(ASPECTS)))
    learn = _gru if name == "gru" else _trees
    for k in range(FOLDS):
        told, asked, stop = ~np.isin(fold, (k, (k + 1) % FOLDS)), fold == k, fold == (k + 1) % FOLDS
        predict = learn((seen[told], label[told]), (seen[stop], label[stop]), seed)
        score[asked] = predict(seen[asked])
        if name == "trees":
            importance += _importance(predict, seen[asked], label[asked], random) / FOLDS
    return {"score": score, "importance": importance} if name == "trees" else {"score": score}


def _folds(subject: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.intp]:
    """The fold of each row, [n]: equally many patients in each, all rows of a patient in one."""
    _, member = np.unique(subject, return_inverse=True)
    return (random.permutation(member.max() + 1) % FOLDS)[member]


Rows = tuple[NDArray[np.float32], NDArray[np.int64]]


def _trees(learn: Rows, stop_on: Rows, seed: int) -> Score:
    """Boosted trees of a fixed number; they learn from the rows to stop on, too, and from what is known of any of them."""
    seen, label = np.concatenate([learn[0], stop_on[0]]), np.concatenate([learn[1], stop_on[1]])
    known = ~np.isnan(seen).all(0)
    model = HistGradientBoostingClassifier(learning_rate=0.1, max_iter=ROUNDS, max_leaf_nodes=15, early_stopping=False, random_state=seed)
    model.fit(seen[:, known], label)
    return lambda rows: model.predict_proba(rows[:, known])[:, 1]


def _gru(learn: Rows, stop_on: Rows, seed: int) -> Score:
    (seen, label), stop = ((torch.tensor(seen), torch.tensor(label)) for seen, label in (learn, stop_on))
    settings = ClassifierSettings(architecture="gru", batch_size=BATCH, epochs=30, patience=4, seed=seed)
    network = classifier.fit(seen, label, stop, settings, 2).classifier
    return lambda rows: network.probability(torch.tensor(rows))[:, 1]


def _importance(predict: Score, seen: NDArray[np.float32], label: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.float64]:
    before = _log_loss(label, predict(seen))
    channels = seen.reshape(len(seen), -1, sum(map(len, ASPECTS.values())))
    rise = np.zeros((channels.shape[1], len(ASPECTS)))
    order = random.permutation(len(seen))
    for c in range(channels.shape[1]):
        shuffled = np.repeat(channels[None], len(ASPECTS), axis=0)  # trees are asked of all aspects at once
        for of_aspect, place in zip(shuffled, PLACES.values(), strict=True):
            of_aspect[:, c, place] = channels[order, c, place]
        rise[c] = _log_loss(label, predict(shuffled.reshape(-1, seen.shape[1])).reshape(len(ASPECTS), -1)) - before
    return rise


def _log_loss(label: NDArray[np.int64], score: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean logarithmic loss of probabilities [..., n] of the label 1."""
    chance: NDArray[np.float64] = np.where(label == 1, score, 1 - score).clip(min=np.finfo(np.float64).eps)
    return -np.log(chance).mean(axis=-1)
