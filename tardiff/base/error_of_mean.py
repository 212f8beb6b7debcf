"""The mean over patients, and how sure it is."""

import numpy as np
from numpy.typing import NDArray


def mean_by_group(value: NDArray[np.floating], group: NDArray[np.integer]) -> tuple[float, float]:
    """Mean over groups (a patient's rows) of the means of their values [n], and its standard error, without end if there is one group."""
    _, member, count = np.unique(group, return_inverse=True, return_counts=True)
    means = np.bincount(member, value) / count
    return float(means.mean()), float(means.std(ddof=1) / len(means) ** 0.5) if len(means) > 1 else float("inf")
