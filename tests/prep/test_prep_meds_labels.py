"""MEDS folders as they come: labels at their prediction times, zones, shards of unlike columns."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from prep_ward import same

from data_prep import PrepareSettings, prepare
from tardiff.data.dataset import Dataset
from tardiff.data.meds import export_meds
from tardiff.errors import TardiffError

FEW = settings(max_examples=4, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
PATIENTS = 30
HOUR = pd.Timedelta(hours=1)
BEGIN = pd.Timestamp("2030-01-01 08:15:00")


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A new folder each time it is asked for."""
    return lambda: tmp_path_factory.mktemp("meds") / "raw"


def write(folder: Path, labels: pd.DataFrame | None = None, zone: str | None = None, drop: str = "") -> Path:
    """Stays of 96 h, each with a heart rate of 60 + hour every hour, in two shards; the first may lack a column."""
    rows = []
    for subject in range(PATIENTS):
        rows.append((subject, BEGIN, "ICU_ADMISSION//A", None))
        rows += [(subject, BEGIN + (hour + 0.5) * HOUR, "LAB//220045//bpm", 60.0 + hour) for hour in range(96)]
        rows.append((subject, BEGIN + 96 * HOUR, "ICU_DISCHARGE//A", None))
    frame = pd.DataFrame(rows, columns=["subject_id", "time", "code", "numeric_value"]).astype({"numeric_value": np.float32})
    frame["text_value"] = None
    if zone is not None:
        frame["time"] = frame["time"].dt.tz_localize("UTC").dt.tz_convert(zone)
    for shard, mine in frame.groupby(frame["subject_id"] >= PATIENTS // 2):
        path = folder / "data" / f"{int(shard)}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        table = pa.Table.from_pandas(mine, preserve_index=False)
        pq.write_table(table.drop_columns([drop]) if drop and not shard else table, path)
    if labels is not None:
        (folder / "labels" / "task").mkdir(parents=True)
        labels.to_parquet(folder / "labels" / "task" / "0.parquet", index=False)
    return folder


def labelled(hours: "list[list[int]]", **columns: Any) -> pd.DataFrame:
    """Labels of each patient at these hours since the start, every other one 1."""
    rows = [(subject, BEGIN + hour * HOUR, (subject + n) % 2) for subject, his in enumerate(hours) for n, hour in enumerate(his)]
    frame = pd.DataFrame(rows, columns=["subject_id", "prediction_time", "integer_value"])
    return frame.assign(**columns)


def made(raw: Path, **choices: Any) -> Dataset:
    return prepare(PrepareSettings("meds", raw.with_name("out"), raw, **{"variables": "hr", "task": "given", "hours": 12, **choices}))


@FEW
@given(data=st.data(), which=st.sampled_from(["first", "last", "all"]))
def test_each_window_ends_at_its_prediction(folder: Any, data: st.DataObject, which: str) -> None:
    some = st.lists(st.integers(12, 96), min_size=1, max_size=4, unique=True)
    hours = [sorted(data.draw(some)) for _ in range(PATIENTS)]
    dataset = made(write(folder(), labelled(hours)), labels=which)
    chosen = {"first": slice(0, 1), "last": slice(-1, None), "all": slice(None)}[which]
    expected = {(subject, 60 * hour): (subject + n) % 2 for subject, his in enumerate(hours) for n, hour in list(enumerate(his))[chosen]}
    found = {}
    for split in dataset.splits.values():
        found |= dict(zip(zip(split.subject_id.tolist(), split.origin_minute.tolist(), strict=True), split.label.tolist(), strict=True))
        np.testing.assert_array_equal(split.values[:, 0], 60.0 + split.origin_minute[:, None] / 60 - 12 + np.arange(12))
    assert found == expected
    ids = np.concatenate([split.stay_id for split in dataset.splits.values()])
    assert len(set(ids.tolist())) == len(ids) == len(expected)


def test_labels_outside_of_the_stay_are_of_no_row(folder: Any) -> None:
    dataset = made(write(folder(), labelled([[12, 97 + subject] for subject in range(PATIENTS)])))
    assert all((split.origin_minute == 720).all() for split in dataset.splits.values())


@pytest.mark.parametrize("filled", ["boolean_value", "integer_value", "float_value"])
def test_the_column_that_is_filled_is_read(folder: Any, filled: str) -> None:
    labels = labelled([[24]] * PATIENTS)
    value = labels.pop("integer_value")
    kinds = {"boolean_value": "boolean", "integer_value": "Int64", "float_value": "Float64", "categorical_value": "string"}
    for name, kind in kinds.items():
        labels[name] = pd.array(value if name == filled else [None] * len(value), dtype=kind)
    same(made(write(folder(), labels)), made(write(folder(), labelled([[24]] * PATIENTS))))


def test_words_and_numbers_to_predict(folder: Any, tmp_path: Path) -> None:
    words = labelled([[24]] * PATIENTS).drop(columns="integer_value").assign(categorical_value=["well", "ill"] * (PATIENTS // 2))
    with pytest.raises(TardiffError, match="the labels are ill, well"):
        made(write(folder(), words))
    numbers = labelled([[24]] * PATIENTS).drop(columns="integer_value").assign(float_value=np.arange(PATIENTS) + 0.5)
    with pytest.raises(TardiffError, match="a number to predict"):
        made(write(folder(), numbers))
    task = tmp_path / "task.yaml"
    task.write_text("mine: {rule: ill, label: given, origin: given, classes: [well, ill]}\n")
    dataset = made(write(folder(), words), task=str(task))
    assert dataset.manifest.task.classes == ("well", "ill")
    task.write_text("mine: {rule: long, label: {column: given, above: 9}, origin: given, classes: [short, long]}\n")
    dataset = made(write(folder(), numbers), task=str(task))
    assert all((split.label == (split.subject_id >= 9)).all() for split in dataset.splits.values())


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata"])
def test_times_with_a_zone(folder: Any, zone: str) -> None:
    plain = labelled([[24]] * PATIENTS)
    zoned = plain.assign(prediction_time=plain["prediction_time"].dt.tz_localize("UTC").dt.tz_convert(zone))
    same(made(write(folder(), plain)), made(write(folder(), zoned, zone)))


def test_shards_may_lack_columns_that_are_optional(folder: Any) -> None:
    whole, part = made(write(folder(), labelled([[24]] * PATIENTS))), made(write(folder(), labelled([[24]] * PATIENTS), drop="text_value"))
    same(whole, part)
    lacking = made(write(folder(), labelled([[24]] * PATIENTS), drop="numeric_value"))
    subjects = np.concatenate([split.subject_id for split in lacking.splits.values()])
    assert sorted(subjects.tolist()) == list(range(PATIENTS // 2, PATIENTS))


@FEW
@given(
    kinds=st.lists(st.sampled_from([pa.int16(), pa.int32(), pa.int64(), pa.uint64()]), min_size=2, max_size=2),
    time=st.lists(st.sampled_from(["s", "ms", "us", "ns"]), min_size=2, max_size=2),
    code=st.lists(st.sampled_from([pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())]), min_size=2, max_size=2),
    value=st.lists(st.sampled_from([pa.float32(), pa.float64(), pa.int32(), pa.decimal128(9, 1)]), min_size=2, max_size=2),
)
def test_types_of_shards_change_nothing(folder: Any, kinds: list[Any], time: list[str], code: list[Any], value: list[Any]) -> None:
    labels = labelled([[24]] * PATIENTS)
    whole, raw = made(write(folder(), labels)), write(folder(), labels)
    for shard in range(2):
        path = raw / "data" / f"{shard}.parquet"
        table = pq.read_table(path)
        wanted = {"subject_id": kinds[shard], "time": pa.timestamp(time[shard]), "code": code[shard], "numeric_value": value[shard]}
        columns = {name: table[name].cast(wanted.get(name, table[name].type)) for name in table.column_names}
        pq.write_table(pa.table(columns), path)
    same(whole, made(raw))


def test_events_of_nobody(folder: Any) -> None:
    raw = write(folder(), labelled([[24]] * PATIENTS))
    path = raw / "data" / "0.parquet"
    frame = pq.read_table(path).to_pandas().astype({"subject_id": "Int64"})
    beats = frame.index[frame["code"] == "LAB//220045//bpm"]
    frame.loc[beats[:20], "subject_id"] = pd.NA
    frame.to_parquet(path, index=False)
    (account,) = (account for account in made(raw).manifest.account or () if account.table == "events")
    assert account.lost["of no stay or patient that the records list"] == 20
    frame.loc[0, "subject_id"] = pd.NA
    raw = write(folder(), labelled([[24]] * PATIENTS))
    frame.to_parquet(raw / "data" / "0.parquet", index=False)
    with pytest.raises(TardiffError, match="an event that tells of a stay has no subject_id"):
        made(raw)


@pytest.mark.parametrize("rule", ["first", "last", "all"])
def test_a_label_that_stands_twice_is_one_and_two_at_one_time_are_refused(folder: Any, rule: str) -> None:
    labels = labelled([[24, 48]] * PATIENTS)
    once = made(write(folder(), labels), labels=rule)
    same(once, made(write(folder(), pd.concat([labels, labels])), labels=rule))
    other = labels.assign(integer_value=1 - labels["integer_value"])
    with pytest.raises(TardiffError, match="a stay has two labels at one time, and they differ"):
        made(write(folder(), pd.concat([labels, other])), labels=rule)


@pytest.mark.parametrize(("column", "kind"), [("subject_id", pa.string()), ("time", pa.string())])
def test_another_type_is_one_line(folder: Any, column: str, kind: pa.DataType) -> None:
    raw = write(folder())
    path = raw / "data" / "0.parquet"
    table = pq.read_table(path)
    at = table.schema.get_field_index(column)
    pq.write_table(table.set_column(at, column, table[column].cast(kind)), path)
    with pytest.raises(TardiffError, match=rf"0\.parquet: {column} is of type string"):
        made(raw)


def test_an_export_comes_back_with_its_classes_and_windows(folder: Any) -> None:
    first = made(write(folder(), labelled([[24 + subject] for subject in range(PATIENTS)])))
    named = Dataset(_renamed(first), first.splits).completed()
    raw = folder()
    export_meds(named, raw)
    again = made(raw, split="publisher", variables="all")
    assert again.manifest.task.classes == ("well", "ill")
    for name, split in named.splits.items():
        order, back = np.argsort(split.stay_id), again.splits[name]
        there = np.argsort(back.stay_id)
        for key in ("stay_id", "label", "origin_minute", "values"):
            np.testing.assert_array_equal(back.arrays()[key][there], split.arrays()[key][order], err_msg=key)


def _renamed(dataset: Dataset) -> Any:
    import msgspec

    task = msgspec.structs.replace(dataset.manifest.task, classes=("well", "ill"))
    return msgspec.structs.replace(dataset.manifest, task=task)
