"""The whole way from raw records to a dataset folder."""

import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from data_prep.cohort import eligible, find_task
from data_prep.concepts import Concepts, Descriptor, load_concepts
from data_prep.grid import hourly, to_arrays
from data_prep.settings import PrepareSettings
from data_prep.sources import Source, open_source
from data_prep.split import split_patients
from tardiff.dataset import SPLITS, Dataset, Manifest, Split
from tardiff.errors import TardiffError
from tardiff.files import refuse_existing

SIMULATED_VERSION = "1"


def prepare(settings: PrepareSettings) -> Dataset:
    """Make the dataset folder `settings.out`, whole or not at all.

    Two runs with the same settings and raw files write the same bytes.

    Raises:
        TardiffError: a setting or a raw file is wrong, or `out` exists.
    """
    refuse_existing(settings.out)
    find_task(settings.task)
    _steps(settings)
    with _opened(settings) as source:
        dataset = _assemble(settings, source, load_concepts())
    return dataset.save(settings.out)


@contextmanager
def _opened(settings: PrepareSettings) -> Iterator[Source]:
    sets = tuple(name.strip() for name in settings.sets.split(",")) if settings.sets else ()
    if settings.source != "simulate":
        yield open_source(settings.source, settings.raw, sets)
        return
    from data_prep.simulate import simulate

    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder, "raw")
        simulate(raw, settings.stays, settings.seed)
        yield open_source("mimic_iv", raw, sets)


def _assemble(settings: PrepareSettings, source: Source, concepts: Concepts) -> Dataset:
    names = concepts.select(source.name, settings.variables)
    task = find_task(settings.task)
    steps = _steps(settings)
    stays = source.stays().sort_values("stay_id", ignore_index=True)
    cells = _cells(source, concepts, names, steps, settings.step_hours)
    observed = np.isin(stays["stay_id"].to_numpy(), cells["stay_id"].to_numpy())
    cohort, attrition = eligible(stays, task, settings.hours, observed)
    stay_ids = cohort["stay_id"].to_numpy(np.int64)
    values, mask = to_arrays(cells, stay_ids, len(names), steps)
    descriptors = concepts.statics[source.name]
    rows = Split(
        values=values,
        mask=mask,
        static=_static(cohort, descriptors),
        label=cohort["label"].to_numpy(np.int64),
        stay_id=stay_ids,
        subject_id=cohort["subject_id"].to_numpy(np.int64),
        length=np.full(len(cohort), steps, np.int32),
        origin_minute=np.full(len(cohort), 60 * settings.hours),
    )
    assigned = split_patients(cohort, settings.split, settings.seed).to_numpy()
    simulated = settings.source == "simulate"
    manifest = Manifest(
        source="simulated" if simulated else source.name,
        source_version=SIMULATED_VERSION if simulated else source.version,
        channels=concepts.channels(names),
        statics=tuple(descriptor.static() for descriptor in descriptors),
        step_hours=settings.step_hours,
        steps=steps,
        task=task.task,
        orderings=concepts.chains(names),
        attrition=attrition,
        settings=_recorded(settings, source, concepts, names),
    )
    return Dataset(manifest, {name: rows.take(assigned == name) for name in SPLITS})


def _cells(source: Source, concepts: Concepts, names: tuple[str, ...], steps: int, step_hours: float) -> pa.Table:
    """The observed cells of the grid, of every stay."""
    # A connection of our own for tables in memory: ibis's default one stays open, and DuckDB complains when the process ends.
    before, connection = ibis.options.default_backend, ibis.duckdb.connect()
    ibis.options.default_backend = connection
    try:
        events = source.events(concepts.places(source.name, names), 60.0 * steps * step_hours)
        return hourly(events, concepts, source.name, names, steps, step_hours).to_pyarrow()
    except duckdb.Error as error:
        raise source.explain(error) from error
    finally:
        ibis.options.default_backend = before
        connection.disconnect()


def _static(stays: pd.DataFrame, descriptors: Sequence[Descriptor]) -> NDArray[np.float32]:
    """Float32 [N, S]: categories as their index; what is missing, unknown or implausible is NaN."""
    columns = []
    for descriptor in descriptors:
        column = stays[descriptor.source_column]
        if descriptor.kind == "categorical":
            column = column.map({code: index for index, code in enumerate(descriptor.categories)})
        if descriptor.limits is not None:
            column = column.where(column.between(*descriptor.limits))
        columns.append(column.to_numpy(np.float32, na_value=np.nan))
    return np.stack(columns, axis=1)


def _steps(settings: PrepareSettings) -> int:
    if settings.hours <= 0 or not settings.step_hours > 0:
        raise TardiffError(f"hours {settings.hours}, step_hours {settings.step_hours}: both must be above 0")
    steps = settings.hours / settings.step_hours
    if not math.isclose(steps, round(steps)):
        raise TardiffError(f"step_hours: {settings.step_hours} does not divide the window of {settings.hours} h")
    return round(steps)


def _recorded(settings: PrepareSettings, source: Source, concepts: Concepts, names: tuple[str, ...]) -> dict[str, object]:
    """Everything that determines the content, and no path."""
    return {
        "hours": settings.hours,
        "step_hours": settings.step_hours,
        "variables": list(names),
        "task": settings.task,
        "split": settings.split,
        "sets": list(source.sets),
        "seed": settings.seed,
        "dictionary": concepts.digest,
        **({"stays": settings.stays} if settings.source == "simulate" else {}),
    }
