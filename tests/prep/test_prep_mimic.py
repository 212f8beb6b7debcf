"""MIMIC-IV: which stay an entry belongs to, when it was known, in which files it may stand."""

import gzip
from pathlib import Path

import duckdb
import msgspec
import numpy as np
import pandas as pd
import pytest
from prep_raw import RawMimic

from data_prep import PrepareSettings, prepare
from data_prep.concepts import Place
from data_prep.sources.mimic_iv import MimicIV
from tardiff.errors import TardiffError

TYPES = "auto_type_candidates=['BIGINT', 'DOUBLE', 'TIMESTAMP', 'VARCHAR']"
CREATININE = Place("50912", table="labevents", label="Creatinine")
HEART_RATE = Place("220045", table="chartevents", label="Heart Rate")
PO2 = Place("50821", table="labevents", label="pO2")


def rows(raw: RawMimic, *places: Place, minutes: float = 1e9, before: float = 0.0) -> pd.DataFrame:
    """The events of stays 200 to 219, which begin at 2150-01-01 00:30 and end two days later."""
    events = MimicIV(raw.write()).events(places or (CREATININE,), minutes, before).to_pandas()
    return events.sort_values(["stay_id", "minute", "order"], ignore_index=True)


def test_a_result_goes_to_the_stay_during_which_it_was_taken(raw_mimic: RawMimic) -> None:
    raw_mimic.tables["icu/icustays"] += "3,103,333,PACU,PACU,2150-01-02 00:30:00,2150-01-04 00:30:00,2\n"
    raw_mimic.tables["icu/icustays"] += "3,103,334,PACU,PACU,2150-01-10 00:00:00,2150-01-11 00:00:00,1\n"
    times = {
        "2149-12-31 23:30:00": [(203, -60.0)],  # only if what came before is asked for
        "2150-01-01 00:30:00": [(203, 0.0)],
        "2150-01-02 00:29:00": [(203, 1439.0), (333, -1.0)],  # of the stay that goes on, and the history of the next
        "2150-01-02 00:30:00": [(333, 0.0)],  # the next stay has begun, though the first has not ended
        "2150-01-04 00:30:00": [],
        "2150-01-09 23:00:00": [(334, -60.0)],
        "2150-01-10 23:59:00": [(334, 1439.0)],
        "2150-01-11 00:00:00": [],
    }
    for time in times:
        raw_mimic.lab(3, time, "1.1")
    raw_mimic.lab(99, "2150-01-01 01:00:00", "1.1")  # of nobody in intensive care
    for before in (0.0, 120.0):
        expected = sorted(place for places in times.values() for place in places if place[1] >= -before)
        found = rows(raw_mimic, before=before)
        assert list(zip(found["stay_id"], found["minute"].round(6), strict=True)) == [(s, pytest.approx(m, abs=1e-6)) for s, m in expected]


def test_a_charted_value_goes_to_the_stay_it_names(raw_mimic: RawMimic) -> None:
    raw_mimic.chart(5, "2149-12-31 23:30:00", "70")
    raw_mimic.chart(5, "2150-01-01 01:30:00", "71")
    found = rows(raw_mimic, HEART_RATE)
    assert found[found["stay_id"] == 205][["minute", "value"]].to_numpy().tolist() == [[0, 80], [60, 71]]
    found = rows(raw_mimic, HEART_RATE, before=60.0, minutes=60.0)
    assert found[found["stay_id"] == 205][["minute", "value"]].to_numpy().tolist() == [[-60, 70], [0, 80]]


def test_results_have_the_time_of_storage_and_a_running_number(raw_mimic: RawMimic) -> None:
    raw_mimic.lab(4, "2150-01-01 01:30:00", "1.5", stored="2150-01-01 03:00:00", text="___")
    raw_mimic.lab(4, "2150-01-01 01:30:00", "1.6")
    raw_mimic.lab(4, "2150-01-01 01:40:00", "", text="HEMOLYZED")
    found = rows(raw_mimic)
    assert found[["minute", "available_minute", "order", "value"]].to_numpy().tolist() == [[60, 150, 1, 1.5], [60, 60, 2, 1.6]]


def test_arterial_is_what_the_specimen_says(raw_mimic: RawMimic) -> None:
    for specimen, kind in ((7, "ART."), (8, "VEN."), (9, "")):
        raw_mimic.lab(4, "2150-01-01 01:30:00", str(90 + specimen), item=50821, specimen=specimen)
        if kind:
            raw_mimic.lab(4, "2150-01-01 01:30:00", "", item=52033, specimen=specimen, text=kind)
    found = rows(raw_mimic, msgspec.structs.replace(PO2, specimen="ART."))
    assert dict(zip(found["value"], found["specimen"].fillna(""), strict=True)) == {97.0: "ART.", 98.0: "VEN.", 99.0: ""}
    assert rows(raw_mimic, PO2)["specimen"].isna().all()
    raw_mimic.tables["hosp/d_labitems"] = raw_mimic.tables["hosp/d_labitems"].replace("Specimen Type", "Something Else")
    with pytest.raises(TardiffError, match="item 52033 is 'Something Else', expected 'Specimen Type'"):
        rows(raw_mimic, msgspec.structs.replace(PO2, specimen="ART."))


