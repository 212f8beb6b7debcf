"""Figures of an evaluation. They only draw: every number comes from a data set or a result."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from tardiff.data.dataset import Dataset, Split
from tardiff.evaluate.curves import bands
from tardiff.evaluate.lookup import cell, shown_ratio

# Colours that colour-blind readers can tell apart (Okabe & Ito, 2008).
CLASSES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
SETS = ("#E69F00", "#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
GREY = "#555555"
MAX_CHANNELS = 8
PATIENTS = 2  # of each class, as thin lines
METRIC_NAMES = {"auprc": "AUPRC", "auroc": "AUROC"}


def save_png(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG."""
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def trajectories(real: Dataset, synthetic: Mapping[str, Dataset]) -> Figure:
    """Real beside synthetic records: one column a channel (the first 8), one row a data set, one colour a class.

    Thin lines are single patients (dots are observed values, faint lines join them over gaps); thick lines are medians and
    bands hold the middle 80 % of the observed values of every step. Columns share their axes.
    """
    sets = {"real": real.train} | {name: dataset.train for name, dataset in synthetic.items()}
    channels = real.manifest.channels[:MAX_CHANNELS]
    classes = real.manifest.task.classes
    hours = np.arange(real.manifest.steps) * real.manifest.step_hours
    ticks = np.linspace(0, real.manifest.steps * real.manifest.step_hours, 5)
    figure = Figure(figsize=(2.1 * len(channels) + 0.8, 1.9 * len(sets) + 1.1), layout="constrained")
    axes = figure.subplots(len(sets), len(channels), squeeze=False, sharex=True, sharey="col")
    for row, (name, split) in enumerate(sets.items()):
        patients = {label: _well_observed(split, label) for label in range(len(classes))}
        for column in range(len(channels)):
            _panel(axes[row, column], split, column, hours, patients)
        axes[row, 0].set_ylabel(name, fontsize=11, fontweight="bold")
    for column, channel in enumerate(channels):
        axes[0, column].set_title(f"{channel.name} ({channel.unit})", fontsize=10)
        axes[0, column].set_ylim(*_range(real.train, column))
        axes[-1, column].set(xlabel="hour", xticks=ticks)
    figure.suptitle(f"Real and synthetic records by outcome: {PATIENTS} patients of each class, median and 10-90 % of all", fontsize=12)
    handles = [Patch(color=CLASSES[k % len(CLASSES)], alpha=0.6, label=label) for k, label in enumerate(classes)]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(classes), frameon=False)
    return figure


def utility_forest(result: Mapping[str, Any]) -> Figure:
    """Forest plot of AUPRC and AUROC by judge, with 95 % intervals.

    Rows are real data (TRTR), then each synthetic set alone (TSTR, filled) and added to the real rows (TSRTR, open). The
    dotted line continues the real data's value.
    """
    models, sets = result["settings"]["models"], list(result["synthetic"])
    rows = _forest_rows(result, sets)
    figure = Figure(figsize=(10, 0.9 + len(models) * (0.32 * len(rows) + 0.6)), layout="constrained")
    axes = figure.subplots(len(models), len(METRIC_NAMES), squeeze=False, sharex="col", sharey=True)
    for i, model in enumerate(models):
        for j, (metric, metric_name) in enumerate(METRIC_NAMES.items()):
            _forest(axes[i, j], result, model, metric, rows)
            if i == 0:
                axes[i, j].set_title(metric_name, fontsize=11)
        axes[i, 0].annotate(model, (0, 1), xytext=(-4, 6), textcoords="offset points", xycoords="axes fraction", ha="right", weight="bold")
    test = result["test"]
    task = test["task"].replace("_", " ")
    figure.suptitle(f"Predicting {task} for {test['rows']:,} real test rows, by what the model was trained on", fontsize=12)
    figure.supxlabel("bars: 95 % interval over test patients and fits; dotted: real training rows; open: synthetic rows added", fontsize=9)
    return figure


def _panel(axes: Axes, split: Split, channel: int, hours: NDArray[np.floating], patients: Mapping[int, NDArray[np.intp]]) -> None:
    for label, rows in patients.items():
        colour = CLASSES[label % len(CLASSES)]
        low, middle, high = bands(split.values[split.label == label, channel])
        axes.fill_between(hours, low, high, color=colour, alpha=0.14, linewidth=0)
        for patient in split.values[rows, channel]:
            observed = np.isfinite(patient)
            axes.plot(hours[observed], patient[observed], color=colour, linewidth=0.6, alpha=0.4)
            axes.plot(hours[observed], patient[observed], ".", color=colour, markersize=3, alpha=0.7, markeredgewidth=0)
        axes.plot(hours, middle, color="white", linewidth=3.4)
        axes.plot(hours, middle, color=colour, linewidth=2)
    _plain(axes)
    axes.yaxis.set_major_locator(MaxNLocator(4))


def _well_observed(split: Split, label: int) -> NDArray[np.intp]:
    """The first patients of a class with at least its median number of observations: their lines say something."""
    rows = np.flatnonzero(split.label == label)
    count = split.mask[rows].sum((1, 2))
    return rows[count >= np.median(count)][:PATIENTS] if len(rows) else rows


def _range(split: Split, channel: int) -> tuple[float, float]:
    """Where nearly all real values lie, with a little air."""
    observed = split.values[:, channel][split.mask[:, channel] == 1]
    low, high = np.quantile(observed, (0.005, 0.995)) if len(observed) else (0.0, 1.0)
    air = 0.1 * max(high - low, 1e-3)
    return float(low - air), float(high + air)


def _forest_rows(result: Mapping[str, Any], sets: list[str]) -> list[tuple[str, dict[str, Any], str, bool]]:
    """Label, cell identity, colour and whether the marker is filled, top to bottom."""
    ratio = shown_ratio(result["settings"]["ratios"])
    rows: list[tuple[str, dict[str, Any], str, bool]] = [("real", {"protocol": "TRTR"}, GREY, True)]
    for k, name in enumerate(sets):
        colour = SETS[k % len(SETS)]
        rows.append((name, {"protocol": "TSTR", "synthetic": name}, colour, True))
        if ratio is not None:
            rows.append((f"real + {ratio:g} x {name}", {"protocol": "TSRTR", "synthetic": name, "ratio": ratio}, colour, False))
    return rows


def _forest(axes: Axes, result: Mapping[str, Any], model: str, metric: str, rows: list[tuple[str, dict[str, Any], str, bool]]) -> None:
    ceiling = cell(result, model, "TRTR")["metrics"][metric]["value"]
    axes.axvline(ceiling, color=GREY, linewidth=0.8, linestyle=":")
    for y, (_, identity, colour, filled) in enumerate(rows):
        score = cell(result, model, **identity)["metrics"][metric]
        axes.plot((score["low"], score["high"]), (y, y), color=colour, linewidth=1.6, solid_capstyle="butt")
        axes.plot(score["value"], y, "o", color=colour, markerfacecolor=colour if filled else "white", markersize=6.5, markeredgewidth=1.6)
    axes.set_yticks(range(len(rows)), [label for label, *_ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    _plain(axes)
    axes.spines["left"].set_visible(False)


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)
