"""Where the expressions run: DuckDB under a memory cap, or a database that the user names."""

import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import duckdb
import ibis
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from tardiff.errors import TardiffError

UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
LEAST = 256 * 10**6
"""What DuckDB needs to read a compressed file at all."""
RESERVE = (0.1, 150 * 10**6)
"""What is left free, a share of the cap and bytes: for what DuckDB does not count, and for the batches that pass through Python."""
FRESH = 600 * 10**6
"""What a process holds that has done nothing else, at most: what a longer-lived one (a notebook) holds beside it is not counted."""
ROOM_TO_WRITE = 1.25
"""How much of its size an array takes while it is checked and written."""
BATCH = 1 << 18
"""Rows that pass through Python at a time."""
SPARK = {"spark.sql.session.timeZone": "UTC", "spark.sql.ansi.enabled": "true", "spark.sql.execution.arrow.pyspark.enabled": "true"}
"""Times carry no zone; what cannot be read is an error, not a missing value; tables cross over as Arrow."""
SPARK_LOCAL = {"spark.sql.shuffle.partitions": "8", "spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false"}


def bytes_of(size: str) -> int:
    """A size such as 2GB or 1.5 GiB in bytes.

    Raises:
        TardiffError: it is not a size.
    """
    match = re.fullmatch(r"\s*([\d.]+)\s*([a-zA-Z]*)\s*", size)
    try:
        return int(float(match[1]) * UNITS[match[2].upper()]) if match else int(size)
    except (KeyError, ValueError) as error:
        raise TardiffError(f"memory: {size!r} is not a size; write 2GB, 1500MB or 1.5GiB") from error


@contextmanager
def engine(connection: str | None, memory: str, threads: int | None, scratch: Path) -> Iterator[Any]:
    """Open a connection, and make it the default backend of ibis until the block ends.

    Args:
        connection: postgres://USER@HOST/DATABASE, or spark or spark://MASTER; None is DuckDB inside this process.
        memory: what the whole process may hold, with DuckDB in it.
        threads: threads of DuckDB; None is one a core.
        scratch: folder to spill to.

    Raises:
        TardiffError: no such kind of database, it cannot be reached, or its extra is not installed.
    """
    before = ibis.options.default_backend
    backend = _connect(connection, memory, threads, scratch)
    ibis.options.default_backend = backend
    try:
        yield backend
    finally:
        ibis.options.default_backend = before
        backend.disconnect()


def check_fits(memory: str, size: int, what: str) -> None:
    """Refuse, before it is filled, what would not fit into `memory` beside what the process holds already.

    Raises:
        TardiffError: naming how much is needed.
    """
    needed = _resident() + int(size * ROOM_TO_WRITE)
    if needed > bytes_of(memory):
        raise TardiffError(
            f"memory: {what} take {size / 1e9:.1f} GB, the whole process {needed / 1e9:.1f} GB, more than {memory}; "
            "choose fewer --variables or --hours, or give more --memory"
        )


def _connect(connection: str | None, memory: str, threads: int | None, scratch: Path) -> Any:
    if connection is None:
        return _duckdb(memory, threads, scratch)
    kind = re.split("[:+]", connection, maxsplit=1)[0]
    try:
        if kind in ("postgres", "postgresql"):
            return ibis.connect(re.sub(r"^postgres\w*", "postgres", connection))
        if kind == "spark":
            return _spark(connection.partition("://")[2] or None)
    except ImportError as error:
        raise TardiffError(f"connection: {kind} needs more packages ({error}); pip install 'tardiff[{kind}]'") from error
    except Exception as error:  # each driver has its own
        raise TardiffError(f"connection: cannot be opened ({' '.join(str(error).split())[:300]})") from error
    raise TardiffError(f"connection: {kind!r} is not known; write postgres://USER@HOST/DATABASE or spark://MASTER")


