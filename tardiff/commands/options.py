"""Options that commands share, and what several of them do."""

import os
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from tardiff.base.device import DeviceName
from tardiff.base.markdown import versioned
from tardiff.errors import TardiffError

Data = Annotated[Positional[Path], arg(metavar="DATA")]
Out = Annotated[Path, arg(metavar="PATH")]
Threads = Annotated[
    int | None,
    arg(metavar="N", help="Threads to compute with (default: the cores that idle now). Trained weights depend on it in their last digits."),
]


Device = Annotated[
    DeviceName,
    arg(help="Where networks compute: `auto` is the GPU of CUDA if there is one. Numbers differ between devices in their last digits."),
]


def use_threads(threads: int | None) -> None:
    """Limit every numerical library to so many threads, by default the free cores; to be called before they are imported.

    Raises:
        TardiffError: fewer than one.
    """
    if threads is not None and threads < 1:
        raise TardiffError(f"--threads {threads}: at least one is needed")
    if threads is not None or "OMP_NUM_THREADS" not in os.environ:
        os.environ["OMP_NUM_THREADS"] = str(threads or free_cores())


def free_cores() -> int:
    """Cores that this process may use and that idle now, at least one.

    Threads that wait for each other on a busy core slow each other many times over, so fewer are faster.
    """
    import psutil

    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    idle = sum(100 - busy for busy in psutil.cpu_percent(0.1, percpu=True)) / 100
    return max(1, min(allowed, round(idle)))


def name_and_path(item: str) -> tuple[str, Path]:
    """`NAME=PATH`, or a path that is named after its last part."""
    name, equals, path = item.partition("=")
    return (name, Path(path)) if equals else (Path(item).name, Path(item))


def by_name(option: str, items: tuple[str, ...]) -> dict[str, Path]:
    """The paths of an option that is repeated, by name.

    Raises:
        TardiffError: two have the same name.
    """
    named = dict(name_and_path(item) for item in items)
    if len(named) < len(items):
        raise TardiffError(f"{option}: two folders have the same name; give names as NAME=PATH")
    return named


def described(dataset: Any, path: str | Path) -> list[str]:
    """What a dataset folder holds, line by line: its head, the rules of its cohort, its splits."""
    manifest = dataset.manifest
    kind = "synthetic, " if manifest.synthetic else ""
    lines = [
        f"{path}: {kind}{manifest.task.name} from {versioned(manifest.source, manifest.source_version)}; "
        f"{len(manifest.channels)} channels x {manifest.steps} steps of {manifest.step_hours:g} h"
    ]
    for step in manifest.attrition:
        lines.append(f"  {step.stays:>8,} stays {step.subjects:>8,} patients  {step.rule}{'  [looks ahead]' if step.looks_ahead else ''}")
    for name, info in manifest.splits.items():
        counts = ", ".join(f"{n:,} {c}" for n, c in zip(info.classes, manifest.task.classes, strict=True))
        lines.append(f"  {name:<10} {info.rows:>8,} rows: {counts}")
    return lines


def deciding(dataset: Any, lines: list[str]) -> list[str]:
    """Of `described`, the first and the last rule and those that left somebody out."""
    rules = dataset.manifest.attrition
    kept = [k for k, rule in enumerate(rules) if k in (0, len(rules) - 1) or rule.stays < rules[k - 1].stays]
    return [lines[0], *(lines[1 + k] for k in kept), *lines[1 + len(rules) :]]
