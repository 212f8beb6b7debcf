"""A dataset folder as a MEDS 0.4 folder, the format that https://github.com/Medical-Event-Data-Standard tools read.

A dataset folder knows no calendar, so a patient's first stay begins on 1 January 2000 and each further one `APART` later. Every stay
is an admission, its descriptors at that moment, its observed values at the start of their step, and a discharge where its record
ends. The column `icustay_id` keeps the stays apart; the column `tardiff` of `codes.parquet` holds each channel and descriptor as the
manifest has it, so that `tardiff prepare meds` gives the same arrays back. Labels are no events: they lie beside the data.
"""

import datetime
from importlib.metadata import version
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tardiff.base.files import new_folder, write_json
from tardiff.data.dataset import Channel, Dataset, Manifest, Split, Static

MEDS_VERSION = "0.4.1"
SPLITS = {"train": "train", "validation": "tuning", "test": "held_out"}
"""What MEDS calls the splits."""
BEGIN = datetime.datetime(2000, 1, 1)
APART = datetime.timedelta(days=365)
"""From one stay of a patient to the next; longer than any window."""
ADMISSION, DISCHARGE = "ICU_ADMISSION//UNK", "ICU_DISCHARGE//UNK"
LABEL = "LABEL"
"""The code under which `codes.parquet` describes the task; no event has it."""

DATA = pa.schema(
    [
        pa.field("subject_id", pa.int64(), nullable=False),
        pa.field("time", pa.timestamp("us")),
        pa.field("code", pa.string(), nullable=False),
        pa.field("numeric_value", pa.float32()),
        pa.field("text_value", pa.large_string()),
        pa.field("icustay_id", pa.int64()),
    ]
)
CODES = pa.schema(
    [
        pa.field("code", pa.string(), nullable=False),
        pa.field("description", pa.string()),
        pa.field("parent_codes", pa.list_(pa.string())),
        pa.field("tardiff", pa.string()),
    ]
)
SUBJECT_SPLITS = pa.schema([pa.field("subject_id", pa.int64(), nullable=False), pa.field("split", pa.string(), nullable=False)])


def export_meds(dataset: Dataset, path: str | Path) -> int:
    """Write a dataset folder, real or synthetic, as a MEDS folder, whole or not at all; returns the number of events."""
    manifest = dataset.manifest
    starts = _starts(dataset)
    total = 0
    with new_folder(path) as folder:
        for name, split in dataset.splits.items():
            table = _events(split, manifest, starts)
            total += len(table)
            _write(table, folder / "data" / SPLITS[name] / "0.parquet")
            _write(_labels(split, manifest, starts), folder / "labels" / manifest.task.name / SPLITS[name] / "0.parquet")
        metadata = folder / "metadata"
        _write(_codes(manifest), metadata / "codes.parquet")
        _write(_subject_splits(dataset), metadata / "subject_splits.parquet")
        described = {
            "dataset_name": manifest.source + (" (synthetic)" if manifest.synthetic else ""),
            "dataset_version": manifest.source_version,
            "etl_name": "tardiff",
            "etl_version": version("tardiff"),
            "meds_version": MEDS_VERSION,
            "raw_source_id_columns": ["icustay_id"],
        }
        write_json(metadata / "dataset.json", described)
    return total


def channel_code(channel: Channel) -> str:
    """The code of a channel's values."""
    return f"{channel.name}//{channel.unit or 'UNK'}"


def static_codes(static: Static) -> tuple[str, ...]:
    """The codes of a descriptor: one, or one for each category."""
    if static.kind == "categorical":
        return tuple(f"{static.name}//{category}" for category in static.categories)
    return (f"{static.name}//{static.unit or 'UNK'}",)


def _starts(dataset: Dataset) -> "pd.Series[pd.Timestamp]":
    """By stay, when it begins: a patient's stays follow each other in the order of their ids."""
    both = pd.concat([pd.DataFrame({"stay": split.stay_id, "subject": split.subject_id}) for split in dataset.splits.values()])
    both = both.sort_values(["subject", "stay"], ignore_index=True)
    return (pd.Timestamp(BEGIN) + both.groupby("subject").cumcount() * pd.Timedelta(APART)).set_axis(both["stay"])


