"""The one pool in which models are fitted: processes of one thread each, and nothing is fitted twice."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol

import joblib

from tardiff.base.device import here
from tardiff.base.distributed import barrier, local_world_size, round_robin
from tardiff.base.progress import bar
from tardiff.base.threads import one_thread
from tardiff.errors import TardiffError
from tardiff.evaluate.cache import Arrays, Cache

PACKAGES = ("tardiff", "torch", "scikit-learn", "numpy", "scipy", "xgboost", "xgboost-cpu", "lightgbm")
BAR = "{desc}: {percentage:3.0f}%|{bar}| {elapsed} so far, {remaining} to go"
"""In units of work, so that its ETA knows that a GRU takes longer than a regression."""


class Hashed(Protocol):
    """Rows that know the hash of all that is in them."""

    @property
    def digest(self) -> str:
        """The hash."""
        ...


class Sets(Protocol):
    """Rows by role, as a fit reads them: `row_sets.RowSets`, or `realism.records.RecordSets`."""

    @property
    def rows(self) -> Mapping[str, Hashed]:
        """The rows."""
        ...


@dataclass(frozen=True)
class Fit:
    """One fit of a model.

    Attributes:
        work: what fits it, a function of a module: `work(sets, *told)`.
        told: everything it is told beyond the rows: names, seeds, settings.
        reads: roles of the rows that it reads.
        cost: how long it takes, in units of `judges.COST`.
    """

    work: Callable[..., Arrays]
    told: tuple[Any, ...]
    reads: tuple[str, ...]
    cost: float

    def key(self, sets: Sets) -> str:
        """Hash of all that its result depends on: the contents of its rows, what it is told, and the versions in use."""
        parts = [self.work.__module__, self.work.__qualname__, self.told, *(sets.rows[role].digest for role in self.reads), versions()]
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def run(self, sets: Sets) -> Arrays:
        """What it gives, computed here and now."""
        return self.work(sets, *self.told)


@cache
def versions() -> dict[str, str]:
    """Versions of what computes the numbers, as far as it is installed, and the device if it is not the CPU."""
    found = {}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found if here().type == "cpu" else found | {"device": here().type}


def run_fits(fits: Iterable[Fit], sets: Sets, workers: int, kept: Cache, progress: str | None = None) -> dict[Fit, Arrays]:
    """The arrays that each fit gives; what occurs twice is fitted once.

    Args:
        workers: processes; 0 means as many as there are cores. The result does not depend on it, nor on how many processes of
            `accelerate launch` deal the fits out among each other.
        progress: title of a progress bar; None shows none.
    """
    keys = {fit: fit.key(sets) for fit in fits}
    done = {fit: arrays for fit, key in keys.items() if (arrays := kept.load(key)) is not None}
    barrier()  # until all have looked: what one keeps from here on would be missing from another's list, and they would deal differently
    left = sorted((fit for fit in keys if fit not in done), key=lambda fit: -fit.cost)  # so that no worker idles at the end
    mine = round_robin(left)
    processes = min(workers or max(1, joblib.cpu_count() // local_world_size()), max(1, len(mine)))
    run = joblib.Parallel(n_jobs=processes, return_as="generator_unordered")
    total, initial = (sum(fit.cost for fit in some) for some in (keys, done))
    with bar(shown=progress is not None, total=total, initial=initial, desc=progress, bar_format=BAR) as moved:
        results: Iterator[tuple[int, Arrays]] = run(joblib.delayed(_one)(number, fit, sets) for number, fit in enumerate(mine))
        for number, arrays in results:
            kept.save(keys[mine[number]], arrays)
            done[mine[number]] = arrays
            moved.update(mine[number].cost)
    barrier()
    return done | {fit: _found(kept, keys[fit]) for fit in left if fit not in done}


def _found(kept: Cache, key: str) -> Arrays:
    """What another process has fitted."""
    arrays = kept.load(key)
    if arrays is None:
        raise TardiffError(f"{kept.folder}: lacks what another process fitted; give a --cache that all processes share")
    return arrays


def _one(number: int, fit: Fit, sets: Sets) -> tuple[int, Arrays]:
    with one_thread():
        return number, fit.run(sets)
