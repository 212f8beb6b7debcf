"""What a MEDS folder that `tardiff export` wrote says of its channels and descriptors (see `tardiff.data.meds`)."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from data_prep.concepts import Descriptor, Place, Variable
from tardiff.data.dataset import Channel, Static, Task
from tardiff.errors import TardiffError

CODES = Path("metadata", "codes.parquet")


class Exported(NamedTuple):
    """What an export says, in its order; nothing of other folders."""

    variables: dict[str, Variable]
    """The channels, with their codes as places of a source."""
    statics: tuple[Descriptor, ...]
    classes: tuple[str, ...]
    """Nothing without labels."""


def exported(raw: Path, source: str) -> Exported:
    """Read the description of its codes that an export of ours holds.

    Raises:
        TardiffError: what the folder says cannot be read.
    """
    rows = list(_rows(raw))
    variables = {each.name: _variable(each, source, code) for code, each in rows if isinstance(each, Channel)}
    statics = {each.name: _descriptor(each) for _, each in rows if isinstance(each, Static)}
    classes = next((each.classes for _, each in rows if isinstance(each, Task)), ())
    return Exported(variables, tuple(statics.values()), classes)


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
