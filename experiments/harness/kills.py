"""Kill commands at random moments, call them again, and compare what they write with what an undisturbed run wrote, byte for byte.

python -m experiments.harness.kills --work runs/kills --kills 20

For each of prepare, train, sample, refine and evaluate: one undisturbed run; then `kill -9` after a random part of its time, the same
command again, and so on, until so many kills have hit. Whenever a call ends by itself, its folder is compared and removed. After
every kill the folder must be absent or whole. A line of JSON a command goes to kills.jsonl beside this file.
"""

import argparse
import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
REFINE = ("--iterations", "6", "--rows", "64", "--steps", "4", "--check-every", "2", "--check-rows", "64", "--allow-worse")
COMMANDS = {
    "prepare": ("prepare", "simulate", "--stays", "400", "--out", "OUT"),
    "train": ("train", "data", "--steps", "60", "--widths", "16", "32", "--blocks", "1", "--validate-every", "10", "--out", "OUT"),
    "sample": ("sample", "run", "--classifier", "clf", "--n", "3000", "--steps", "10", "--pilot", "64", "--out", "OUT"),
    "refine": ("refine", "run", "--data", "data", *REFINE, "--out", "OUT"),
    "evaluate": ("evaluate", "--real", "data", "--synthetic", "synthetic", "--quick", "--bootstrap", "50", "--out", "OUT"),
}
GROUND = (
    ("prepare", "simulate", "--stays", "400", "--out", "data"),
    ("train", "data", "--steps", "60", "--widths", "16", "32", "--blocks", "1", "--out", "run"),
    ("fit-classifier", "data", "--architecture", "gru", "--epochs", "4", "--out", "clf"),
    ("sample", "run", "--guidance", "none", "--n", "240", "--out", "synthetic"),
)
TIMES = ("seconds", "sampling_seconds")


def main() -> None:
    """Kill, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder to work in")
    parser.add_argument("--kills", type=int, default=20, help="of each command")
    parser.add_argument("--commands", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    for arguments in GROUND:
        if not (options.work / arguments[-1]).exists():
            finish(options.work, arguments)
    for name in options.commands:
        result = torment(options.work, name, options.kills, random.Random(f"{options.seed} {name}"))
        print(json.dumps(result), flush=True)
        with (HERE / "kills.jsonl").open("a") as file:
            file.write(json.dumps(result) + "\n")


def torment(work: Path, name: str, kills: int, draw: random.Random) -> dict[str, object]:
    """Kill one command so many times; what happened."""
    out = work / f"{name}-out"
    straight, seconds = work / f"{name}-straight", 0.0
    for path in (out, straight, work / f"{name}-out.partial"):
        shutil.rmtree(path, ignore_errors=True)
    start = time.perf_counter()
    finish(work, told(name, straight))
    seconds = time.perf_counter() - start
    hit, ended, different, resumed = 0, 0, [], 0
    while hit < kills or not ended:
        process = begin(work, told(name, out))
        resumed += (work / f"{name}-out.partial").exists()
        try:
            status = process.wait(draw.uniform(0, seconds) if hit < kills else None)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            hit += 1
            if out.exists() and (wrong := differences(straight, out)):
                sys.exit(f"{name}: after kill {hit} the folder stands but is not whole: {wrong}")
            if not out.exists():
                continue
            status = 0
        if status:
            sys.exit(f"{name}: failed after {hit} kills:\n{(work / 'stderr.txt').read_text()[-2000:]}")
        ended += 1
        different += differences(straight, out)
        shutil.rmtree(out)
        shutil.rmtree(work / f"{name}-out.partial", ignore_errors=True)
    left = [path.name for path in work.iterdir() if path.name.startswith(f".{name}-out.")]
    return {
        "command": name,
        "kills": hit,
        "calls that went on from work in progress": resumed,
        "runs that ended": ended,
        "files that differ": sorted(set(different)),
        "temporary folders left": len(left),
        "seconds undisturbed": round(seconds, 1),
        "date": date.today().isoformat(),
        "versions": {package: version(package) for package in ("tardiff", "torch", "numpy")} | {"python": platform.python_version()},
    }


def told(name: str, out: Path) -> tuple[str, ...]:
    """A command that writes to a folder."""
    return tuple(out.name if word == "OUT" else word for word in COMMANDS[name])


def begin(work: Path, arguments: tuple[str, ...]) -> "subprocess.Popen[bytes]":
    """Start a command in a process group of its own, workers and all."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with (work / "stderr.txt").open("wb") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", "tardiff", *arguments],
            cwd=work,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )


def finish(work: Path, arguments: tuple[str, ...]) -> None:
    """Run a command to its end."""
    if begin(work, arguments).wait():
        sys.exit(f"tardiff {' '.join(arguments)} failed:\n{(work / 'stderr.txt').read_text()[-2000:]}")


def differences(one: Path, other: Path) -> list[str]:
    """Files that are not the same in two folders; of a log that tells times, those are left out."""
    files = {path.relative_to(folder) for folder in (one, other) for path in folder.rglob("*") if path.is_file()}
    return sorted(str(name) for name in files if content(one / name) != content(other / name))


def content(path: Path) -> object:
    """Bytes of a file, None if there is none; of a log's lines, all but the times."""
    if not path.exists():
        return None
    if path.suffix == ".jsonl":
        return [{k: v for k, v in json.loads(line).items() if k not in TIMES} for line in path.read_text().splitlines()]
    return path.read_bytes()


if __name__ == "__main__":
    main()
