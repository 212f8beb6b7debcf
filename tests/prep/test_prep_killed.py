"""kill -9 at any moment: the next call finishes the work, and nobody ever sees a folder that is not whole.

TARDIFF_KILLS says how often (6 if not given).
"""

import hashlib
import multiprocessing
import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_prep import PrepareSettings, prepare
from data_prep.simulate import simulate
from data_prep.work import Work
from tardiff.errors import TardiffError

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("TARDIFF_KILLS", "6"))
FILES = {"manifest.json", "train.safetensors", "validation.safetensors", "test.safetensors"}


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("killed") / "raw"
    simulate(path, 150, 5, ballast=2)
    return path


def started(settings: PrepareSettings, target: Callable[[PrepareSettings], Any] = prepare) -> BaseProcess:
    """A process of its own that prepares; what it needs has been imported before."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["data_prep.build", "data_prep.sources.mimic_iv"])
    process = context.Process(target=target, args=(settings,), daemon=True)
    process.start()
    return process


def digest(folder: Path) -> str:
    assert {path.name for path in folder.iterdir()} == FILES, "a folder that is not whole"
    return hashlib.sha256(b"".join((folder / name).read_bytes() for name in sorted(FILES))).hexdigest()


def stage(partial: Path) -> str:
    """What was under way, or had been finished, when the process was killed."""
    names = listing(partial)
    for word, what in (("result", "writing"), ("slots.tmp", "aggregating"), ("slots", "after aggregating"), (".tmp", "reading")):
        if any(word in name.removeprefix(str(partial)) for name in names):
            return what
    return "between two tables" if names else "before or after the work"


def listing(partial: Path) -> frozenset[str]:
    """Names of everything in the folder; a folder that vanishes meanwhile has none."""
    try:
        return frozenset(str(path) for path in partial.rglob("*"))
    except OSError:
        return frozenset()


def watched(process: BaseProcess, out: Path, expected: str | None, seconds: float, changes: int) -> int:
    """Wait until the process ends, so many seconds have passed, or files have come or gone so many times; gives how many times.

    Meanwhile any folder `out` that appears must be whole.
    """
    until, seen, counted = time.perf_counter() + seconds, frozenset[str](), 0
    while process.is_alive() and time.perf_counter() < until and counted < changes:
        time.sleep(0.001)
        now = listing(out.with_name("out.partial"))
        counted, seen = counted + (now != seen), now
        if expected and out.exists():
            assert digest(out) == expected
    return counted


def test_killed_at_any_moment(raw: Path, tmp_path: Path) -> None:
    """Half of the moments are drawn from the time of a straight run, half from the changes that it makes among its files."""
    settings = PrepareSettings("mimic-iv", tmp_path / "out", raw, variables="all")
    out, partial = tmp_path / "out", tmp_path / "out.partial"
    begun = time.perf_counter()
    straight = started(settings)
    most_changes = watched(straight, out, None, 600, 10_000)
    straight.join()
    duration = time.perf_counter() - begun
    assert straight.exitcode == 0
    expected = digest(out)
    shutil.rmtree(out)
    rng = np.random.default_rng(0)
    killed: Counter[str] = Counter()
    finished = 0
    while killed.total() < KILLS or not finished:
        process = started(settings)
        last = killed.total() >= KILLS
        by_time = rng.random() < 0.5
        seconds = rng.uniform(0, duration) if by_time and not last else 600
        changes = 10_000 if by_time or last else int(rng.integers(1, most_changes + 1))
        watched(process, out, expected, seconds, changes)
        if process.is_alive():
            process.kill()
            killed[stage(partial)] += 1
        else:
            assert process.exitcode == 0
        process.join()
        if out.exists() and not partial.exists():
            with pytest.raises(TardiffError, match="exists already"):
                prepare(settings)  # clears away what a call leaves that is killed as it clears
            assert digest(out) == expected
            assert [path.name for path in tmp_path.iterdir()] == ["out"], "something is left behind"
            shutil.rmtree(out)
            finished += 1
    print(f"killed {killed.total()} times: {dict(killed)}; finished {finished} times; a straight run takes {duration:.2f} s")


def left_by(target: Callable[[PrepareSettings], Any], settings: PrepareSettings) -> list[str]:
    """Names beside the folder once a process that kills itself has done so."""
    process = started(settings, target)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    return sorted(path.name for path in Path(settings.out).parent.iterdir())


def prepare_and_die(settings: PrepareSettings) -> None:
    """Killed between giving the folder its name and clearing up."""
    Work.clear = lambda self: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign]
    prepare(settings)


def prepare_and_die_clearing(settings: PrepareSettings) -> None:
    """Killed when the work in progress has lost its name and still stands."""
    renamed = Path.rename

    def rename(self: Path, target: Path) -> Path:
        moved = renamed(self, target)
        if target.name == ".out.partial.tmp":
            os.kill(os.getpid(), signal.SIGKILL)
        return moved

    Path.rename = rename  # type: ignore[assignment,method-assign]
    prepare(settings)


def test_killed_as_it_clears(raw: Path, tmp_path: Path) -> None:
    settings = PrepareSettings("mimic-iv", tmp_path / "out", raw)
    assert left_by(prepare_and_die_clearing, settings) == [".out.partial.tmp", "out"]
    expected = digest(tmp_path / "out")
    with pytest.raises(TardiffError, match="exists already"):
        prepare(settings)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert digest(tmp_path / "out") == expected


def test_killed_after_the_last_step(raw: Path, tmp_path: Path) -> None:
    settings = PrepareSettings("mimic-iv", tmp_path / "out", raw)
    assert left_by(prepare_and_die, settings) == ["out", "out.partial"]
    expected = digest(tmp_path / "out")
    other = replace(settings, hours=12)
    with pytest.raises(TardiffError, match="exists already"):
        prepare(other)
    prepare(settings)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert digest(tmp_path / "out") == expected
    with pytest.raises(TardiffError, match="exists already"):
        prepare(settings)
