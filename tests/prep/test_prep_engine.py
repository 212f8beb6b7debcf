"""The memory cap, and work in progress."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prep_raw import RawMimic

from data_prep import PrepareSettings, engine, prepare, slots
from data_prep.engine import bytes_of, check_fits
from tardiff.errors import TardiffError


@pytest.mark.parametrize(("size", "expected"), [("2GB", 2 * 10**9), ("1.5 GiB", 3 * 2**29), ("1500mb", 1_500_000_000), ("77", 77)])
def test_sizes(size: str, expected: int) -> None:
    assert bytes_of(size) == expected


@pytest.mark.parametrize("size", ["", "much", "2XB", "1.2.3GB", "-2GB"])
def test_what_is_no_size(size: str) -> None:
    with pytest.raises(TardiffError, match="memory"):
        bytes_of(size)


def test_what_does_not_fit_is_refused(raw_mimic: RawMimic, tmp_path: Path) -> None:
    check_fits("4GB", 10**9, "the arrays")
    with pytest.raises(TardiffError, match=r"the arrays take 4\.0 GB"):
        check_fits("4GB", 4 * 10**9, "the arrays")
    with pytest.raises(TardiffError, match="memory: 300MB leaves DuckDB"):
        prepare(PrepareSettings("mimic-iv", tmp_path / "out", raw_mimic.write(), variables="hr", memory="300MB"))
    assert [path.name for path in tmp_path.iterdir()] == ["raw_mimic"]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture
def interrupted(raw_mimic: RawMimic, tmp_path: Path) -> tuple[PrepareSettings, Path]:
    """Settings whose work was left when the scan was kept, and the folder that an undisturbed call makes of the same."""
    raw = raw_mimic.write()
    whole = PrepareSettings("mimic-iv", tmp_path / "whole", raw, variables="hr")
    prepare(whole)
    stop = (
        "import os, sys, data_prep.slots as b\n"
        "from data_prep import PrepareSettings, prepare\n"
        "b.write = lambda *a, **k: os.kill(os.getpid(), 9)\n"
        "prepare(PrepareSettings('mimic-iv', sys.argv[1], sys.argv[2], variables='hr'))\n"
    )
    assert subprocess.run([sys.executable, "-c", stop, str(tmp_path / "out"), str(raw)], check=False).returncode == -9
    assert (tmp_path / "out.partial" / "chartevents.parquet").is_file()
    return PrepareSettings("mimic-iv", tmp_path / "out", raw, variables="hr"), tmp_path / "whole"


def test_work_goes_on_where_it_stopped(
    interrupted: tuple[PrepareSettings, Path], raw_mimic: RawMimic, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, whole = interrupted
    partial = Path(f"{settings.out}.partial")
    (partial / "labevents.tmp").write_text("half")
    # A table that has been read is not read again: nobody notices that its end is gone.
    table = raw_mimic.root / "icu/chartevents.csv.gz"
    content, times = table.read_bytes(), (table.stat().st_atime_ns, table.stat().st_mtime_ns)
    table.write_bytes(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))
    os.utime(table, ns=times)
    before = set(partial.parent.iterdir())
    prepare(settings)
    assert "going on where an earlier call stopped" in capsys.readouterr().err
    assert contents(Path(settings.out)) == contents(whole)
    assert set(partial.parent.iterdir()) == before - {partial} | {Path(settings.out)}


@pytest.mark.parametrize("changed", ["settings", "raw files"])
def test_work_starts_over_when_something_changed(
    changed: str, interrupted: tuple[PrepareSettings, Path], raw_mimic: RawMimic, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, whole = interrupted
    if changed == "settings":
        settings = PrepareSettings("mimic-iv", settings.out, settings.raw, variables="hr", hours=12)
    else:
        raw_mimic.chart(3, "2150-01-01 02:00:00", "70")
        raw_mimic.write()
    prepare(settings)
    assert f"the {changed} are not those of the earlier call; starting over" in capsys.readouterr().err
    assert contents(Path(settings.out)) != contents(whole)
    assert not Path(f"{settings.out}.partial").exists()


def test_a_folder_of_that_name_that_is_no_work_is_left_alone(raw_mimic: RawMimic, tmp_path: Path) -> None:
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / "mine").write_text("1")
    with pytest.raises(TardiffError, match=r"out\.partial: exists"):
        prepare(PrepareSettings("mimic-iv", tmp_path / "out", raw_mimic.write(), variables="hr"))
    assert (tmp_path / "out.partial" / "mine").read_text() == "1"


def test_stays_taken_in_turns_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = {"stays": 60, "variables": "all", "task": "aki"}
    at_once = prepare(PrepareSettings("simulate", tmp_path / "at_once", **chosen))  # type: ignore[arg-type]
    monkeypatch.setattr(slots, "EVENTS_AT_ONCE", 2000)
    in_turns = prepare(PrepareSettings("simulate", tmp_path / "in_turns", **chosen))  # type: ignore[arg-type]
    assert in_turns.manifest.content_hash == at_once.manifest.content_hash


def test_a_process_that_holds_much_already_may_prepare(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default cap is of what preparing takes, not of what a notebook holds."""
    monkeypatch.setattr(Path, "read_text", lambda path: "0 2000000 0")  # 8 GB
    assert engine._resident() == engine.FRESH
