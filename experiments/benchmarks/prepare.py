"""What `tardiff prepare mimic-iv` costs, against a bare scan of the same file and a version in pandas.

Simulates raw tables of the sizes asked for (kept under --work and used again), then runs every job in a process of its own,
one after the other, repeatedly. For each run: seconds, seconds of processor, and the highest memory of all its processes.

    python -m experiments.benchmarks.prepare --work DIR --out prepare.json
"""

import argparse
import csv
import gzip
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

ROWS_A_STAY, BALLAST = 4660, 8
"""Of the simulated chartevents: as many rows a stay as the real table has, one in ten of which is a vital sign."""
FULL = {"chartevents": 432_997_491, "labevents": 158_374_764, "outputevents": 5_359_395}
"""Rows of MIMIC-IV 3.1, as published."""
VITALS = {
    "hr": (1, 300, ((220045,),)),
    "sbp": (1, 300, ((220050, 225309), (220179,))),
    "dbp": (1, 200, ((220051, 225310), (220180,))),
    "map": (1, 250, ((220052, 225312), (220181,))),
    "resp": (1, 70, ((220210, 224690),)),
    "temp": (26, 45, ((223762, 223761),)),
    "spo2": (1, 100, ((220277,),)),
}
"""Limits and items, preferred ones first, written down a second time: the pandas version must not lean on what it is compared with."""
HOURS = 24


NEEDED = {
    "icu/chartevents.csv.gz": ("stay_id", "charttime", "itemid", "valuenum"),
    "icu/outputevents.csv.gz": ("stay_id", "charttime", "itemid", "value"),
    "hosp/labevents.csv.gz": ("subject_id", "charttime", "storetime", "itemid", "valuenum"),
}
"""Columns that no preparation can do without."""


def scan(raw: Path, out: Path, tables: dict[str, list[str]]) -> None:
    """(a) DuckDB, all columns as text, rows of the wanted items to Parquet; nothing else."""
    import duckdb

    connection = duckdb.connect()
    connection.execute(f"SET memory_limit = '2GB'; SET preserve_insertion_order = false; SET temp_directory = '{out}.tmp'")
    out.mkdir()
    for path, items in tables.items():
        with gzip.open(raw / path, "rt", newline="") as lines:
            columns = ", ".join(f"'{name}': 'VARCHAR'" for name in next(csv.reader(lines)))
        chosen = ", ".join(f"'{item}'" for item in items)
        connection.execute(
            f"COPY (SELECT {', '.join(NEEDED[path])} FROM read_csv('{raw / path}', header = true, auto_detect = false, "
            f"columns = {{{columns}}}, delim = ',', quote = '\"', escape = '\"') WHERE itemid IN ({chosen})) "
            f"TO '{out / Path(path).name}.parquet' (FORMAT parquet)"
        )


def pandas_grid(raw: Path, out: Path) -> None:
    """(b) The seven vital signs in pandas, two million rows at a time: sums and counts an hour, then arrays."""
    import numpy as np
    import pandas as pd

    place = {
        item: (channel, rank, low, high)
        for channel, (low, high, groups) in enumerate(VITALS.values())
        for rank, group in enumerate(groups)
        for item in group
    }
    rules = pd.DataFrame.from_dict(place, orient="index", columns=["channel", "rank", "low", "high"]).rename_axis("itemid").reset_index()
    stays = pd.read_csv(raw / "icu/icustays.csv.gz", usecols=["stay_id", "intime"], parse_dates=["intime"])
    parts = []
    columns = ["stay_id", "charttime", "itemid", "valuenum"]
    for chunk in pd.read_csv(raw / "icu/chartevents.csv.gz", usecols=columns, chunksize=2_000_000):
        rows = chunk[chunk["itemid"].isin(list(place))].merge(stays, on="stay_id").merge(rules, on="itemid")
        minute = (pd.to_datetime(rows["charttime"]) - rows["intime"]).dt.total_seconds() / 60
        fahrenheit = rows["itemid"].isin([223761, 223762]) & (rows["valuenum"] >= 60)
        rows["value"] = rows["valuenum"].where(~fahrenheit, (rows["valuenum"] - 32) / 1.8)
        rows["hour"] = minute // 60
        kept = rows[(minute >= 0) & (minute < 60 * HOURS) & rows["value"].between(rows["low"], rows["high"])]
        parts.append(kept.groupby(["stay_id", "channel", "hour", "rank"])["value"].agg(["sum", "count"]))
    cells = pd.concat(parts).groupby(level=[0, 1, 2, 3]).sum().reset_index()
    best = cells.sort_values("rank").drop_duplicates(["stay_id", "channel", "hour"])
    ids = np.sort(stays["stay_id"].to_numpy())
    values = np.full((len(ids), len(VITALS), HOURS), np.nan, np.float32)
    values[np.searchsorted(ids, best["stay_id"]), best["channel"], best["hour"].astype(int)] = best["sum"] / best["count"]
    out.mkdir()
    np.savez(out / "grid.npz", stay_id=ids, values=values)


