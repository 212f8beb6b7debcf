"""Membership by a classifier that shadows the generator's own: synthetic rows against real ones (LOGAN, arXiv 1705.07663)."""

import numpy as np

from tardiff.data.dataset import Split
from tardiff.evaluate.privacy.knowledge import Knowledge, forest
from tardiff.evaluate.privacy.trial import Score, Trial


def shadow_classifier(trial: Trial, synthetic: Split, knowledge: Knowledge) -> Score:
    """Probability that each row is synthetic, by a forest that learnt synthetic rows against the reference.

    LOGAN's black box trains a discriminator on samples, for a discriminator that has seen the training rows takes them for
    real more surely than others. Here the two classes are synthetic rows and reference rows: a row that looks more like what
    the generator makes than like any patient is taken for one that it learnt.
    """
    fake, real = knowledge.features(synthetic), knowledge.features(trial.reference)
    is_fake = np.repeat([1, 0], [len(fake), len(real)])
    model = forest(trial.seed).fit(np.concatenate([fake, real]), is_fake)
    return model.predict_proba(knowledge.features(trial.rows))[:, 1]
