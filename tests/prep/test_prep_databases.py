"""The same expressions on DuckDB, PostgreSQL and Spark: the same arrays, to the bit. BigQuery: the SQL is made and parsed."""

import gzip
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import ibis
import numpy as np
import pandas as pd
import pytest
import sqlglot
from prep_databases import TABLES, load, postgres, same

from data_prep import PrepareSettings, prepare
from data_prep.concept_files import load_concepts
from data_prep.grid import Grid, hourly
from data_prep.sources.mimic_iv import HOME, HOSPITAL, INTENSIVE, MimicIV
from data_prep.sources.tables import FileTables
from tardiff.data.dataset import Dataset
from tardiff.errors import TardiffError

CHOICES = {"variables": "all", "hours": 30, "before_hours": 6, "step_hours": 2.0}
"""A window that is not the default, with laboratory results from before the stay."""


@pytest.fixture(scope="session")
def demo(real_data: Path) -> Path:
    return real_data / "mimic-iv-demo-2.2"


@pytest.fixture(scope="session")
def from_files(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return prepare(PrepareSettings("mimic-iv", tmp_path_factory.mktemp("files") / "out", demo, **CHOICES))  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def database(demo: Path) -> Iterator[str]:
    with postgres() as url:
        load(url, demo)
        yield url


@pytest.mark.slow
def test_postgres(database: str, from_files: Dataset, tmp_path: Path) -> None:
    prepared = prepare(PrepareSettings("mimic-iv", tmp_path / "out", connection=database, **CHOICES))  # type: ignore[arg-type]
    same(prepared, from_files)
    assert Dataset.load(tmp_path / "out").manifest.content_hash == from_files.manifest.content_hash


@pytest.mark.slow
def test_postgres_says_what_is_missing(database: str, tmp_path: Path) -> None:
    for choices, word in (
        ({"connection": database, "schemas": "hosp,icu"}, "--schemas"),
        ({"connection": database, "source": "physionet2012"}, "--raw"),
        ({"connection": database.replace("127.0.0.1", "nowhere.invalid")}, "cannot be opened"),
        ({"connection": "oracle://x"}, "'oracle'"),
    ):
        with pytest.raises(TardiffError, match=word) as caught:
            prepare(PrepareSettings(**{"source": "mimic-iv", "out": tmp_path / "out", **choices}))  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)
        assert not list(tmp_path.iterdir())


@pytest.fixture(scope="session")
def twenty_patients(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A part of the demo, for Spark takes its time."""
    raw = tmp_path_factory.mktemp("part") / "raw"
    chosen = set(pd.read_csv(demo / "icu/icustays.csv.gz")["subject_id"].drop_duplicates().sort_values().iloc[:20].astype(str))
    for schema, tables in TABLES.items():
        folder = "hosp" if schema.endswith("hosp") else "icu"
        (raw / folder).mkdir(parents=True)
        for table in tables:
            with gzip.open(demo / folder / f"{table}.csv.gz", "rt") as lines, (raw / folder / f"{table}.csv").open("w") as out:
                header = next(lines)
                out.write(header)
                at = header.rstrip("\n").split(",").index("subject_id") if "subject_id" in header else None
                out.writelines(line for line in lines if at is None or line.split(",", at + 1)[at] in chosen)
    return raw


@pytest.mark.slow
def test_spark(twenty_patients: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyspark", reason="pyspark is not installed: pip install 'tardiff[spark]'")
    if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        pytest.skip("Spark needs Java, and there is none (Debian: apt-get install default-jre-headless)")
    from_files = prepare(PrepareSettings("mimic-iv", tmp_path / "files", twenty_patients, **CHOICES))  # type: ignore[arg-type]
    prepared = prepare(PrepareSettings("mimic-iv", tmp_path / "out", twenty_patients, "spark://local[2]", **CHOICES))  # type: ignore[arg-type]
    same(prepared, from_files)


class Unbound(FileTables):
    """Small tables from files; of the others the schema only, as a database has them."""

    def table(self, name: str, columns: Sequence[str]) -> ibis.Table:
        kinds = {"charttime": "timestamp", "storetime": "timestamp", "valuenum": "float64", "valueuom": "string"}
        kinds |= {"value": "float64" if name == "outputevents" else "string"}
        schema = {column: kinds.get(column, "int64") for column in columns}
        table = ibis.table(schema, name=name, database=f"mimiciv_{self._folders[name]}")
        return table


def test_bigquery_by_its_sql(demo: Path) -> None:
    from ibis.backends.sql.compilers.bigquery import compiler

    source = MimicIV.__new__(MimicIV)
    source._open(Unbound(demo, {**dict.fromkeys(HOSPITAL, "hosp"), **dict.fromkeys(INTENSIVE, "icu")}, HOME), ())
    concepts = load_concepts()
    names = concepts.select("mimic_iv", "all")
    windows = ibis.memtable(pd.DataFrame({"stay_id": [1], "row": np.array([0]), "start": [0.0]}))
    events = source.events(concepts.places("mimic_iv", names), 1440.0)
    slots = hourly(events, windows, Grid(concepts, "mimic_iv", names, 24))
    sql = compiler.to_sqlglot(slots).sql("bigquery")
    parsed = sqlglot.parse_one(sql, dialect="bigquery")
    tables = {table.sql("bigquery").replace("`", "").split(" ")[0] for table in parsed.find_all(sqlglot.exp.Table)}
    assert {"mimiciv_icu.chartevents", "mimiciv_icu.outputevents"} <= tables
    assert "UNIX_SECONDS" in sql
