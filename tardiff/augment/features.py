"""Records as the seven numbers a channel that trees and regressions read, for scikit-learn pipelines."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from tardiff.augment.records import checked_array
from tardiff.data.summaries import NAMES, summary
from tardiff.errors import InputError


class RecordSummary(TransformerMixin, BaseEstimator):
    """[n, C, T] with NaN for missing to [n, 7 C] without.

    Gaps are filled by the package's one rule: the last observed value, before the first one the channel's median in the rows of
    `fit`. The columns are those of `summaries.summary`, in the units of the values.
    """

    def fit(self, X: Any, y: Any = None) -> "RecordSummary":
        """Remember each channel's median; a channel that is never observed has 0.

        Raises:
            InputError: X is not [n, channels, time].
        """
        array = checked_array(X)
        observed = [values[np.isfinite(values)] for values in np.moveaxis(array, 1, 0)]
        self.normal_ = np.array([float(np.median(values)) if len(values) else 0.0 for values in observed])
        return self

    def transform(self, X: Any) -> NDArray[np.float64]:
        """Summaries of records with the channels that were fitted.

        Raises:
            InputError: X has another number of channels.
        """
        check_is_fitted(self)
        array = checked_array(X).astype(np.float64)
        if array.shape[1] != len(self.normal_):
            raise InputError(f"X: has {array.shape[1]} channels, RecordSummary was fitted on {len(self.normal_)}")
        known = np.isfinite(array)
        last = np.maximum.accumulate(np.where(known, np.arange(array.shape[2]), -1), axis=2)
        filled = np.where(last >= 0, np.take_along_axis(array, np.maximum(last, 0), axis=2), self.normal_[:, None])
        return summary(torch.from_numpy(filled), torch.from_numpy(known.mean(2))).numpy()

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """`mean of channel 0` and so on; `input_features` names the channels.

        Raises:
            InputError: there are not as many names as channels.
        """
        check_is_fitted(self)
        if input_features is not None and len(input_features) != len(self.normal_):
            raise InputError(f"input_features: {len(input_features)} names for {len(self.normal_)} channels")
        channels = [f"channel {c}" for c in range(len(self.normal_))] if input_features is None else list(input_features)
        return np.array([f"{name} of {channel}" for name in NAMES for channel in channels], dtype=object)
