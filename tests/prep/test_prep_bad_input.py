"""Bad input gives one line that names what is wrong, and leaves no folder behind."""

import gzip
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prep_raw import Raw2012, RawMimic

from data_prep import PrepareSettings, prepare
from data_prep.simulate import simulate
from tardiff.errors import TardiffError


def refused(raw: Path | None, *words: str, source: str = "physionet2012", **choices: Any) -> str:
    """Prepare must fail with one line that holds `words`, and leave nothing."""
    place = (raw or Path("/nowhere")).parent / "made"
    if raw is not None and raw.parent.is_dir():
        place.mkdir()
    with pytest.raises(TardiffError) as caught:
        prepare(PrepareSettings(source, place / "out", raw, **choices))
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message
    assert not place.exists() or list(place.iterdir()) == []
    return message


def test_good_folders_are_not_refused(raw2012: Raw2012, raw_mimic: RawMimic, tmp_path: Path) -> None:
    dataset = prepare(PrepareSettings("physionet2012", tmp_path / "a", raw2012.cohort().write()))
    assert sum(len(split) for split in dataset.splits.values()) == 40
    assert dataset.train.values[0, 0, :3].tolist()[:2] == [60 + dataset.train.stay_id[0] % 40, 70 + dataset.train.stay_id[0] % 40]
    assert (dataset.train.static[:, 0] == 60).all()
    assert (
        sum(len(split) for split in prepare(PrepareSettings("mimic-iv", tmp_path / "b", raw_mimic.write(), variables="hr")).splits.values())
        == 20
    )


def test_an_unpacked_set_gives_the_same(raw2012: Raw2012, tmp_path: Path) -> None:
    archived = prepare(PrepareSettings("physionet2012", tmp_path / "a", raw2012.cohort().write()))
    unpacked = Raw2012(tmp_path / "unpacked").cohort().write(archived=False)
    assert prepare(PrepareSettings("physionet2012", tmp_path / "b", unpacked)).manifest == archived.manifest


@pytest.mark.parametrize("source", ["physionet2012", "mimic-iv"])
def test_missing_raw(source: str, tmp_path: Path) -> None:
    refused(tmp_path / "none", "none", "no such folder", source=source)
    refused(None, "--raw", source=source)


@pytest.mark.parametrize(
    ("line", "word"),
    [("00:20,HR,high", "Value"), ("00:20,HR,", "Value"), ("00:20,HR,nan", "Value"), ("0:2x,HR,80", "Time"), ("00:20,HR", "2 fields")],
)
def test_2012_a_bad_line(line: str, word: str, raw2012: Raw2012) -> None:
    raw2012.cohort().add(77, f"00:10,HR,80\n{line}\n00:30,HR,80\n")
    assert line not in refused(raw2012.write(), "set-a/77.txt", "line 9", word)


def test_2012_wrong_header(raw2012: Raw2012) -> None:
    raw2012.cohort().bodies["a"][7] = "Time;Parameter;Value\n"
    refused(raw2012.write(), "set-a/7.txt", "Time,Parameter,Value")


@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
def test_2012_truncated_archive(kept: float, raw2012: Raw2012) -> None:
    raw = raw2012.cohort(200).write()
    content = (raw / "set-a.tar.gz").read_bytes()
    (raw / "set-a.tar.gz").write_bytes(content[: int(len(content) * kept)])
    refused(raw, "set-a.tar.gz", "truncated")


def test_2012_outcomes(raw2012: Raw2012) -> None:
    raw = raw2012.cohort().write()
    path = raw / "Outcomes-a.txt"
    rows = path.read_text().splitlines(keepends=True)
    for content, words in (
        ("".join(rows[:-1]), ("set-a/40.txt", "Outcomes-a.txt")),
        ("".join(rows[1:]), ("Outcomes-a.txt", "header")),
        ("".join(rows).replace("\n5,1,1,5,-1,0", "\n5,1,1,5,-1,no"), ("Outcomes-a.txt", "line 6", "In-hospital_death")),
    ):
        path.write_text(content)
        refused(raw, *words)
        (raw.parent / "made").rmdir()
    path.unlink()
    refused(raw, "Outcomes-a.txt", "no such file")


def test_2012_cohort_left_empty_or_one_sided(raw2012: Raw2012, tmp_path: Path) -> None:
    for record in range(10):
        raw2012.add(record, "00:10,HR,80\n")
    refused(raw2012.write(), "out: no training row has class 'died'")
    children = Raw2012(tmp_path / "children")
    children.add(1, "00:10,HR,80\n", age=16)
    (tmp_path / "made").rmdir()
    refused(children.write(), "no stay is left", "age at least 18")
    missing = Raw2012(tmp_path / "missing")
    missing.add(1, "00:10,HR,-1\n00:11,Temp,-17.8\n30:00,HR,80\n")
    (tmp_path / "made").rmdir()
    refused(missing.write(), "no stay is left", "observed")