def test_outcomes(raw_mimic: RawMimic) -> None:
    raw_mimic.tables["icu/icustays"] += "3,103,333,PACU,PACU,2150-01-04 00:30:00,2150-01-05 00:30:00,1\n"
    before = "3,103,2150-01-01 00:00:00,2150-01-05 00:00:00,,0\n"
    assert before in raw_mimic.tables["hosp/admissions"]
    raw_mimic.tables["hosp/admissions"] = raw_mimic.tables["hosp/admissions"].replace(
        before, "3,103,2150-01-01 00:00:00,2150-01-05 12:30:00,2150-01-05 12:30:00,1\n"
    )
    stays = MimicIV(raw_mimic.write()).stays().set_index("stay_id")
    columns = ["minutes", "death_minute", "discharge_minute", "next_minute", "order", "stays_in_admission"]
    assert stays.loc[203, columns].tolist() == [2880, 6480, 6480, 4320, 0, 2]
    assert stays.loc[333, columns].tolist() == pytest.approx([1440, 2160, 2160, np.nan, 1, 2], nan_ok=True)
    assert stays.loc[204, columns].tolist() == pytest.approx([2880, np.nan, 5730, np.nan, 0, 1], nan_ok=True)


@pytest.mark.parametrize("layout", ["flat", "csv", "parquet", "parts"])
def test_other_layouts_give_the_same(layout: str, raw_mimic: RawMimic, tmp_path: Path) -> None:
    for stay in range(20):
        raw_mimic.chart(stay, "2150-01-01 05:00:00", f"{60 + stay}.5")
    expected = prepare(PrepareSettings("mimic-iv", tmp_path / "expected", raw_mimic.write(), variables="hr"))
    other = tmp_path / "other"
    for path in sorted(raw_mimic.root.rglob("*.csv.gz")):
        name = path.name.removesuffix(".csv.gz")
        place = other / ("" if layout == "flat" else path.parent.name)
        place.mkdir(parents=True, exist_ok=True)
        if layout == "flat":
            (place / path.name).write_bytes(path.read_bytes())
        elif layout == "csv":
            (place / f"{name}.csv").write_bytes(gzip.decompress(path.read_bytes()))
        elif layout == "parquet":
            duckdb.sql(f"COPY (FROM read_csv('{path}', {TYPES})) TO '{place / name}.parquet'")
        else:
            (place / f"{name}.parquet").mkdir()
            for part, rest in (("a", 0), ("b", 1)):
                query = (
                    f"SELECT * EXCLUDE n FROM (SELECT *, row_number() OVER () AS n FROM read_csv('{path}', {TYPES})) WHERE n % 2 = {rest}"
                )
                duckdb.sql(f"COPY ({query}) TO '{place / name}.parquet/{part}.parquet'")
    assert prepare(PrepareSettings("mimic-iv", tmp_path / "out", other, variables="hr")).manifest == expected.manifest


def test_the_release_is_recognised(raw_mimic: RawMimic, real_data: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    demo = MimicIV(real_data / "mimic-iv-demo-2.2")
    assert (demo.version, demo.remarks()) == ("2.2 demo", [])
    made = MimicIV(raw_mimic.write())
    assert made.version == "2.x"
    assert "icustays 20" in made.remarks()[0]
    raw_mimic.tables["hosp/patients"] += "77,F,50,2148,2020 - 2022,\n"
    assert MimicIV(raw_mimic.write()).version == "3.x"
    prepare(PrepareSettings("mimic-iv", tmp_path / "out", raw_mimic.root, variables="hr"))
    assert "warning: the row counts (icustays 20, patients 21" in capsys.readouterr().err


def test_a_big_table_is_counted_where_that_is_free(real_data: Path, tmp_path: Path) -> None:
    demo = real_data / "mimic-iv-demo-2.2"
    for name in ("icu/icustays", "hosp/patients", "hosp/admissions"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.csv.gz").symlink_to(demo / f"{name}.csv.gz")
    duckdb.sql(f"COPY (FROM read_csv('{demo}/icu/outputevents.csv.gz') LIMIT 9000) TO '{tmp_path}/icu/outputevents.parquet'")
    (remark,) = MimicIV(tmp_path).remarks()
    assert "outputevents.parquet has 9,000 rows, release 2.2 demo 9,362" in remark


@pytest.mark.parametrize(
    ("table", "row", "words"),
    [
        ("icu/chartevents", "1,2,3\n", ("row 22", "3 columns")),
        ("icu/chartevents", "3,103,x,,2150-01-01 02:00:00,,220045,80,80,,0\n", ("row 22", "stay_id")),
        ("icu/chartevents", "3,103,203,,2150-01-01 02:00:00,late,220045,80,80,,0\n", ("row 22", "storetime")),
        ("icu/chartevents", "3;103;203;;2150-01-01 02:00:00;;220045;80;80;;0\n", ("row 22", "columns")),
        ("hosp/labevents", "x,3,,1,50912,,2150-01-01 02:00:00,,1,1,mg/dL,,,,,\n", ("row 2", "labevent_id")),
    ],
)
def test_a_row_that_cannot_be_read(table: str, row: str, words: tuple[str, ...], raw_mimic: RawMimic, tmp_path: Path) -> None:
    raw_mimic.tables[table] += row
    raw_mimic.write()
    settings = PrepareSettings("mimic-iv", tmp_path / "out", raw_mimic.root, variables="hr,creatinine")
    with pytest.raises(TardiffError) as caught:
        prepare(settings)
    message = str(caught.value)
    assert all(word in message for word in (f"{table}.csv.gz", *words))
    assert "2150" not in message


def test_a_missing_table_says_where_to_get_it(raw_mimic: RawMimic, tmp_path: Path) -> None:
    raw = raw_mimic.write()
    (raw / "icu/chartevents.csv.gz").unlink()
    with pytest.raises(TardiffError, match=r"chartevents\.csv\.gz: no such file.*physionet\.org"):
        prepare(PrepareSettings("mimic-iv", tmp_path / "out", raw, variables="hr"))