def _duckdb(memory: str, threads: int | None, scratch: Path) -> Any:
    total = bytes_of(memory)
    limit = int(total * (1 - RESERVE[0])) - RESERVE[1] - _resident()
    if limit < LEAST:
        raise TardiffError(f"memory: {memory} leaves DuckDB {max(limit, 0) // 10**6} MB and it needs {LEAST // 10**6}; give more")
    options: dict[str, Any] = {
        "memory_limit": f"{limit // 10**6}MB",
        "temp_directory": str(scratch),
        "preserve_insertion_order": False,
        # The left side of a join streams and the right side is held in memory, as written: how long a compressed file
        # is cannot be guessed, and DuckDB would hold the events to stream the stays.
        "disabled_optimizers": "join_order,build_side_probe_side",
    }
    return ibis.duckdb.connect(**options, **({"threads": threads} if threads else {}))


def _spark(master: str | None) -> Any:
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.appName("tardiff")
    if master:
        builder = builder.master(master)
    on_one_machine = SPARK_LOCAL if (master or "").startswith("local") else {}
    for key, value in {**SPARK, **on_one_machine}.items():
        builder = builder.config(key, value)
    return ibis.pyspark.connect(builder.getOrCreate())


def _resident() -> int:
    """What this process holds in memory now, up to `FRESH`; 300 MB where the system does not say."""
    try:
        return min(FRESH, int(Path("/proc/self/statm").read_text().split()[1]) * 4096)
    except (OSError, ValueError, IndexError):
        return 300 * 10**6


def database_errors() -> tuple[type[Exception], ...]:
    """What DuckDB and the drivers in use raise when a table cannot be read."""
    errors: list[type[Exception]] = [duckdb.Error, pa.ArrowInvalid]
    if "psycopg" in sys.modules:
        errors.append(sys.modules["psycopg"].Error)
    if "pyspark" in sys.modules:
        errors += [sys.modules["pyspark"].errors.PySparkException, sys.modules["py4j.protocol"].Py4JError]
    return tuple(errors)


def limits_error(error: Exception, out: str | Path) -> TardiffError | None:
    """What to say if the machine, not a file, is the reason."""
    message = " ".join(str(error).split())
    if re.search("No space left|max_temp_directory_size|Disk quota|[Ff]ile too large", message):
        return TardiffError(
            f"{out}: cannot be written: the disk is full, or a limit of file sizes is reached; make room or choose another --out"
        )
    if isinstance(error, duckdb.OutOfMemoryException):
        return TardiffError(f"memory: too little for this ({message[:200]}); give more with --memory")
    return None


def write(table: ibis.Table, path: Path, what: str = "") -> None:
    """Evaluate a table into a Parquet file, whole or not at all; `what` names the progress bar.

    Raises:
        duckdb.Error: or that of another database: its content cannot be read.
    """
    temporary = path.with_suffix(".tmp")
    backend: Any = ibis.get_backend(table)
    if backend.name == "duckdb":
        with progress(what):
            backend.to_parquet(table, temporary, compression="zstd", compression_level=1)
    else:
        schema = table.schema().to_pyarrow()
        with pq.ParquetWriter(temporary, schema, compression="zstd", compression_level=1) as writer:
            for batch in backend.to_pyarrow_batches(table, chunk_size=BATCH):
                writer.write_batch(batch.cast(schema))
    temporary.replace(path)


@contextmanager
def progress(what: str) -> Iterator[None]:
    """A bar that follows how much of a compressed file has been read, on a terminal, where the system says so (Linux)."""
    bar = tqdm(total=100, desc=what, unit="%", disable=None if what else True, bar_format="{l_bar}{bar}| {elapsed}<{remaining}")
    done = threading.Event()

    def follow() -> None:
        while not done.wait(0.5):
            bar.update(max(0, min(_percent_read(), 99) - bar.n))

    thread = threading.Thread(target=follow, daemon=True)
    if not bar.disable:
        thread.start()
    try:
        yield
        bar.update(100 - bar.n)
    finally:
        done.set()
        if thread.is_alive():
            thread.join()
        bar.close()


def _percent_read() -> float:
    """How far the compressed file that is open has been read. DuckDB's own account stands still in a query with a join."""
    for entry in Path("/proc/self/fd").glob("*") if Path("/proc/self/fd").is_dir() else ():
        with suppress(OSError, ValueError, IndexError, ZeroDivisionError):
            file = entry.readlink()
            if file.suffix == ".gz":
                position = int(Path("/proc/self/fdinfo", entry.name).read_text().split()[1])
                return 100 * position / file.stat().st_size
    return 0.0
