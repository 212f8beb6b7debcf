"""From events to the observed slots of the grid, kept in files: some stays at a time, so that memory does not grow with them."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from tqdm import tqdm

from data_prep.concepts import Place
from data_prep.engine import BATCH, write
from data_prep.grid import Grid, hourly
from tardiff.errors import TardiffError

EVENTS_AT_ONCE = 4_000_000
"""Events that are dealt with in one pass."""


def in_turns(events: ibis.Table, windows: pa.Table) -> Iterator[pa.Table]:
    """Parts of `windows` whose stays have about `EVENTS_AT_ONCE` events; all of it for a database, which has memory of its own."""
    backend: Any = ibis.get_backend()
    passes = math.ceil(events.count().execute() / EVENTS_AT_ONCE) if backend.name == "duckdb" else 1
    width = max(1, math.ceil(len(windows) / max(1, passes)))
    for first in tqdm(range(0, len(windows), width), desc="aggregating", unit="pass", disable=None):
        yield windows.slice(first, width)


def write_slots(work: Path, events: ibis.Table, windows: pa.Table, grid: Grid) -> Path:
    """Aggregate into `work/slots`, unless an earlier call has; the arguments are those of `data_prep.grid.hourly`.

    Returns:
        A folder of Parquet files with the columns of `hourly`.
    """
    folder, unfinished = work / "slots", work / "slots.tmp"
    if not folder.exists():
        unfinished.mkdir()
        for number, part in enumerate(in_turns(events, windows)):
            write(hourly(events, ibis.memtable(part), grid), unfinished / f"{number:04d}.parquet")
        unfinished.rename(folder)
    return folder


def read_slots(folder: Path) -> Iterator[pa.RecordBatch]:
    """What `write_slots` wrote, a batch at a time."""
    for path in sorted(folder.iterdir()):
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(BATCH)


def observed(batches: Iterator[pa.RecordBatch], grid: Grid, length: NDArray[np.int32]) -> NDArray[np.int64]:
    """[N] in how many of its valid steps a row has anything."""
    filled = np.zeros((len(length), grid.steps), bool)
    for batch in batches:
        row, place = np.divmod(batch["slot"].to_numpy(), grid.row_slots)
        chosen = place // grid.steps < len(grid.names)
        filled[row[chosen], place[chosen] % grid.steps] = True
    return (filled & (np.arange(grid.steps) < length[:, None])).sum(axis=1)


def check_units(events: ibis.Table, places: Sequence[Place], source: str) -> None:
    """Check that no item is charted in a unit that the dictionary does not know.

    Raises:
        TardiffError: naming the item and the unit.
    """
    place_of = {place.item: place for place in places}
    if "unit" not in events.columns or not places:
        return
    stated = events.filter(events.unit.notnull())
    charted = stated.group_by("item", unit=stated.unit.strip().lower()).aggregate(entries=stated.count())
    for item, unit, entries in charted.order_by("item", "unit").to_pandas().itertuples(index=False):
        if item in place_of and unit and unit not in (units := place_of[item].units):
            of = f" of {place_of[item].table}" if place_of[item].table else ""
            raise TardiffError(
                f"{source}: item {item}{of} has {entries:,} entries in {unit!r}, expected {' or '.join(units)}; "
                "correct the rows, or give the item's place in a dictionary of your own (--concepts) these units and a scale"
            )