def test_choices(raw2012: Raw2012) -> None:
    raw = raw2012.cohort().write()
    for choices, words in (
        ({"variables": "hr,heart"}, ("'heart'", "vitals", "sbp_arterial")),
        ({"variables": "hr,hr"}, ("'hr'", "twice")),
        ({"task": "sepsis"}, ("'sepsis'", "in_hospital_death")),
        ({"sets": "c"}, ("set-c", "a")),
        ({"split": "by-set"}, ("by-set",)),
        ({"step_hours": 0.7}, ("step_hours", "0.7")),
        ({"step_hours": float("inf")}, ("step_hours", "inf")),
        ({"step_hours": 1e-9}, ("step_hours", "a minute")),
        ({"hours": 10**9}, ("memory", "the steps of every stay")),
        ({"hours": 72}, ("no stay is left", "72 h")),
        ({"source": "epic"}, ("'epic'", "physionet2012")),
    ):
        refused(raw, *words, **choices)  # type: ignore[arg-type]
        (raw.parent / "made").rmdir()


def test_an_existing_folder_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(TardiffError, match="exists already"):
        prepare(PrepareSettings("physionet2012", tmp_path / "out", tmp_path / "none"))


@pytest.mark.parametrize("table", ["icu/chartevents", "icu/icustays", "icu/d_items", "hosp/patients", "hosp/admissions"])
def test_mimic_tables(table: str, raw_mimic: RawMimic) -> None:
    raw = raw_mimic.write()
    path = raw / f"{table}.csv.gz"
    content = path.read_bytes()
    made = raw.parent / "made"
    path.write_bytes(content[: len(content) * 2 // 3])
    refused(raw, str(path), "truncated", source="mimic_iv", variables="hr")
    made.rmdir()
    path.write_bytes(gzip.compress(b"a,b\n1,2\n"))
    refused(raw, str(path), "header", source="mimic_iv", variables="hr")
    made.rmdir()
    path.unlink()
    refused(raw, str(path), "no such file", source="mimic_iv", variables="hr")


def test_mimic_without_stays(raw_mimic: RawMimic) -> None:
    raw = raw_mimic.write()
    path = raw / "icu" / "icustays.csv.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()).splitlines(keepends=True)[0]))
    refused(raw, "no stays", source="mimic_iv", variables="hr", task="aki_creatinine")


@pytest.mark.parametrize(("time", "value", "words"), [("2150-01-01 02:00:00", "fast", ("valuenum",)), ("noon", "80", ("charttime",))])
def test_mimic_text_for_a_number_or_time(time: str, value: str, words: tuple[str, ...], raw_mimic: RawMimic) -> None:
    raw_mimic.chart(3, time, value)
    refused(raw_mimic.write(), "chartevents.csv.gz", "row 22", *words, source="mimic_iv", variables="hr")


def test_mimic_an_item_that_means_something_else(raw_mimic: RawMimic) -> None:
    raw_mimic.tables["icu/d_items"] = raw_mimic.tables["icu/d_items"].replace("Heart Rate", "Heart Rhythm")
    refused(raw_mimic.write(), "d_items.csv.gz", "220045", "'Heart Rhythm'", source="mimic_iv", variables="hr")


def semicolons(text: str) -> str:
    return text.replace(",", ";")


def semicolons_below_the_header(text: str) -> str:
    header, rows = text.split("\n", 1)
    return header + "\n" + semicolons(rows)


def a_short_row(text: str) -> str:
    return text + "1,2\n"


def a_long_row(text: str) -> str:
    return text + text.splitlines()[-1] + ",9,9\n"


def an_open_quote(text: str) -> str:
    return text + text.splitlines()[-1].replace(",", ',"', 1) + "\n"


@pytest.mark.parametrize("table", ["icu/chartevents", "hosp/labevents", "icu/icustays", "hosp/patients", "hosp/admissions", "icu/d_items"])
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (semicolons, ("header", "separated by commas")),
        (semicolons_below_the_header, ("row 2 ", "1 columns")),
        (a_short_row, ("row", "2 columns")),
        (a_long_row, ("row", "columns, the header")),
        (an_open_quote, ("row",)),
    ],
)
def test_mimic_rows(damage: Callable[[str], str], words: tuple[str, ...], table: str, raw_mimic: RawMimic) -> None:
    raw_mimic.lab(3, "2150-01-01 02:00:00", "1.5", stored="2150-01-01 03:00:00")
    raw_mimic.tables[table] = damage(raw_mimic.tables[table])
    message = refused(raw_mimic.write(), f"{table}.csv.gz", *words, source="mimic_iv", variables="hr,creatinine")
    assert "2150" not in message, "no patient's row is shown"


