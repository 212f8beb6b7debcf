import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tardiff.base.scale import scale_of


@given(st.floats(-1e6, 1e6, width=32), st.integers(0, 500), st.sampled_from([np.float32, np.float64]))
def test_equal_numbers_have_no_scale_however_they_round(value, count, kind):
    rows = np.full((count, 2), value, kind)
    np.testing.assert_array_equal(scale_of(rows), np.ones(2, kind))
    assert scale_of(rows).dtype == kind


def test_others_have_their_standard_deviation():
    rows = np.array([[0.0, 5.0], [2.0, 5.0], [4.0, 5.0]])
    np.testing.assert_allclose(scale_of(rows), [np.sqrt(8 / 3), 1])
    assert scale_of(rows[:, 0]) == pytest.approx(np.sqrt(8 / 3))


def test_rounding_would_have_been_divided_by():
    """What the function is for: NumPy's deviation of these equal numbers is not 0."""
    assert np.full(3140, 1.5537).std() > 0
