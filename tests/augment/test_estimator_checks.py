"""imbalanced-learn's and scikit-learn's own checks, on records of one step, for those checks know tables only.

Left out, each for its reason:

* check_target_type: it wants targets with several labels refused; here each combination is a class.
* check_samplers_sparse, _pandas, _pandas_sparse, _string, check_dataframe_column_names_consistency,
  check_sampler_get_feature_names_out_pandas: they hand in tables [n, features]; records have a time axis, and long tables another
  layout.
* check_samplers_sample_indices: it reads a tag that only imbalanced-learn's own base class has, which is an extra here; what it asserts
  stands in `test_over_sampling_is_all_that_it_does`.
* check_param_validation: scikit-learn's private validation of parameters; ours raises one line that names the parameter.
* scikit-learn's common checks of data: `check_estimator` itself skips estimators whose tag says that X has three axes.
"""

from collections import OrderedDict

import numpy as np
import pytest
from imblearn.utils import estimator_checks as imb
from sklearn.exceptions import SkipTestWarning
from sklearn.utils import estimator_checks as skl

from tardiff.augment import TarDiffSampler
from tardiff.settings import GuidanceSettings
from tests.augment.toys import FAST


class OfOneStep(TarDiffSampler):
    """[n, features] as [n, features, 1], and back."""

    def fit(self, X, y):
        return super().fit(self._records(X), y)

    def fit_resample(self, X, y):
        X2, y2 = super().fit_resample(self._records(X), y)
        return ([[v for (v,) in row] for row in X2] if isinstance(X2, list) else X2[:, :, 0]), y2

    @staticmethod
    def _records(X):
        return [[[v] for v in row] for row in X] if isinstance(X, list) else np.asarray(X)[:, :, None]


def checked():
    return OfOneStep(**FAST, guidance=GuidanceSettings(guidance="none"))


IMBLEARN = [
    imb.check_samplers_one_label,
    imb.check_samplers_fit,
    imb.check_samplers_fit_resample,
    imb.check_samplers_sampling_strategy_fit_resample,
    imb.check_samplers_nan,
    imb.check_samplers_list,
    imb.check_samplers_multiclass_ova,
    imb.check_samplers_preserve_dtype,
    imb.check_samplers_2d_target,
    imb.check_sampler_get_feature_names_out,
]
SKLEARN = [
    skl.check_no_attributes_set_in_init,
    skl.check_parameters_default_constructible,
    skl.check_get_params_invariance,
    skl.check_set_params,
    skl.check_estimator_cloneable,
    skl.check_estimator_repr,
    skl.check_estimator_tags_renamed,
    skl.check_valid_tag_types,
]


@pytest.mark.parametrize("check", IMBLEARN, ids=lambda c: c.__name__)
def test_imbalanced_learns_checks(check):
    check("TarDiffSampler", checked())


@pytest.mark.parametrize("check", SKLEARN, ids=lambda c: c.__name__)
def test_scikit_learns_checks_of_parameters(check):
    check("TarDiffSampler", TarDiffSampler())


def test_a_continuous_target_is_refused_as_in_imbalanced_learn():
    """The first half of check_target_type."""
    with pytest.raises(ValueError, match="Unknown label type"):
        checked().fit_resample(np.random.default_rng(0).random((20, 2)), np.linspace(0, 1, 20))


def test_over_sampling_is_all_that_it_does():
    X, y = np.random.default_rng(0).random((40, 2)), np.repeat([0, 1, 2], [20, 12, 8])
    tool = checked()
    _, y2 = tool.fit_resample(X, y)
    assert tool.sampling_strategy_ == OrderedDict([(1, 8), (2, 12)])
    assert np.bincount(y2).tolist() == [20, 20, 20]
    assert not hasattr(tool, "sample_indices_")  # rows are made, not chosen


def test_everything_that_scikit_learn_would_check():
    """`check_estimator` leaves out what needs tables, with a warning, and runs the rest."""
    with pytest.warns(SkipTestWarning, match="three_d_array=True"):
        checks = list(skl.estimator_checks_generator(TarDiffSampler()))
    assert checks
    for estimator, check in checks:
        check(estimator)