def differing(made: Path, grid: Path) -> int:
    """How many cells of the prepared folder are not those of the pandas version (of the stays in both)."""
    import numpy as np

    from tardiff.data.dataset import Dataset

    plain = np.load(grid / "grid.npz")
    wrong = 0
    for split in Dataset.load(made).splits.values():
        theirs = plain["values"][np.searchsorted(plain["stay_id"], split.stay_id)]
        wrong += int((~np.isclose(split.values, theirs, rtol=1e-5, equal_nan=True)).sum())
    return wrong


def measured(command: list[str]) -> dict[str, float]:
    """Run a command; seconds, processor seconds, and the peak of the memory of it and its children (polled 50 times a second)."""
    before, start = os.times(), time.perf_counter()
    process = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    peak = 0
    while process.poll() is None:
        peak = max(peak, _memory(process))
        time.sleep(0.02)
    seconds, after = time.perf_counter() - start, os.times()
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed: {process.stderr.read().decode()}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return {"seconds": round(seconds, 2), "cpu_seconds": round(cpu, 2), "peak_mb": round(peak / 2**20)}


def _memory(process: psutil.Process) -> int:
    try:
        return sum(one.memory_info().rss for one in (process, *process.children(recursive=True)))
    except psutil.NoSuchProcess:
        return 0


def simulated(work: Path, millions: int) -> tuple[Path, dict[str, float] | None]:
    """The raw folder of a size and, if it had to be made, what that cost."""
    raw = work / f"raw-{millions}m"
    if raw.exists():
        return raw, None
    stays = str(round(millions * 1e6 / ROWS_A_STAY))
    cost = measured([sys.executable, "-m", "tardiff", "simulate", "--stays", stays, "--ballast", str(BALLAST), "--out", str(raw)])
    (work / f"raw-{millions}m.json").write_text(json.dumps(cost))
    return raw, cost


def places(variables: str) -> dict[str, list[str]]:
    """The tables that a choice of variables needs, and the items in them."""
    from data_prep.concept_files import load_concepts

    concepts = load_concepts()
    tables: dict[str, list[str]] = {}
    for place in concepts.places("mimic_iv", concepts.select("mimic_iv", variables)):
        tables.setdefault(f"{'hosp' if place.table == 'labevents' else 'icu'}/{place.table}.csv.gz", []).append(place.item)
    return tables


def counted(raw: Path) -> dict[str, int]:
    """Rows of the big tables, and how many chartevents rows are vital signs."""
    import duckdb

    items = [str(item) for _, _, groups in VITALS.values() for group in groups for item in group]
    rows = {}
    for table in ("icu/chartevents", "hosp/labevents", "icu/outputevents"):
        source = f"read_csv('{raw / table}.csv.gz', all_varchar = true)"
        rows[Path(table).name] = duckdb.sql(f"SELECT count(*) FROM {source}").fetchall()[0][0]
    wanted = f"SELECT count(*) FROM read_csv('{raw}/icu/chartevents.csv.gz', all_varchar = true) WHERE itemid IN {tuple(items)}"
    return rows | {"vitals": duckdb.sql(wanted).fetchall()[0][0]}


def jobs(raw: Path, scratch: Path, choices: list[str]) -> dict[str, tuple[Path, list[str]]]:
    """Name of each job, what it writes and its command."""
    here = [sys.executable, __file__, "--raw", str(raw)]
    made: dict[str, tuple[Path, list[str]]] = {}
    for variables in choices:
        out = scratch / f"scan-{variables}"
        made[f"scan {variables}"] = (out, [*here, "--scan", json.dumps(places(variables)), "--out", str(out)])
        out = scratch / f"prepared-{variables}"
        prepare = [sys.executable, "-m", "tardiff", "prepare", "mimic-iv", "--raw", str(raw), "--variables", variables]
        made[f"prepare {variables}"] = (out, [*prepare, "--out", str(out)])
    made["pandas vitals"] = (scratch / "pandas", [*here, "--pandas", "--out", str(scratch / "pandas")])
    return made


