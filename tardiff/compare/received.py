"""A classifier that another site sends: as it is, recalibrated or fine-tuned on local rows."""

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import msgspec
import torch

from tardiff.base.checkpoint import weights_hash
from tardiff.classifier.folder import ClassifierFolder
from tardiff.classifier.networks import Classifier, fit
from tardiff.evaluate.cache import Arrays
from tardiff.evaluate.calibration import platt
from tardiff.evaluate.judges import Rows
from tardiff.evaluate.pool import Fit
from tardiff.evaluate.row_sets import Parts, RowSets
from tardiff.settings import ClassifierSettings

EPOCHS = 20
"""Passes over the local rows in fine-tuning: a fixed schedule, as judges have; how far it goes the learning rate says."""
RATES = (1e-4, 3e-3)
"""Ends of the learning rates that are tried, evenly on a logarithmic scale."""
COST = 30.0
"""As of `judges.COST`."""


@dataclass(frozen=True)
class Tuning:
    """What is done to a received classifier: nothing; a line on its log-odds (Platt); or training goes on."""

    how: Literal["as-is", "recalibrated", "fine-tuned"]
    learning_rate: float = 0.0
    head_only: bool = False


def received_fit(folder: Path, learn: Parts, ask: dict[str, Parts], seed: int, sets: RowSets, tuning: Tuning) -> Fit:
    """Ask a received classifier about rows: the probability of class 1 of each of them, [n] by name.

    Args:
        folder: the classifier's, whose codec the rows were encoded with.
        learn: local rows; none for `as-is`.
        tuning: what is done to it first.
    """
    roles = dict.fromkeys(part.role for parts in (learn, *ask.values()) for part in parts)
    weights = weights_hash(ClassifierFolder.load(folder).classifier)
    told = (str(folder), weights, learn, tuple(ask.items()), seed, tuning)
    return Fit(_tune_and_ask, told, tuple(roles), COST * sets.count(learn))


def _tune_and_ask(
    sets: RowSets, folder: str, weights: str, learn: Parts, ask: tuple[tuple[str, Parts], ...], seed: int, tuning: Tuning
) -> Arrays:
    received = ClassifierFolder.load(folder)
    classifier = fine_tuned(received, sets.take(learn), seed, tuning) if tuning.how == "fine-tuned" else received.classifier
    score = {name: classifier.probability(torch.tensor(sets.take(parts).seen))[:, 1] for name, parts in ask}
    if tuning.how != "recalibrated":
        return score
    local = sets.take(learn)
    known = classifier.probability(torch.tensor(local.seen))[:, 1]
    return {name: platt(local.label, known, asked) for name, asked in score.items()}


def fine_tuned(received: ClassifierFolder, local: Rows, seed: int, tuning: Tuning) -> Classifier:
    """A copy of the classifier whose training has gone on with local rows."""
    classifier = copy.deepcopy(received.classifier)
    if tuning.head_only:
        classifier.requires_grad_(False)
        classifier.head.requires_grad_(True)
    usual = msgspec.convert(received.card.settings, ClassifierSettings)
    settings = replace(usual, learning_rate=tuning.learning_rate, epochs=EPOCHS, seed=seed)
    classes = len(received.card.task.classes)
    return fit(torch.tensor(local.seen), torch.tensor(local.label), None, settings, classes, classifier=classifier).classifier
