"""What a refinement writes down: one JSON line an iteration, TensorBoard if wanted, and one figure at the end."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tardiff.base.files import replace_file
from tardiff.errors import TardiffError
from tardiff.evaluate.plots import SETS, save_png

NAME = "refinement.jsonl"
FIGURE = "refinement.png"
LOGARITHMIC = ("kl", "approx_kl")
PANELS = {
    "divergence from the base and from the last policy": ("kl", "approx_kl"),
    "share of decisions clipped": ("clip_fraction",),
    "discriminator: share told rightly": ("discriminator_fake", "discriminator_train", "discriminator_held", "pseudo"),
    "root mean square distance": ("diversity", "nearest"),
    "value head": ("explained_variance",),
}

CHECKS = {
    "utility": "gain in TSTR AUPRC, validation rows",
    "distance": "distance of features added, validation rows",
    "marginal": "distance of values added, validation rows",
}


class Log:
    """Records of all iterations so far; `tracker` is the folder of TensorBoard's files."""

    def __init__(self, tracker: Path | None = None) -> None:
        self.records: list[dict[str, Any]] = []
        self._folder = tracker
        self._tracker: Any = None
        if tracker:
            from accelerate.utils import is_tensorboard_available

            if not is_tensorboard_available():
                raise TardiffError("--track needs TensorBoard: pip install 'tardiff[track]'")

    def open(self) -> None:
        """Begin TensorBoard's files, if they are wanted."""
        if self._folder:
            from accelerate import Accelerator

            self._tracker = Accelerator(log_with="tensorboard", project_dir=self._folder)
            self._tracker.init_trackers("refinement")

    def add(self, record: dict[str, Any]) -> None:
        """Keep a record of numbers, and of one check perhaps."""
        self.records.append(record)
        if self._tracker is not None:
            check = {f"check/{name}": value for name, value in record.get("check", {}).items() if not isinstance(value, Mapping)}
            self._tracker.log({name: value for name, value in (record | check).items() if name != "check"}, step=record["iteration"])

    def last_check(self) -> str:
        """The last check's score, for a progress bar."""
        scores = [record["check"]["score"] for record in self.records if "check" in record]
        return f"{scores[-1]:+.1f}" if scores else "-"

    def write(self, folder: Path) -> None:
        """Write the lines."""
        replace_file(folder / NAME, "".join(json.dumps(record) + "\n" for record in self.records))

    def close(self) -> None:
        """Let TensorBoard finish its files."""
        if self._tracker is not None:
            self._tracker.end_training()

    def draw(self, folder: Path) -> None:
        """Write the figure."""
        save_png(figure(self.records), folder / FIGURE)


def figure(records: list[dict[str, Any]]) -> Figure:
    """Each reward with its spread, divergence, discriminator, distances, and the checks with their intervals."""
    rewards = [name for name in records[0] if name.startswith("reward/")]
    panels = {title: names for title, names in PANELS.items() if any(name in records[0] for name in names)}
    checks = [record for record in records if "check" in record]
    kinds = [kind for kind in CHECKS if checks and kind in checks[0]["check"]]
    count = len(rewards) + len(panels) + len(kinds)
    rows = -(-count // 3)
    drawn = Figure(figsize=(12, 2.6 * rows), layout="constrained")
    axes = list(drawn.subplots(rows, 3, squeeze=False).flat)
    for name in rewards:
        _band(axes.pop(0), records, name)
    for title, names in panels.items():
        _lines(axes.pop(0), records, title, [name for name in names if name in records[0]])
    for kind in kinds:
        _check(axes.pop(0), checks, kind)
    for spare in axes:
        spare.set_visible(False)
    return drawn


def _band(axes: Axes, records: list[dict[str, Any]], name: str) -> None:
    x = [record["iteration"] for record in records]
    mean = [record[name] for record in records]
    spread = [record[name.replace("reward/", "reward_spread/")] for record in records]
    axes.plot(x, mean, color=SETS[1])
    axes.fill_between(
        x, [m - s for m, s in zip(mean, spread, strict=True)], [m + s for m, s in zip(mean, spread, strict=True)], color=SETS[1], alpha=0.15
    )
    _titled(axes, f"{name}, mean and spread")


def _lines(axes: Axes, records: list[dict[str, Any]], title: str, names: list[str]) -> None:
    for colour, name in zip(SETS, names, strict=False):
        axes.plot([record["iteration"] for record in records], [record[name] for record in records], color=colour, label=name)
    if set(names) <= set(LOGARITHMIC) and any(record[name] > 0 for record in records for name in names):
        axes.set_yscale("log", nonpositive="mask")
    axes.legend(frameon=False, fontsize=8)
    _titled(axes, title)


def _check(axes: Axes, checks: list[dict[str, Any]], kind: str) -> None:
    for record in checks:
        figures, x = record["check"][kind], record["iteration"]
        axes.plot((x, x), (figures["low"], figures["high"]), color=SETS[2])
        axes.plot(x, figures["value"], "x" if record["check"]["went_back"] else "o", color=SETS[2])
    axes.axhline(0, color="#555555", linewidth=0.8, linestyle=":")
    _titled(axes, CHECKS[kind])


def _titled(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("iteration", fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.spines[["top", "right"]].set_visible(False)