def run(work: Path, millions: int, repeats: int, choices: list[str]) -> dict[str, Any]:
    """Every job of one size, `repeats` times in turn (the pandas version once)."""
    raw, cost = simulated(work, millions)
    note = work / f"raw-{millions}m.json"
    cost = cost or (json.loads(note.read_text()) if note.exists() else None)
    result: dict[str, Any] = {"rows": counted(raw), "simulate": cost, "gzip_bytes": (raw / "icu/chartevents.csv.gz").stat().st_size}
    scratch = work / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    runs: dict[str, list[dict[str, float]]] = {}
    for repeat in range(repeats):
        for name, (out, command) in jobs(raw, scratch, choices).items():
            if name == "pandas vitals" and repeat:
                continue
            shutil.rmtree(out, ignore_errors=True)
            runs.setdefault(name, []).append(measured(command))
            print(f"  {millions} M  {name:<16} {runs[name][-1]}", flush=True)
    result["runs"] = runs
    result["differing_cells"] = differing(scratch / "prepared-vitals", scratch / "pandas")
    shutil.rmtree(scratch)
    return result


def table(results: dict[str, Any], choices: list[str]) -> str:
    """The result as text: medians, and for each repeat the ratio to the scan that ran just before."""
    lines = [
        "| chartevents rows | job | seconds | processor seconds | peak MB | times the scan, seconds | processor |",
        "|---|---|---|---|---|---|---|",
    ]
    for result in results["sizes"].values():
        rows = f"{result['rows']['chartevents'] / 1e6:.1f} M"
        if result["simulate"]:
            cost = result["simulate"]
            lines.append(f"| {rows} | simulate | {cost['seconds']:.1f} | {cost['cpu_seconds']:.1f} | {cost['peak_mb']:.0f} | | |")
        for name, runs in result["runs"].items():
            middle = {key: statistics.median(one[key] for one in runs) for key in runs[0]}
            against = result["runs"][f"scan {name.split()[1]}"]
            ratios = (
                " ".join(f"{one[key] / other[key]:.2f}" for one, other in zip(runs, against, strict=False))
                for key in ("seconds", "cpu_seconds")
            )
            figures = f"{middle['seconds']:.1f} | {middle['cpu_seconds']:.1f} | {middle['peak_mb']:.0f}"
            lines.append(f"| {rows} | {name} | {figures} | {' | '.join(ratios)} |")
    wrong = sum(result["differing_cells"] for result in results["sizes"].values())
    return "\n".join([*lines, "", f"cells of prepare and of the pandas version that differ: {wrong}", *extrapolated(results, choices)])


def extrapolated(results: dict[str, Any], choices: list[str]) -> list[str]:
    """Minutes for the whole of MIMIC-IV 3.1: the line through the two largest sizes, over the rows of the tables that are read."""
    if len(results["sizes"]) < 2:
        return []
    small, large = list(results["sizes"].values())[-2:]
    lines = []
    for variables in choices:
        read = [Path(path).name.removesuffix(".csv.gz") for path in places(variables)]
        rows = [sum(result["rows"][table] for table in read) for result in (small, large)]
        full = sum(FULL[table] for table in read)
        for job in ("scan", "prepare"):
            seconds = [statistics.median(one["seconds"] for one in result["runs"][f"{job} {variables}"]) for result in (small, large)]
            slope = (seconds[1] - seconds[0]) / (rows[1] - rows[0])
            minutes = (seconds[1] + slope * (full - rows[1])) / 60
            lines.append(
                f"{job} {variables}: {slope * 1e6:.2f} s a million rows; {minutes:.1f} minutes for the {full / 1e6:.0f} M rows of "
                f"{', '.join(read)}"
            )
    return lines


def main() -> None:
    """Run everything, or one job of it (which is how this script calls itself)."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="folder for simulated tables and scratch")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--millions", type=int, nargs="+", default=[5, 20, 60], help="rows of chartevents")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--variables", nargs="+", default=["vitals", "all"])
    parser.add_argument("--raw", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--scan", help=argparse.SUPPRESS)
    parser.add_argument("--pandas", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.scan:
        return scan(chosen.raw, chosen.out, json.loads(chosen.scan))
    if chosen.pandas:
        return pandas_grid(chosen.raw, chosen.out)
    if not chosen.work:
        parser.error("--work is needed")
    chosen.work.mkdir(parents=True, exist_ok=True)
    machine = {"cores": os.cpu_count(), "memory_gb": round(psutil.virtual_memory().total / 2**30), "python": platform.python_version()}
    sizes = {str(size): run(chosen.work, size, chosen.repeats, chosen.variables) for size in chosen.millions}
    results = {"machine": machine, "ballast": BALLAST, "sizes": sizes}
    print(table(results, chosen.variables))
    if chosen.out:
        chosen.out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