def _events(split: Split, manifest: Manifest, starts: "pd.Series[pd.Timestamp]") -> pa.Table:
    """Every event of a split, by patient and in the order of time."""
    step = 60.0 * manifest.step_hours
    began = starts.loc[split.stay_id].to_numpy("datetime64[us]")
    first_step = split.origin_minute - step * manifest.steps
    stay, channel, at = np.nonzero(split.mask)
    nothing = np.full(len(split), np.nan, np.float32)
    codes = np.array([channel_code(channel) for channel in manifest.channels], object)
    parts = [
        _part(split, np.arange(len(split)), began, 0.0, ADMISSION, nothing),
        *_descriptors(split, manifest, began),
        _part(split, stay, began, first_step[stay] + step * at, codes[channel], split.values[stay, channel, at]),
        _part(split, np.arange(len(split)), began, first_step + step * split.length, DISCHARGE, nothing),
    ]
    frame = pd.concat([part.assign(part=number) for number, part in enumerate(parts)], ignore_index=True)
    frame = frame.sort_values(["subject_id", "time", "icustay_id", "part", "code"], ignore_index=True, kind="stable")
    frame["text_value"] = None
    return pa.Table.from_pandas(frame[DATA.names], DATA, preserve_index=False)


def _descriptors(split: Split, manifest: Manifest, began: NDArray[np.datetime64]) -> list[pd.DataFrame]:
    parts = []
    for s, static in enumerate(manifest.statics):
        known = np.flatnonzero(np.isfinite(split.static[:, s]))
        values, codes = split.static[known, s], np.array(static_codes(static), object)
        if static.kind == "categorical":
            parts.append(_part(split, known, began, 0.0, codes[values.astype(int)], np.full(len(known), np.nan, np.float32)))
        else:
            parts.append(_part(split, known, began, 0.0, codes[0], values))
    return parts


def _part(
    split: Split,
    rows: NDArray[np.intp],
    began: NDArray[np.datetime64],
    minutes: NDArray[np.float64] | float,
    code: NDArray[np.object_] | str,
    values: NDArray[np.float32],
) -> pd.DataFrame:
    offset = np.round(np.broadcast_to(minutes, len(rows)) * 60e6).astype("timedelta64[us]")
    columns = {"subject_id": split.subject_id[rows], "time": began[rows] + offset, "code": code, "icustay_id": split.stay_id[rows]}
    return pd.DataFrame({**columns, "numeric_value": values}, index=pd.RangeIndex(len(rows)))


def _labels(split: Split, manifest: Manifest, starts: "pd.Series[pd.Timestamp]") -> pa.Table:
    """The labels in MEDS's own schema: at the end of the window, true or false where there are two classes."""
    offset = np.round(split.origin_minute * 60e6).astype("timedelta64[us]")
    binary = len(manifest.task.classes) == 2
    columns = {
        "subject_id": pa.array(split.subject_id),
        "prediction_time": pa.array(starts.loc[split.stay_id].to_numpy("datetime64[us]") + offset, pa.timestamp("us")),
        **({"boolean_value": pa.array(split.label == 1)} if binary else {"integer_value": pa.array(split.label)}),
    }
    schema = pa.schema([pa.field(name, column.type, nullable=False) for name, column in columns.items()])
    return pa.table(columns, schema=schema).sort_by([("subject_id", "ascending"), ("prediction_time", "ascending")])


def _codes(manifest: Manifest) -> pa.Table:
    rows = [
        {"code": ADMISSION, "description": "Start of the stay"},
        {"code": DISCHARGE, "description": "End of what is recorded of the stay"},
        {"code": LABEL, "description": manifest.task.rule, "tardiff": msgspec.json.encode(manifest.task).decode()},
    ]
    for channel in manifest.channels:
        description = f"{channel.name} ({channel.unit}), {channel.aggregation} over {manifest.step_hours:g} h"
        rows.append({"code": channel_code(channel), "description": description, "tardiff": msgspec.json.encode(channel).decode()})
    for static in manifest.statics:
        for code in static_codes(static):
            rows.append({"code": code, "description": f"Descriptor {static.name}", "tardiff": msgspec.json.encode(static).decode()})
    return pa.Table.from_pylist([{**row, "parent_codes": []} for row in rows], CODES)


def _subject_splits(dataset: Dataset) -> pa.Table:
    subjects = {int(subject): SPLITS[name] for name, split in dataset.splits.items() for subject in np.unique(split.subject_id)}
    rows = [{"subject_id": subject, "split": subjects[subject]} for subject in sorted(subjects)]
    return pa.Table.from_pylist(rows, SUBJECT_SPLITS)


def _write(table: pa.Table, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
