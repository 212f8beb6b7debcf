"""What a MEDS folder that `tardiff export` wrote says of its channels and descriptors (see `tardiff.data.meds`)."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from data_prep.concepts import Descriptor, Place, Variable
from tardiff.data.dataset import Channel, Static, Task
from tardiff.errors import TardiffError

CODES = Path("metadata", "codes.parquet")


def exported(raw: Path, source: str) -> tuple[dict[str, Variable], tuple[Descriptor, ...]]:
    """The channels, with their codes as places of `source`, and the descriptors, both in the export's order; nothing of other folders.

    Raises:
        TardiffError: what the folder says cannot be read.
    """
    variables: dict[str, Variable] = {}
    statics: dict[str, Descriptor] = {}
    for code, described in _rows(raw):
        if isinstance(described, Channel):
            variables[described.name] = _variable(described, source, code)
        elif isinstance(described, Static):
            statics[described.name] = _descriptor(described)
    return variables, tuple(statics.values())


def exported_classes(raw: Path) -> tuple[str, ...]:
    """The names of the classes, in order; nothing of other folders, or of one without labels. Raises as `exported`."""
    return next((described.classes for _, described in _rows(raw) if isinstance(described, Task)), ())


def _rows(raw: Path) -> Iterator[tuple[str, Channel | Static | Task]]:
    """Each code that the export describes, and what it is."""
    path = raw / CODES
    if not path.is_file() or "tardiff" not in read_schema(path).names:
        return
    for row in pq.read_table(path, columns=["code", "tardiff"]).to_pylist():
        if not row["tardiff"]:
            continue
        try:
            yield row["code"], _described(row["tardiff"])
        except msgspec.MsgspecError as error:
            raise TardiffError(f"{path}: code {row['code']}: column tardiff cannot be read ({error})") from error


def read_schema(path: Path) -> pa.Schema:
    """The schema of a Parquet file.

    Raises:
        TardiffError: it is damaged.
    """
    try:
        return pq.read_schema(path)
    except (OSError, pa.ArrowException) as error:
        raise TardiffError(f"{path}: truncated or not Parquet ({error}); fetch it again") from error


def _described(text: str) -> Channel | Static | Task:
    fields = msgspec.json.decode(text, type=dict)
    if "classes" in fields:
        return msgspec.convert(fields, Task)
    return msgspec.convert(fields, Channel) if "aggregation" in fields else msgspec.convert(fields, Static)


def _variable(channel: Channel, source: str, code: str) -> Variable:
    return Variable(
        label=channel.name,
        unit=channel.unit,
        limits=channel.limits,
        limits_from="the data set that was exported",
        aggregation="last" if channel.aggregation == "worst" else channel.aggregation,  # of the one step that a row has
        normal=channel.normal,
        kind=channel.kind,
        found={source: ((Place(item=code),),)},
    )


def _descriptor(static: Static) -> Descriptor:
    categories = {category: category for category in static.categories}
    return Descriptor(static.name, static.unit, static.kind, static.limits, categories, column=f"static {static.name}")
