"""Membership by the distance to the closest synthetic row (GAN-Leaks, arXiv 1909.03935, full black box)."""

from tardiff.data.dataset import Split
from tardiff.evaluate.privacy.closest import closest
from tardiff.evaluate.privacy.knowledge import Knowledge
from tardiff.evaluate.privacy.trial import Score, Trial


def nearest_neighbour(trial: Trial, synthetic: Split, knowledge: Knowledge) -> Score:
    """Minus the distance of each row to its closest synthetic row, Euclidean in model space."""
    return -closest(knowledge.flat(trial.rows), knowledge.flat(synthetic))
