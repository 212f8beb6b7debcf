"""Records in which nothing is observed survive the way out and in."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep import PrepareSettings, prepare
from tardiff.data.dataset import Dataset, Split
from tardiff.data.meds import export_meds
from tardiff.evaluate.readers import read_synthetic

from ..conftest import STEPS, make_dataset

LIKE = make_dataset(40)


@settings(max_examples=10)
@given(empty=st.sets(st.integers(0, len(LIKE.train) - 1), max_size=len(LIKE.train) - 1), ending=st.sampled_from([".csv", ".parquet"]))
def test_empty_records_come_back(empty: set[int], ending: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    train = emptied(LIKE.train, empty)
    path = tmp_path_factory.mktemp("export") / f"table{ending}"
    Dataset(LIKE.manifest, {"train": train}).export(path)
    back, order = read_synthetic(path, LIKE).train, np.argsort(train.stay_id)
    for name in ("stay_id", "label", "values", "static"):
        np.testing.assert_array_equal(back.arrays()[name], train.arrays()[name][order])


@settings(max_examples=5)
@given(empty=st.sets(st.integers(0, len(LIKE.train) - 1), max_size=len(LIKE.train) - 1))
def test_empty_records_come_back_from_meds(empty: set[int], tmp_path_factory: pytest.TempPathFactory) -> None:
    dataset = Dataset(LIKE.manifest, {**LIKE.splits, "train": emptied(LIKE.train, empty)}).completed()
    folder = tmp_path_factory.mktemp("meds")
    export_meds(dataset, folder / "meds")
    again = prepare(
        PrepareSettings("meds", folder / "back", folder / "meds", task="given", split="publisher", variables="all", hours=STEPS)
    )
    for name, split in dataset.splits.items():
        order, back = np.argsort(split.stay_id), again.splits[name]
        there = np.argsort(back.stay_id)
        for key, array in split.arrays().items():
            np.testing.assert_array_equal(back.arrays()[key][there], array[order], err_msg=f"{name}.{key}")


def emptied(split: Split, rows: set[int]) -> Split:
    """The rows, of which nothing is known of some."""
    gone = np.isin(np.arange(len(split)), sorted(rows))
    return replace(
        split,
        values=np.where(gone[:, None, None], np.float32(np.nan), split.values),
        mask=np.where(gone[:, None, None], 0, split.mask).astype(np.uint8),
        static=np.where(gone[:, None], np.float32(np.nan), split.static),
    )
