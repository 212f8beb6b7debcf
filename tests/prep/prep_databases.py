"""Real databases for the tests: a PostgreSQL cluster of their own, and MIMIC-IV loaded into it as mimic-code does."""

import gzip
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NUMBERS = {"subject_id", "hadm_id", "stay_id", "caregiver_id", "itemid", "labevent_id", "specimen_id", "anchor_age", "anchor_year"}
NUMBERS |= {"hospital_expire_flag", "warning"}
TIMES = {"charttime", "storetime", "intime", "outtime", "admittime", "dischtime", "deathtime", "edregtime", "edouttime"}
REALS = {"valuenum", "los", "ref_range_lower", "ref_range_upper", "lownormalvalue", "highnormalvalue"}
TABLES = {
    "mimiciv_hosp": ("patients", "admissions", "labevents", "d_labitems"),
    "mimiciv_icu": ("icustays", "chartevents", "outputevents", "d_items"),
}


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of an empty database on a server that lives as long as the block."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'tardiff[postgres]'")
    found = shutil.which("initdb") or next((str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))), None)
    if found is None:
        pytest.skip("PostgreSQL is not installed: no initdb on the path nor in /usr/lib/postgresql (Debian: apt-get install postgresql)")
    binaries = Path(found).resolve().parent
    # The server refuses to run as root; Debian's package makes a user for it.
    become = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    folder = Path(tempfile.mkdtemp(prefix="tardiff-pg-"))
    if become:
        shutil.chown(folder, "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def run(program: str, *arguments: str) -> None:
        command = [*become, str(binaries / program), *arguments]
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    try:
        run("initdb", "-D", str(folder / "data"), "-U", "postgres", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C")
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off -c timezone=America/New_York"
        run("pg_ctl", "-D", str(folder / "data"), "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield f"postgres://postgres@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "-D", str(folder / "data"), "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def load(url: str, raw: Path) -> None:
    """Load a MIMIC-IV folder with the types that mimic-code gives the columns."""
    import psycopg

    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        for schema, tables in TABLES.items():
            cursor.execute(f"CREATE SCHEMA {schema}")
            folder = "hosp" if schema.endswith("hosp") else "icu"
            for table in tables:
                with gzip.open(raw / folder / f"{table}.csv.gz", "rb") as lines:
                    columns = lines.readline().decode().strip().split(",")
                    types = ", ".join(f"{column} {_type(table, column)}" for column in columns)
                    cursor.execute(f"CREATE TABLE {schema}.{table} ({types})")
                    with cursor.copy(f"COPY {schema}.{table} FROM STDIN (FORMAT csv)") as copy:
                        while block := lines.read(1 << 20):
                            copy.write(block)


def _type(table: str, column: str) -> str:
    if column in NUMBERS:
        return "integer"
    if column in TIMES:
        return "timestamp(0)"
    return "double precision" if column in REALS or (table, column) == ("outputevents", "value") else "text"


def same(first: Any, second: Any) -> None:
    """Two data sets are the same, to the bit."""
    assert first.manifest == second.manifest
    assert {name: {key: array.tobytes() for key, array in split.arrays().items()} for name, split in first.splits.items()} == {
        name: {key: array.tobytes() for key, array in split.arrays().items()} for name, split in second.splits.items()
    }
