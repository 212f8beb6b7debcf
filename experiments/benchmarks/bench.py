"""Whether a change has slowed something: an old commit against the working tree, in turn, in one run of ten minutes (`make bench`).

Each side has a process of its own, with one thread, that does the same jobs on the same made-up records; a round is every job once by
either side. What is compared is processor time, as ratios within a round, so that other work on the machine meets both sides alike.

    python -m experiments.benchmarks.bench --against HEAD~1 --minutes 10
"""

import argparse
import io
import json
import math
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SLOWER = 1.1
FEWEST = 3
"""Rounds, whatever the minutes are."""


def main() -> int:
    """Compare and print; the exit status is 1 if something is slower, or not there any more."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", default="HEAD", help="old commit")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(Path(options.work))
        return 0
    end = time.monotonic() + 60 * options.minutes
    with tempfile.TemporaryDirectory() as folder:
        old = Path(folder) / "old"
        archive = subprocess.run(["git", "archive", options.against], cwd=ROOT, capture_output=True, check=True).stdout
        with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
            packed.extractall(old, filter="data")
        sides = {"old": Side(old, Path(folder) / "a"), "new": Side(ROOT, Path(folder) / "b")}
        rounds: list[dict[str, dict[str, float]]] = []
        longest = 0.0
        while len(rounds) < FEWEST or time.monotonic() + longest < end:
            start = time.monotonic()
            order = list(sides) if len(rounds) % 2 else list(sides)[::-1]
            taken: dict[str, dict[str, float]] = {job: {} for job in JOBS}
            for job in JOBS:
                for side in order:
                    taken[job][side] = sides[side].seconds(job)
            rounds.append(taken)
            longest = max(longest, time.monotonic() - start)
        for side in sides.values():
            side.close()
    slower = False
    print(f"processor time, working tree against {options.against}: median of {len(rounds)} rounds")
    for job in JOBS:
        if absent := [side for side in sides if math.isnan(rounds[0][job][side])]:
            print(f"  {job:<32}not compared: the {' and the '.join(absent)} tree has not what it calls")
            slower = slower or "new" in absent
            continue
        ratios = [taken[job]["new"] / taken[job]["old"] for taken in rounds]
        verdict = "SLOWER" if is_slower(ratios) else ""
        slower = slower or bool(verdict)
        seconds = {side: statistics.median(taken[job][side] for taken in rounds) for side in sides}
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        print(f"  {job:<32}{seconds['old']:8.2f} s {seconds['new']:8.2f} s {statistics.median(ratios):6.2f}  ({spread})  {verdict}")
    return int(slower)


def is_slower(ratios: Sequence[float]) -> bool:
    """Whether the median of new / old is above `SLOWER`, and all but a quarter of the rounds say that there is a loss."""
    return statistics.median(ratios) > SLOWER and sum(ratio > 1 for ratio in ratios) >= 0.75 * len(ratios)


class Side:
    """A process that does jobs with the package of one tree.

    Args:
        tree: what is measured.
        folder: of its own, for what the jobs write.
    """

    def __init__(self, tree: Path, folder: Path) -> None:
        folder.mkdir()
        environment = os.environ | {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
        command = [sys.executable, str(Path(__file__)), "--work", str(folder)]
        self.process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder)

    def seconds(self, job: str) -> float:
        """Processor seconds of a job; NaN if the tree lacks a function or an argument that it calls.

        Raises:
            RuntimeError: the side has died.
        """
        assert self.process.stdin
        assert self.process.stdout
        print(job, file=self.process.stdin, flush=True)
        if not (line := self.process.stdout.readline()):
            raise RuntimeError(f"{job} failed")
        return float(json.loads(line))

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


def work(folder: Path) -> None:
    """Do the jobs that are named on standard input, one a line, and answer with processor seconds."""
    answer, sys.stdout = sys.stdout, sys.stderr
    import torch

    torch.set_num_threads(1)
    things, done = made(folder), 0
    for line in sys.stdin:
        out, done = folder / f"out-{done}", done + 1
        before = os.times()
        try:
            JOBS[line.strip()](things, out)
        except (TypeError, ImportError):
            taken = math.nan
        else:
            taken = sum(os.times()[:4]) - sum(before[:4])
        print(json.dumps(taken), file=answer, flush=True)


def made(folder: Path) -> Mapping[str, Any]:
    """What the jobs work with, made by the package that is measured; its public functions alone are called, which commits share."""
    from made_up import made_up  # of the working tree, in the folder of this script

    from tardiff import ClassifierSettings, TrainSettings, fit_classifier, train

    data = made_up(256).save(folder / "data")
    small = TrainSettings(steps=1, batch_size=64, validate_every=1)
    return {
        "data": data,
        "pipeline": train(data, folder / "run", small, progress=False),
        "classifier": fit_classifier(data, ClassifierSettings(epochs=1)),
    }


def _help(things: Mapping[str, Any], out: Path) -> None:
    subprocess.run([sys.executable, "-m", "tardiff", "--help"], check=True, capture_output=True)


def _train(things: Mapping[str, Any], out: Path) -> None:
    from tardiff import TrainSettings, train

    train(things["data"], out, TrainSettings(steps=6, validate_every=6), progress=False)


def _fit(things: Mapping[str, Any], out: Path) -> None:
    from tardiff import ClassifierSettings, fit_classifier

    fit_classifier(things["data"], ClassifierSettings(epochs=4))


def _sample(**guidance: Any) -> Callable[[Mapping[str, Any], Path], None]:
    def job(things: Mapping[str, Any], out: Path) -> None:
        from tardiff import GuidanceSettings, synthesise

        options = {"guidance": GuidanceSettings(**guidance), "progress": False}
        synthesise(things["pipeline"], 128, classifier=things["classifier"], **options)

    return job


def _evaluate(things: Mapping[str, Any], out: Path) -> None:
    from tardiff import EvaluateSettings
    from tardiff.evaluate import evaluate

    evaluate(things["data"], {"same": things["data"]}, EvaluateSettings(models=("logistic",), seeds=1, ratios=(), workers=1))


JOBS: dict[str, Callable[[Mapping[str, Any], Path], None]] = {
    "tardiff --help": _help,
    "train, 6 steps": _train,
    "fit a committee, 4 epochs": _fit,
    "sample 128, unguided": _sample(guidance="none"),
    "sample 128, classifier guide": _sample(strength=0.1),
    "sample 128, raw influence": _sample(objective="raw=1", strength=0.1),
    "evaluate, one judge": _evaluate,
}

if __name__ == "__main__":
    sys.exit(main())
