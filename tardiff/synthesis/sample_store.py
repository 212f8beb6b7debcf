"""Samples as they are drawn: part by part into files, so that memory does not grow with their number and a stopped run goes on."""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from tardiff.base.checkpoint import plain
from tardiff.base.distributed import barrier, main_process
from tardiff.base.files import read_struct, write_struct
from tardiff.base.partial import check_signed, sign
from tardiff.errors import TardiffError
from tardiff.guidance.log import GuidanceLog, Sums
from tardiff.model.pipeline import Samples

PART = 1024
ARRAYS = ("x0", "chart", "values", "mask", "static")

Draw = Callable[[NDArray[np.int64], Sequence[int], GuidanceLog, str], Samples]
"""(label, seeds, log, where in the whole this is) -> samples."""


class Progress(msgspec.Struct, frozen=True):
    """How far a store is filled, and what guidance did so far."""

    rows: int
    steps: dict[int, tuple[float, float, float, float, int]]


class SampleStore:
    """A folder that fills with samples.

    Args:
        folder: where; it holds one array file a field, and `progress.json`, which is written last.
        identity: what the samples depend on beside labels and seeds, JSON-able.
    """

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        self.folder = folder
        self.identity = plain(identity)

    def draw(self, draw: Draw, label: NDArray[np.int64], seeds: Sequence[int]) -> tuple[Samples, GuidanceLog]:
        """Draw what is not there yet; returns all samples, mapped from their files, and what guidance did to them."""
        first, log = self._begin()
        arrays = self._open(len(label)) if first else {}
        starts = range(first, len(label), PART)
        for start in starts:
            rows, fresh = slice(start, start + PART), GuidanceLog()
            where = f" {start // PART + 1}/{-(-len(label) // PART)}" if len(label) > PART else ""
            samples = draw(label[rows], seeds[rows], fresh, where)
            arrays = arrays or self._create(samples, len(label))
            for name, array in arrays.items():
                array[rows] = np.asarray(getattr(samples, name))
                array.flush()
            log = log.joined(fresh.over_processes())
            barrier()
            if main_process():
                steps = {index: astuple(sums) for index, sums in log.steps.items()}
                write_struct(self.folder / "progress.json", Progress(min(start + PART, len(label)), steps))
        x0, chart, values, mask, static = (arrays[name] for name in ARRAYS)
        return Samples(torch.from_numpy(x0), torch.from_numpy(chart), values, mask, static, label), log

    def clear(self) -> None:
        """Remove the folder, once the result stands."""
        if main_process():
            shutil.rmtree(self.folder, ignore_errors=True)

    def _begin(self) -> tuple[int, GuidanceLog]:
        """Rows that are there, and what guidance did to them."""
        path = self.folder / "progress.json"
        if not path.exists():
            barrier()
            return 0, GuidanceLog()
        kept = read_struct(path, Progress)
        check_signed(self.folder, self.identity)
        barrier()
        return kept.rows, GuidanceLog({index: Sums(*sums) for index, sums in kept.steps.items()})

    def _create(self, like: Samples, rows: int) -> dict[str, Any]:
        if main_process():
            try:
                sign(self.folder, self.identity)
                for name in ARRAYS:
                    array = np.asarray(getattr(like, name))
                    path = self.folder / f"{name}.npy"
                    open_memmap(path, "w+", array.dtype, (rows, *array.shape[1:]))
                    _take_room(path)
            except OSError as error:
                raise TardiffError(
                    f"{self.folder}: cannot be written ({error.strerror or error}); make room, or choose another --out"
                ) from error
        barrier()
        return self._open(rows)

    def _open(self, rows: int) -> dict[str, Any]:
        try:
            arrays = {name: open_memmap(self.folder / f"{name}.npy", "r+") for name in ARRAYS}
        except (OSError, ValueError) as error:
            raise TardiffError(f"{self.folder}: damaged ({error}); remove it to start again") from error
        if any(len(array) != rows for array in arrays.values()):
            raise TardiffError(f"{self.folder}: damaged (not {rows} rows); remove it to start again")
        return arrays


def _take_room(path: Path) -> None:
    """Take the room of a file now: a mapped file that finds the disk full later kills its process without a word."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
