"""Forest plot of a comparison. It only draws: every number comes from the result."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from tardiff.compare.metrics import NAMES
from tardiff.compare.verdict import ALONE, SYNTHETIC, WORDS
from tardiff.evaluate.plots import GREY, SETS

SHOWN = ("auprc", "auroc", "brier", "sensitivity")
MARKERS = "osD^vPX"


def forest(result: Mapping[str, Any]) -> Figure:
    """Difference of every method to the first one, by metric, with 95 % intervals; one marker a subgroup, if there are any.

    Right of the line is better, except for the Brier score.
    """
    first = result["first"]
    methods = [name for name in result["methods"] if name != first] or [first]
    groups = list(result["methods"][first]["groups"])
    figure = Figure(figsize=(3.0 * len(SHOWN) + 1.5, 0.35 * len(methods) * (1 + 0.4 * (len(groups) - 1)) + 1.7), layout="constrained")
    for axes, metric in zip(figure.subplots(1, len(SHOWN), sharey=True), SHOWN, strict=True):
        axes.axvline(0, color=GREY, linewidth=0.8, linestyle=":")
        for y, method in enumerate(methods):
            for g, group in enumerate(groups):
                change = result["methods"][method]["groups"][group][metric]["against_first"]
                if change["value"] is None or change["low"] is None:
                    continue
                colour, place = SETS[1] if method in (*SYNTHETIC, *ALONE) else SETS[0], y + 0.6 * g / len(groups)
                axes.plot((change["low"], change["high"]), (place, place), color=colour, linewidth=1.6, alpha=1.0 if g == 0 else 0.6)
                axes.plot(change["value"], place, MARKERS[g % len(MARKERS)], color=colour, markersize=6 if g == 0 else 4)
        axes.set_title(NAMES[metric] + (" (lower is better)" if metric == "brier" else ""), fontsize=10)
        axes.set_yticks(range(len(methods)), [WORDS[method] for method in methods])
        axes.set_ylim(len(methods) - 0.4, -0.6)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(labelsize=9)
        axes.tick_params(axis="y", length=0)
    title = f"{result['settings']['model']}, {result['task'].replace('_', ' ')}"
    figure.suptitle(f"{title}: difference to {WORDS[first]} on {result['judged']['rows']:,} real rows", fontsize=11)
    markers = ", ".join(f"{MARKERS[g % len(MARKERS)]} {group}" for g, group in enumerate(groups)) if len(groups) > 1 else ""
    figure.supxlabel("bars: 95 % interval over patients and seeds" + (f"; markers: {markers}" if markers else ""), fontsize=9)
    return figure
