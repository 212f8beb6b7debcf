"""Processor time of things that are done in turn, and what machine it was taken on."""

import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch

PACKAGES = ("torch", "numpy", "diffusers", "scikit-learn")


@dataclass(frozen=True)
class Timing:
    """Medians over the rounds, in seconds: of the process, which other work on the machine disturbs little, and of the clock."""

    cpu: float
    wall: float


def in_turn(jobs: Mapping[str, Callable[[], object]], rounds: int, warm_up: bool = True) -> dict[str, Timing]:
    """Time of every job, by name: all of them once a round, so that slow minutes of the machine meet all of them alike."""
    if warm_up:
        for job in jobs.values():
            job()
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            cpu, wall = time.process_time(), time.perf_counter()
            job()
            taken[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    return {name: Timing(*(statistics.median(column) for column in zip(*times, strict=True))) for name, times in taken.items()}


def machine() -> dict[str, object]:
    """What the numbers were taken on, and when."""
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "processor": _processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
        "versions": {package: version(package) for package in PACKAGES},
        "threads": torch.get_num_threads(),
    }


def _processor() -> str:
    """Its name, where the system tells one."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
