import numpy as np
import pandas as pd

from tardiff.cli import main
from tardiff.data.dataset import Dataset
from tardiff.data.rows import as_rows, wide_table
from tests.conftest import make_dataset


def test_a_row_holds_the_mean_at_its_channels_resolution_and_the_value_furthest_from_normal():
    data = make_dataset(40)
    values = data.train.values
    values[0, 0] = np.nan  # a heart rate that is never charted
    values[1, 3] = np.nan
    values[1, 3, :3] = (15, 8, 9)  # GCS, whole numbers; normal is 15
    data.train.mask[:] = np.isfinite(values)
    rows = as_rows(data)
    assert rows.manifest.channel_names[:2] == ("hr_mean", "hr_worst")
    assert (rows.manifest.steps, rows.manifest.step_hours) == (1, 10.0)
    assert rows.manifest.orderings == (("dbp_mean", "sbp_mean"),)
    assert np.isnan(rows.train.values[0, :2, 0]).all()
    assert rows.train.values[1, 6:, 0].tolist() == [11.0, 8.0]  # 32 / 3 on whole numbers
    worst = rows.train.values[2:, 1, 0]
    assert np.array_equal(np.abs(worst - 86), np.nanmax(np.abs(values[2:, 0] - 86), axis=1))
    rows.check("rows")


def test_the_label_descriptors_and_patients_stay_and_one_step_is_a_row_already():
    data = make_dataset(40)
    rows = as_rows(data)
    for name, split in data.splits.items():
        for part in ("static", "label", "stay_id", "subject_id", "origin_minute"):
            assert np.array_equal(getattr(rows.split(name), part), getattr(split, part), equal_nan=part == "static")
    assert as_rows(rows) is rows


def test_the_wide_table_has_a_column_a_variable_and_names_for_categories():
    data = as_rows(make_dataset(40))
    table = wide_table(data)
    assert len(table) == sum(len(split) for split in data.splits.values())
    assert [*table.columns[:4], table.columns[-1]] == ["split", "stay_id", "age", "sex", "label"]
    assert set(table["label"]) == {"survived", "died"}
    assert set(table["sex"].dropna()) == {"female", "male"}
    assert table["sex"].isna().sum() == sum(int(np.isnan(split.static[:, 1]).sum()) for split in data.splits.values())
    assert np.allclose(table["gcs_worst"], np.concatenate([s.values[:, 7, 0] for s in data.splits.values()]), equal_nan=True)


def test_rows_are_exported_as_a_table_and_as_a_dataset(toy, tmp_path):
    main(["export", str(toy[0]), "--format", "rows", "--out", str(tmp_path / "rows.csv")])
    assert len(pd.read_csv(tmp_path / "rows.csv")) == 480
    main(["export", str(toy[0]), "--format", "rows", "--out", str(tmp_path / "rows")])
    assert Dataset.load(tmp_path / "rows").manifest.content_hash == as_rows(toy[1]).manifest.content_hash
