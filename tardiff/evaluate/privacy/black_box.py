"""Membership by synthetic rows alone, no model of them: three attacks with one signature."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tardiff.data.dataset import Split
from tardiff.evaluate.privacy.closest import closest
from tardiff.evaluate.privacy.knowledge import Knowledge, forest
from tardiff.evaluate.privacy.trial import Score, Trial

DIMENSIONS = 16


def nearest_neighbour(trial: Trial, synthetic: Split, knowledge: Knowledge) -> Score:
    """Minus the distance of each row to its closest synthetic row, Euclidean in model space.

    GAN-Leaks, arXiv 1909.03935, full black box.
    """
    return -closest(knowledge.flat(trial.rows), knowledge.flat(synthetic))


def density_ratio(trial: Trial, synthetic: Split, knowledge: Knowledge) -> Score:
    """log p_synthetic(x) - log p_reference(x) of each row: where synthetic rows are denser than patients are (DOMIAS, arXiv 2302.12580).

    Both are Gaussian kernel densities in the whitened first principal components of the features, which are fitted on the
    reference rows, with Scott's bandwidth for their number.
    """
    reference = knowledge.features(trial.reference)
    dimensions = max(1, min(DIMENSIONS, len(reference) - 1, reference.shape[1]))
    space = make_pipeline(StandardScaler(), PCA(dimensions, whiten=True, svd_solver="full")).fit(reference)
    bandwidth = len(reference) ** (-1 / (dimensions + 4))
    rows = space.transform(knowledge.features(trial.rows))

    def log_density(points: NDArray[np.float64]) -> Score:
        return KernelDensity(bandwidth=bandwidth).fit(space.transform(points)).score_samples(rows)

    return log_density(knowledge.features(synthetic)) - log_density(reference)


def shadow_classifier(trial: Trial, synthetic: Split, knowledge: Knowledge) -> Score:
    """Probability that each row is synthetic, by a forest that learnt synthetic rows against the reference (LOGAN, arXiv 1705.07663).

    LOGAN's black box trains a discriminator on samples, for a discriminator that has seen the training rows takes them for
    real more surely than others. Here the two classes are synthetic rows and reference rows: a row that looks more like what
    the generator makes than like any patient is taken for one that it learnt.
    """
    fake, real = knowledge.features(synthetic), knowledge.features(trial.reference)
    is_fake = np.repeat([1, 0], [len(fake), len(real)])
    model = forest(trial.seed).fit(np.concatenate([fake, real]), is_fake)
    return model.predict_proba(knowledge.features(trial.rows))[:, 1]


BLACK_BOX: dict[str, Callable[[Trial, Split, Knowledge], Score]] = {
    "nearest neighbour": nearest_neighbour,
    "density ratio": density_ratio,
    "shadow classifier": shadow_classifier,
}