@pytest.mark.parametrize(
    ("table", "column"),
    [
        *(("icu/icustays", column) for column in ("stay_id", "subject_id", "hadm_id", "intime", "outtime")),
        *(("icu/chartevents", column) for column in ("stay_id", "itemid", "charttime", "valuenum", "valueuom")),
        *(("hosp/labevents", column) for column in ("subject_id", "charttime", "storetime", "specimen_id", "labevent_id")),
        *(("hosp/admissions", column) for column in ("admittime", "hospital_expire_flag")),
        ("hosp/patients", "anchor_year"),
        ("icu/d_items", "label"),
    ],
)
def test_mimic_a_column_missing(table: str, column: str, raw_mimic: RawMimic) -> None:
    raw_mimic.tables[table] = raw_mimic.tables[table].replace(column, f"no_{column}", 1)
    words = (f"{table}.csv.gz", f"no column {column}", "physionet.org")
    refused(raw_mimic.write(), *words, source="mimic_iv", variables="hr,creatinine,pao2")


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ("icu/icustays", "row 22: its stay_id"),
        ("hosp/patients", "row 22: its subject_id"),
        ("hosp/admissions", "row 22: its hadm_id"),
        ("hosp/d_labitems", "row 5: its itemid"),
    ],
)
def test_mimic_a_row_that_stands_twice(table: str, key: str, raw_mimic: RawMimic) -> None:
    raw_mimic.tables[table] += raw_mimic.tables[table].splitlines()[-1] + "\n"
    refused(raw_mimic.write(), f"{table}.csv.gz", key, "more than one row", source="mimic_iv", variables="hr,creatinine")


def test_mimic_an_unknown_unit(raw_mimic: RawMimic) -> None:
    raw_mimic.lab(3, "2150-01-01 02:00:00", "133", stored="2150-01-01 03:00:00")
    raw_mimic.tables["hosp/labevents"] = raw_mimic.tables["hosp/labevents"].replace("mg/dL", "umol/L")
    refused(raw_mimic.write(), "50912", "'umol/l'", "mg/dl", "--concepts", source="mimic_iv", variables="creatinine")


def test_a_table_without_rows_is_remarked(raw_mimic: RawMimic, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = raw_mimic.write()
    prepare(PrepareSettings("mimic-iv", tmp_path / "one", raw, variables="hr,creatinine"))
    assert "warning: no row has a value of creatinine;" in capsys.readouterr().err
    raw_mimic.tables["icu/chartevents"] = raw_mimic.tables["icu/chartevents"].split("\n")[0] + "\n"
    refused(raw_mimic.write(), "no stay is left", "observed", source="mimic_iv", variables="hr,creatinine")


def test_what_stands_in_the_way_is_not_removed(raw_mimic: RawMimic) -> None:
    raw, notes = raw_mimic.write(), raw_mimic.root.parent / "out.partial" / "notes.txt"
    notes.parent.mkdir()
    notes.write_text("mine")
    with pytest.raises(TardiffError, match=r"out\.partial: exists, and is no unfinished"):
        prepare(PrepareSettings("mimic-iv", notes.parent.with_suffix(""), raw, variables="hr"))
    assert notes.read_text() == "mine"


def prepared_elsewhere(raw: Path, out: Path, most_bytes: int | None = None) -> list[str]:
    """Prepare in a process of its own that must fail with status 2; gives what it wrote to standard error."""

    def limit() -> None:
        if most_bytes:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))

    command = [sys.executable, "-m", "tardiff", "prepare", "mimic-iv", "--raw", str(raw), "--out", str(out)]
    run = subprocess.run(command, preexec_fn=limit, capture_output=True, text=True)
    assert run.returncode == 2, run.stderr
    return run.stderr.splitlines()


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    raw = tmp_path_factory.mktemp("simulated") / "raw"
    simulate(raw, 200)
    return raw


@pytest.mark.parametrize("most_bytes", [10, 60_000])
def test_a_file_that_cannot_grow(most_bytes: int, simulated: Path, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    error = prepared_elsewhere(simulated, tmp_path / "made" / "out", most_bytes)
    assert error[-1].startswith(f"tardiff: error: {tmp_path / 'made' / 'out'}")
    assert "cannot be written" in error[-1]
    assert list((tmp_path / "made").iterdir()) == []


@pytest.mark.slow
def test_a_disk_that_fills_up(simulated: Path, tmp_path: Path) -> None:
    """From one that holds next to nothing to the first that is large enough, so that it fills up at every stage of the work."""
    disk, failures, size = tmp_path / "disk", [], 50_000
    disk.mkdir()
    while True:
        if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk], capture_output=True).returncode:
            pytest.skip("a small disk can only be mounted by root")
        try:
            prepare(PrepareSettings("mimic-iv", disk / "out", simulated))
            break
        except TardiffError as error:
            failures.append(str(error))
            assert list(disk.iterdir()) == []
        finally:
            subprocess.run(["umount", disk], check=True)
        size = int(1.2 * size)
    assert len(failures) > 5
    assert all(message.startswith(str(disk / "out")) and "cannot be written" in message for message in failures), failures
