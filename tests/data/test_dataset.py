import json

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file

from tardiff.data.dataset import DTYPES, Dataset, Split
from tardiff.errors import TardiffError
from tests.conftest import make_dataset


def replaced(dataset: Dataset, split: str = "train", **arrays) -> Dataset:
    changed = Split(**{**dataset.splits[split].arrays(), **arrays})
    return Dataset(dataset.manifest, {**dataset.splits, split: changed})


def test_round_trip_is_exact(toy):
    _, loaded = toy
    original = make_dataset()
    for name, split in original.splits.items():
        for key, array in split.arrays().items():
            np.testing.assert_array_equal(array, loaded.splits[name].arrays()[key])
    assert loaded.manifest.splits["train"].rows == 240
    assert sum(loaded.manifest.splits["train"].classes) == 240


def test_two_saves_are_byte_identical(tmp_path):
    make_dataset().save(tmp_path / "a")
    make_dataset().save(tmp_path / "b")
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


def test_manifest_holds_no_path(toy):
    path, _ = toy
    assert str(path.parent) not in (path / "manifest.json").read_text()


BROKEN = {
    "label outside": ({"label": np.full(240, 2)}, "label"),
    "float64 values": ({"values": np.zeros((240, 4, 10))}, "values: dtype float64"),
    "wrong shape": ({"mask": np.zeros((240, 4, 9), np.uint8)}, "mask: shape"),
    "mask of twos": ({"mask": np.full((240, 4, 10), 2, np.uint8)}, "mask: holds 2"),
    "NaN observed": ({"mask": np.ones((240, 4, 10), np.uint8)}, "row 0, channel"),
    "length 0": ({"length": np.zeros(240, np.int32)}, "length"),
    "short row with late values": ({"length": np.full(240, 3, np.int32)}, "beyond a row's length"),
    "a window that ends before the stay": ({"origin_minute": np.zeros(240, np.int64)}, "origin_minute"),
    "infinite static": ({"static": np.full((240, 2), np.inf, np.float32)}, "static: row 0"),
    "no such category": ({"static": np.full((240, 2), 2.0, np.float32)}, "static: sex must be 0..1"),
    "one class only": ({"label": np.zeros(240, np.int64)}, "class 'died'"),
    "a shared patient": ({"subject_id": np.arange(2100, 2340)}, "one patient"),
    "nothing observed": (
        {"mask": np.zeros((240, 4, 10), np.uint8), "values": np.full((240, 4, 10), np.nan, np.float32)},
        "nothing is observed",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_data_are_refused_and_nothing_is_left(case, tmp_path):
    arrays, message = BROKEN[case]
    with pytest.raises(TardiffError, match=message):
        replaced(make_dataset(), **arrays).save(tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


def test_empty_training_split_is_refused(tmp_path):
    dataset = make_dataset()
    empty = dataset.train.take(np.arange(0))
    with pytest.raises(TardiffError, match="training split is empty"):
        Dataset(dataset.manifest, {**dataset.splits, "train": empty}).save(tmp_path / "data")


def test_existing_folder_is_never_overwritten(toy):
    with pytest.raises(TardiffError, match="exists already"):
        make_dataset().save(toy[0])


def copied(toy, tmp_path):
    make_dataset().save(tmp_path / "data")
    return tmp_path / "data"


def edit_manifest(path, **changes):
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps({**manifest, **changes}))


def test_changed_arrays_are_noticed(toy, tmp_path):
    path = copied(toy, tmp_path)
    arrays = load_file(path / "test.safetensors")
    arrays["static"][0, 0] += 1
    save_file(arrays, path / "test.safetensors")
    with pytest.raises(TardiffError, match="content_hash"):
        Dataset.load(path)


def test_truncated_split_is_named(toy, tmp_path):
    path = copied(toy, tmp_path)
    content = (path / "train.safetensors").read_bytes()
    (path / "train.safetensors").write_bytes(content[:-100])
    with pytest.raises(TardiffError, match=r"train\.safetensors: damaged"):
        Dataset.load(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": "ten"}, r"\$\.steps"),
        ({"colour": 1}, "colour"),
        ({"schema": 99}, "schema 99"),
        ({"orderings": [["dbp", "mean"]]}, "unknown channel 'mean'"),
        ({"splits": {"holdout": {"rows": 1, "classes": [1, 0]}}}, "unknown split"),
    ],
)
def test_bad_manifest_field_is_named(toy, tmp_path, changes, message):
    path = copied(toy, tmp_path)
    edit_manifest(path, **changes)
    with pytest.raises(TardiffError, match=message):
        Dataset.load(path)


@pytest.mark.parametrize("name", ["values.csv", "values.csv.gz", "values.parquet"])
def test_export_holds_every_observed_value_once(toy, tmp_path, name):
    _, dataset = toy
    rows = dataset.export(tmp_path / name)
    frame = pd.read_parquet(tmp_path / name) if name.endswith("parquet") else pd.read_csv(tmp_path / name)
    known = sum(int(np.isfinite(split.static).sum()) for split in dataset.splits.values())
    assert rows == len(frame) == known + sum(int(split.mask.sum()) for split in dataset.splits.values())
    assert frame.hour.isna().sum() == known
    assert set(frame[frame.hour.isna()].variable) == {"age", "sex"}
    one = frame[(frame.split == "test") & (frame.stay_id == dataset.splits["test"].stay_id[3]) & (frame.variable == "sbp")]
    values = dataset.splits["test"].values[3, 2]
    np.testing.assert_allclose(one.value, values[np.isfinite(values)], rtol=1e-5)


def test_export_refuses_other_names(toy, tmp_path):
    with pytest.raises(TardiffError, match=r"must end in \.csv"):
        toy[1].export(tmp_path / "values.xlsx")


def test_arrays_have_their_types(toy):
    for name, array in toy[1].train.arrays().items():
        assert array.dtype == DTYPES[name]
