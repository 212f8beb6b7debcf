"""What comes in goes out in the same form: lists, arrays of any type, masked arrays, Series, DataFrames, categories."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def joined_records(given: Any, synthetic: NDArray[np.floating]) -> Any:
    """The records as they came, then synthetic ones of the same type.

    Args:
        given: nested lists, an array or a masked array, [n, channels, time].
        synthetic: [m, channels, time]; NaN is missing.
    """
    if isinstance(given, np.ma.MaskedArray):
        missing = np.isnan(synthetic)
        made = np.ma.masked_array(as_type(np.where(missing, 0, synthetic), given.dtype), missing)
        result = np.ma.concatenate([given, made])
        result.fill_value = given.fill_value
        return result
    array = np.asarray(given)
    result = np.concatenate([array, as_type(synthetic, array.dtype)])
    return result.tolist() if isinstance(given, (list, tuple)) else result


def as_type(values: NDArray[np.floating], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Numbers in another type, rounded where it holds whole numbers only."""
    return (np.rint(values) if dtype.kind in "iub" else values).astype(dtype)


def joined_targets(given: Any, synthetic: NDArray[Any], index: pd.Index | None = None) -> Any:
    """The targets as they came, then synthetic ones of the same type.

    Args:
        given: list, array, Series or DataFrame, [n] or [n, K].
        synthetic: [m] or [m, K].
        index: of all of them; None counts from 0.
    """
    if isinstance(given, (pd.Series, pd.DataFrame)):
        one = isinstance(given, pd.Series)
        made = pd.Series(synthetic, name=given.name) if one else pd.DataFrame(synthetic, columns=given.columns)
        both = pd.concat([given, made.astype(given.dtypes)], ignore_index=True)
        return both if index is None else both.set_axis(index)
    if isinstance(given, pd.Categorical):
        return pd.Categorical([*given, *synthetic], dtype=given.dtype)
    array = np.asanyarray(given)
    join = np.ma.concatenate if isinstance(given, np.ma.MaskedArray) else np.concatenate
    result = join([array if array.ndim == synthetic.ndim else array.ravel(), synthetic])  # a column is as good as a row
    return result.tolist() if isinstance(given, (list, tuple)) else result
