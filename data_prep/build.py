"""The whole way from raw records to a dataset folder."""

import hashlib
import math
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ibis
import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from data_prep.account import FAULTS, UNLISTED, accounts, check, fates, warnings
from data_prep.ahead import ahead
from data_prep.cohort import check_columns, eligible
from data_prep.concept_files import load_concepts
from data_prep.concepts import Concepts, Descriptor
from data_prep.engine import check_fits, database_errors, engine, limits_error
from data_prep.grid import LOOK_BACK, Grid, first_values, plausible, to_arrays
from data_prep.kidney import HISTORY, VARIABLES, kidney, variables_of
from data_prep.labels import chosen_labels, class_codes, readable, shown
from data_prep.onsets import read_onsets
from data_prep.origins import origins
from data_prep.settings import PrepareSettings
from data_prep.slots import check_units, in_turns, observed, read_slots, write_slots
from data_prep.sources import MINUTE, Source, open_source
from data_prep.split import split_patients
from data_prep.tasks import NamedTask, Task, find_task
from data_prep.work import Work, work
from tardiff.data.dataset import SPLITS, Dataset, Manifest, Split, TableAccount
from tardiff.errors import TardiffError

SIMULATED_VERSION = "2"
WITHOUT_EFFECT = ("out", "raw", "connection", "concepts", "memory", "threads")
"""Settings that do not change what is made of the same records."""
COHORT = ("stays_of_patient", "min_age", "max_age", "min_stay_hours", "max_stay_hours", "min_coverage")
"""Settings that limit the cohort."""
FLAGS_A_STEP = 3
"""Bytes that counting the observed steps takes for each step of each stay."""


def prepare(settings: PrepareSettings) -> Dataset:
    """Make the dataset folder `settings.out`, whole or not at all.

    Two runs with the same settings and raw files write the same bytes. Work in progress stands in `OUT.partial`; the same
    call goes on from it, and what cannot be done leaves nothing behind.

    Raises:
        TardiffError: a setting or a raw file is wrong, or `out` exists.
    """
    named = find_task(settings.task)
    _steps(settings)
    concepts = load_concepts(settings.concepts).with_intubated(settings.gcs_intubated)
    with work(settings.out, _request(settings, concepts, named), _raw_files(settings)) as partial:
        if partial.published:
            partial.clear()
            return Dataset.load(settings.out)
        dataset = _assemble(settings, partial, concepts, named)
        return partial.publish(dataset.save)


def _assemble(settings: PrepareSettings, partial: Work, concepts: Concepts, named: NamedTask) -> Dataset:
    steps = _steps(settings)
    with engine(settings.connection, settings.memory, settings.threads, partial.folder / "spill"):
        source = _open(settings, partial)
        if settings.step_hours < source.shortest_step:
            raise TardiffError(f"step_hours: {settings.step_hours:g} is narrower than the {source.shortest_step:g} h of {source.name}")
        concepts = source.dictionary(concepts)
        names = concepts.select(source.name, settings.variables)
        parts, first = concepts.parts(source.name, names), concepts.first(source.name)
        grid = Grid(concepts, source.name, names, steps, settings.step_hours, parts, first, settings.lab_time == "charttime")
        stays, named = _stays(settings, source, named)
        check_fits(settings.memory, FLAGS_A_STEP * len(stays) * steps, "the steps of every stay")
        needed = variables_of(named, concepts, source.name)
        if needed and "events_of" in stays:
            raise TardiffError(f"labels all: the task {named.name} reads {needed[0]} by stay; choose first or last")
        places = concepts.places(source.name, (*grid.channels, *needed))
        if settings.gcs_intubated != "keep" and not any(place.intubated for place in places):
            raise TardiffError(f"--gcs-intubated {settings.gcs_intubated}: no variable of this run tells who was intubated; leave it out")
        start = stays["origin_minute"] - 60.0 * (settings.hours + settings.before_hours)
        windows = pa.table(
            {"stay_id": stays.get("events_of", stays["stay_id"]).to_numpy(), "row": np.arange(len(stays)), "start": start.to_numpy()}
        )
        try:
            events = source.events(places, *_reach(settings, named.task, stays, grid, needed), partial)
            check_units(events, places, source.name)
            tables = {place.item: source.table_of(place) for place in places}
            for remark in source.remarks() if settings.source != "simulate" else ():
                print(f"warning: {remark}", file=sys.stderr)
            _check_faults(settings, partial, source, events, tables)
            slots = write_slots(partial.folder, events, windows, grid)
            if needed:
                stays = stays.join(_computed(named.task, Grid(concepts, source.name, needed), events, windows, stays))
            reached = np.ceil((stays["minutes"] - start) / (60 * settings.step_hours))
            length = np.clip(reached.fillna(steps), 1, steps).to_numpy(np.int32)
            coverage = observed(read_slots(slots), grid, length) / length
            cohort, attrition = eligible(stays.assign(coverage=coverage), named, settings, source.silent)
            left = fates(events, _spans(windows, length, cohort.index, grid), grid, tables)
        except database_errors() as error:
            raise limits_error(error, settings.out) or source.explain(error) from error
        descriptors = concepts.statics[source.name]
        account = (*accounts(partial.lost, left), *_unlisted(stays, descriptors))
        _warn(account, source, descriptors)
    assigned = split_patients(cohort, settings.split, settings.seed, settings.test_after)
    cohort = pd.concat([cohort[assigned == name] for name in SPLITS])
    sizes = [int((assigned == name).sum()) for name in SPLITS]
    row = np.full(len(stays), -1, np.int64)
    row[cohort.index] = np.arange(len(cohort))
    check_fits(settings.memory, 5 * len(cohort) * len(grid.names) * steps, "the arrays")
    values, mask = to_arrays(read_slots(slots), grid, row, length[cohort.index])
    if silent := [name for name, any_value in zip(grid.names, np.array(mask.any(axis=(0, 2))), strict=True) if not any_value]:
        print(f"warning: no row has a value of {', '.join(silent)}; are the raw files whole?", file=sys.stderr)
    charted = first_values(read_slots(slots), grid, len(stays))
    cohort = cohort.assign(**{d.source_column: charted[d.variable][cohort.index] for d in descriptors if d.variable})
    numbers: dict[str, Any] = {name: np.array(cohort[name], np.int64) for name in ("label", "stay_id", "subject_id", "origin_minute")}
    rows = Split(values=values, mask=mask, static=_static(cohort, descriptors), length=length[cohort.index], **numbers)
    simulated = settings.source == "simulate"
    manifest = Manifest(
        source="simulated" if simulated else source.name,
        source_version=SIMULATED_VERSION if simulated else source.version,
        channels=concepts.channels(grid.names),
        statics=tuple(descriptor.static() for descriptor in descriptors),
        step_hours=settings.step_hours,
        steps=steps,
        task=named.described(settings.hours),
        orderings=concepts.chains(grid.names),
        attrition=attrition,
        account=account,
        settings=_recorded(settings, source, concepts, grid.names, named),
    )
    edges = np.cumsum([0, *sizes])
    return Dataset(manifest, {name: rows.take(slice(edges[i], edges[i + 1])) for i, name in enumerate(SPLITS)})


