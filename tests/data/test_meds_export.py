"""A dataset folder as MEDS: valid by MEDS's own schema, and nothing is lost on the way."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tardiff import cli
from tardiff.data.dataset import Dataset
from tardiff.data.meds import SPLITS, export_meds
from tardiff.errors import TardiffError

SHARDS = [f"data/{split}/0.parquet" for split in SPLITS.values()]


@pytest.fixture(scope="module")
def exported(toy, tmp_path_factory):
    """The toy data set as a MEDS folder, made from the command line."""
    folder = tmp_path_factory.mktemp("meds") / "out"
    cli.main(["export", str(toy[0]), "--format", "meds", "--out", str(folder)])
    return folder


def test_the_files_and_their_types(exported):
    """The columns' types as MEDS 0.4 writes them, for a machine without its package."""
    assert sorted(str(path.relative_to(exported)) for path in (exported / "data").rglob("*.parquet")) == sorted(SHARDS)
    core = {
        "subject_id": pa.int64(),
        "time": pa.timestamp("us"),
        "code": pa.string(),
        "numeric_value": pa.float32(),
        "text_value": pa.large_string(),
    }
    for shard in SHARDS:
        schema = pq.read_schema(exported / shard)
        assert {name: schema.field(name).type for name in core} == core
        frame = pq.read_table(exported / shard).to_pandas()
        assert frame["subject_id"].is_monotonic_increasing, "a subject's events are contiguous"
        assert frame.groupby("subject_id")["time"].is_monotonic_increasing.all()
        assert frame[["subject_id", "code", "time"]].notna().all(axis=None)
    codes = pq.read_table(exported / "metadata/codes.parquet").to_pandas()
    assert codes["code"].is_unique
    used = set().union(*(pq.read_table(exported / shard)["code"].unique().to_pylist() for shard in SHARDS))
    assert used <= set(codes["code"])


def test_the_meds_package_accepts_it(exported):
    meds = pytest.importorskip("meds", reason="pip install 'tardiff[meds]' to check against the standard's own schema")
    for shard in SHARDS:
        meds.DataSchema.validate(pq.read_table(exported / shard))
    for path in (exported / "labels").rglob("*.parquet"):
        meds.LabelSchema.validate(pq.read_table(path))
    meds.CodeMetadataSchema.validate(pq.read_table(exported / meds.code_metadata_filepath))
    meds.SubjectSplitSchema.validate(pq.read_table(exported / meds.subject_splits_filepath))
    meds.DatasetMetadataSchema.validate(json.loads((exported / meds.dataset_metadata_filepath).read_text()))


def test_every_value_descriptor_and_label_is_there(exported, toy):
    dataset = toy[1]
    for name, split in dataset.splits.items():
        frame = pq.read_table(exported / f"data/{SPLITS[name]}/0.parquet").to_pandas().set_index("icustay_id")
        start = frame.loc[frame["code"] == "ICU_ADMISSION//UNK", "time"]
        assert start.index.is_unique
        values = np.full_like(split.values, np.nan)
        for c, channel in enumerate(dataset.manifest.channels):
            own = frame[frame["code"] == f"{channel.name}//{channel.unit or 'UNK'}"]
            step = ((own["time"] - start.reindex(own.index)) / pd.Timedelta(hours=dataset.manifest.step_hours)).astype(int)
            values[np.searchsorted(split.stay_id, own.index), c, step] = own["numeric_value"]
        np.testing.assert_array_equal(values, split.values)
        age = frame.loc[frame["code"] == "age//years", "numeric_value"].reindex(split.stay_id)
        np.testing.assert_array_equal(age, split.static[:, 0])
        women = frame.index[frame["code"] == "sex//female"]
        assert set(women) == set(split.stay_id[split.static[:, 1] == 0])
        labels = pq.read_table(exported / f"labels/death/{SPLITS[name]}/0.parquet").to_pandas().set_index("subject_id")
        np.testing.assert_array_equal(labels["boolean_value"].reindex(split.subject_id), split.label == 1)
        told = (labels["prediction_time"].reindex(split.subject_id).to_numpy() - start.reindex(split.stay_id)) / pd.Timedelta(minutes=1)
        np.testing.assert_array_equal(told, split.origin_minute)


def test_splits_are_by_subject(exported, toy):
    splits = pq.read_table(exported / "metadata/subject_splits.parquet").to_pandas().set_index("subject_id")["split"]
    for name, split in toy[1].splits.items():
        assert (splits.loc[split.subject_id] == SPLITS[name]).all()


def test_a_synthetic_folder_and_a_patient_with_two_stays(toy, tmp_path):
    train = toy[1].train
    twice = train.take(np.arange(4))
    twice.subject_id[:] = twice.subject_id[0]
    export_meds(Dataset(toy[1].manifest, {"train": twice}), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out" / "data").iterdir()] == ["train"]
    frame = pq.read_table(tmp_path / "out/data/train/0.parquet").to_pandas()
    assert frame["icustay_id"].drop_duplicates().tolist() == sorted(twice.stay_id.tolist())
    assert frame["time"].is_monotonic_increasing, "the stays of one patient do not overlap"


def test_nothing_is_overwritten(exported, toy, capsys):
    with pytest.raises(TardiffError, match="exists already"):
        export_meds(toy[1], exported)


def test_two_exports_are_the_same_bytes(exported, toy, tmp_path):
    export_meds(toy[1], tmp_path / "again")
    for path in sorted(path for path in exported.rglob("*") if path.is_file()):
        assert path.read_bytes() == (tmp_path / "again" / path.relative_to(exported)).read_bytes(), path.name
