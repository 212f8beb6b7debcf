"""Records in which nothing is observed survive the way out and in."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tardiff.data.dataset import Dataset
from tardiff.evaluate.readers import read_synthetic

from ..conftest import make_dataset

LIKE = make_dataset(40)


@settings(max_examples=10, deadline=None)
@given(empty=st.sets(st.integers(0, len(LIKE.train) - 1), max_size=len(LIKE.train) - 1), ending=st.sampled_from([".csv", ".parquet"]))
def test_empty_records_come_back(empty: set[int], ending: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    train, gone = LIKE.train, np.isin(np.arange(len(LIKE.train)), sorted(empty))
    values = np.where(gone[:, None, None], np.float32(np.nan), train.values)
    mask = np.where(gone[:, None, None], 0, train.mask).astype(np.uint8)
    static = np.where(gone[:, None], np.float32(np.nan), train.static)
    dataset = Dataset(LIKE.manifest, {"train": replace(train, values=values, mask=mask, static=static)})
    path = tmp_path_factory.mktemp("export") / f"table{ending}"
    dataset.export(path)
    back, order = read_synthetic(path, LIKE).train, np.argsort(train.stay_id)
    np.testing.assert_array_equal(back.stay_id, train.stay_id[order])
    np.testing.assert_array_equal(back.label, train.label[order])
    np.testing.assert_array_equal(back.values, values[order])
    np.testing.assert_array_equal(back.static, static[order])
