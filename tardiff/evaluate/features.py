"""Summary features of a record: what the trees and the logistic regression read."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tardiff.data.summaries import SUMMARIES, summary


def summary_features(seen: Tensor) -> NDArray[np.float64]:
    """Seven numbers a channel, from the forward-filled record.

    Args:
        seen: records as `Codec.encode` gives them, [N, 2 C, T]: filled normal scores, then the mask.

    Returns:
        [N, 7 C], as `summaries.summary` orders them.
    """
    value, mask = seen.double().chunk(2, dim=1)
    return summary(value, mask.mean(-1)).numpy()


def observed_shares(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """The last block of `summary_features`, [N, C]: all that is left of a record when only its mask is known."""
    return features[:, -(features.shape[1] // SUMMARIES) :]