def _open(settings: PrepareSettings, partial: Work) -> Source:
    sets = tuple(name.strip() for name in settings.sets.split(",")) if settings.sets else ()
    if settings.source == "simulate":
        return open_source("mimic_iv", _simulated(settings, partial), sets)
    schemas = tuple(name.strip() for name in settings.schemas.split(",")) if settings.connection else ()
    return open_source(settings.source, settings.raw, sets, schemas)


def _simulated(settings: PrepareSettings, partial: Work) -> Path:
    """The made-up tables, written once."""
    from data_prep.simulate import simulate

    raw = partial.folder / "raw"
    if not raw.exists():
        simulate(raw, settings.stays, settings.seed)
    return raw


def _stays(settings: PrepareSettings, source: Source, named: NamedTask) -> tuple[pd.DataFrame, NamedTask]:
    """The source's stays with the user's onsets and the minute at which each one's prediction is made; the task with its classes."""
    stays = source.stays().sort_values("stay_id", ignore_index=True)
    if stays.empty:
        raise TardiffError(f"{settings.source}: there are no stays; is the table that lists them complete?")
    if settings.onset is not None:
        stays = stays.assign(onset_minute=read_onsets(settings.onset, stays))
    if "given" in named.task.columns & set(stays):
        stays = chosen_labels(stays, settings.labels)
        if named.task.label == "given":
            stays["given"], classes = class_codes(stays["given"], named.task.classes or source.classes, source.given_at)
            named = msgspec.structs.replace(named, task=msgspec.structs.replace(named.task, classes=classes))
        else:
            stays["given"] = readable(stays["given"])
    else:
        stays = stays.drop_duplicates("stay_id", ignore_index=True)
    check_columns(stays, named, settings, source.name)
    return stays.assign(origin_minute=origins(named.task, stays, settings.hours, settings.seed)), named


def _reach(settings: PrepareSettings, task: Task, stays: pd.DataFrame, grid: Grid, needed: tuple[str, ...]) -> tuple[float, float]:
    """The minutes after the start of a stay, and those before it, in which the grid and the task's own columns need entries."""
    after, before = float(stays["origin_minute"].max()), 60.0 * settings.before_hours
    if grid.first:
        before = max(before, LOOK_BACK)
    if needed:
        after += task.reach_minutes + 1
    if task.columns & VARIABLES.keys():
        before = max(before, HISTORY)
    return after, before


def _check_faults(settings: PrepareSettings, partial: Work, source: Source, events: ibis.Table, tables: Mapping[str, str]) -> None:
    """Stop at faults of the raw tables before anything is made of the entries that are left.

    Raises:
        TardiffError: an entry cannot be read, or too many are lost to a fault.
    """
    if any(lost[fault] for lost in partial.lost.values() for fault in FAULTS):
        kept = events.group_by("item").aggregate(entries=events.count()).to_pyarrow().to_pylist()
        left: dict[str, Counter[str]] = {table: Counter() for table in tables.values()}
        for row in kept:
            left[tables[row["item"]]][""] += row["entries"]
        for account in accounts(partial.lost, left):
            for fault, said in check(account, settings.allow_loss):
                raise TardiffError(f"{source.first(account.table, fault)}{said}")


