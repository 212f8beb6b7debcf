"""Membership by local overfitting: where synthetic rows are denser than patients are (DOMIAS, arXiv 2302.12580)."""

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tardiff.data.dataset import Split
from tardiff.evaluate.privacy.knowledge import Knowledge
from tardiff.evaluate.privacy.trial import Score, Trial

DIMENSIONS = 16


def density_ratio(trial: Trial, synthetic: Split, knowledge: Knowledge) -> Score:
    """log p_synthetic(x) - log p_reference(x) of each row.

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
