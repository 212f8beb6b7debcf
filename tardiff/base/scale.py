"""In which unit numbers are standardised."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def scale_of(values: NDArray[Any]) -> NDArray[Any]:
    """Standard deviation over the rows; 1 where all of them are equal, or there is none, so that whatever else varies there keeps its unit.

    Rounding leaves equal numbers a deviation of some 1e-16, by which nothing must be divided.

    Args:
        values: [N, ...].
    """
    if not len(values):
        return np.ones(values.shape[1:], values.dtype)
    return np.where(np.ptp(values, axis=0) > 0, values.std(0), np.ones((), values.dtype))