def _warn(account: Sequence[TableAccount], source: Source, descriptors: Sequence[Descriptor]) -> None:
    listed = {descriptor.name: shown(list(descriptor.categories)) for descriptor in descriptors}
    for each in account:
        for fault, said in warnings(each):
            place = source.first(each.table, fault) if fault != UNLISTED else f"descriptor {each.table} is one of {listed[each.table]}"
            print(f"warning: {place}{said}", file=sys.stderr)


def _spans(windows: pa.Table, length: NDArray[np.int32], chosen: pd.Index, grid: Grid) -> ibis.Table:
    """By stay that has a row: stay_id, start and stop of its window, in minutes; of several windows from the first to the last."""
    frame = windows.to_pandas()
    frame["stop"] = frame["start"] + 60.0 * grid.step_hours * length
    return ibis.memtable(frame.loc[chosen].groupby("stay_id", as_index=False).agg({"start": "min", "stop": "max"}))


def _unlisted(stays: pd.DataFrame, descriptors: Sequence[Descriptor]) -> Iterator[TableAccount]:
    """The account of each descriptor that has codes which are not among its categories."""
    for descriptor in descriptors:
        if descriptor.kind == "categorical":
            written = stays[descriptor.source_column]
            unlisted = int(((written != "") & ~written.isin(list(descriptor.categories))).sum())
            if unlisted:
                yield TableAccount(descriptor.name, len(stays), len(stays) - unlisted, {UNLISTED: unlisted})


def _computed(task: Task, grid: Grid, events: ibis.Table, windows: pa.Table, stays: pd.DataFrame) -> pd.DataFrame:
    """The columns of a task that are computed from events of the grid's variables, indexed as `stays`."""
    columns = []
    for part in in_turns(events, windows):
        of_part = events.semi_join(ibis.memtable(part.select(["stay_id"])), "stay_id")
        entries = plausible(of_part, grid).to_pandas()
        entries["variable"] = pd.Categorical.from_codes(entries["channel"], grid.names)
        those, horizon = stays.iloc[part["row"].to_numpy()], task.horizon_minutes
        seen = {condition.key: ahead(condition, those, entries, horizon) for condition in task.ahead}
        columns.append(kidney(those, entries, horizon).assign(**seen))
    return pd.concat(columns)


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
    return np.stack(columns, axis=1) if columns else np.empty((len(stays), 0), np.float32)


def _steps(settings: PrepareSettings) -> int:
    hours = settings.hours + settings.before_hours
    if not MINUTE <= settings.step_hours <= settings.hours:
        raise TardiffError(f"step_hours: {settings.step_hours} is not between a minute and the window of {settings.hours} h")
    for part in (settings.hours, settings.before_hours):
        if not math.isclose(part / settings.step_hours, round(part / settings.step_hours), abs_tol=1e-9):
            raise TardiffError(f"step_hours: {settings.step_hours} does not divide the window of {part} h")
    return round(hours / settings.step_hours)


def _request(settings: PrepareSettings, concepts: Concepts, named: NamedTask) -> dict[str, Any]:
    """What decides whether interrupted work can be gone on with."""
    chosen = {name: value for name, value in asdict(settings).items() if name not in WITHOUT_EFFECT}
    place = settings.connection and settings.connection.rpartition("@")[2]  # without the password
    return {**chosen, "version": version("tardiff"), "task": msgspec.to_builtins(named), "dictionary": concepts.digest(), "database": place}


def _raw_files(settings: PrepareSettings) -> list[Path]:
    onset = [Path(settings.onset)] if settings.onset is not None and Path(settings.onset).is_file() else []
    if settings.raw is None or settings.source == "simulate":
        return onset
    out = Path(settings.out).absolute()
    aside = (str(out) + os.sep, str(out) + ".partial" + os.sep)
    raw = [path for path in sorted(Path(settings.raw).rglob("*")) if path.is_file() and not str(path.absolute()).startswith(aside)]
    return raw + onset


def _recorded(settings: PrepareSettings, source: Source, concepts: Concepts, names: tuple[str, ...], named: NamedTask) -> dict[str, object]:
    """Everything that determines the content, and no path."""
    return {
        **{name: getattr(settings, name) for name in ("hours", "before_hours", "step_hours", "lab_time", "gcs_intubated")},
        "variables": list(names),
        "task": {"name": named.name, **msgspec.to_builtins(named.task)},
        "labels": settings.labels,
        "onset": hashlib.sha256(Path(settings.onset).read_bytes()).hexdigest() if settings.onset is not None else None,
        **{name: getattr(settings, name) for name in COHORT},
        "split": settings.split,
        **({"test_after": settings.test_after} if settings.test_after is not None else {}),
        "sets": list(source.sets),
        "seed": settings.seed,
        "dictionary": concepts.digest(),
        **({"stays": settings.stays} if settings.source == "simulate" else {}),
    }
