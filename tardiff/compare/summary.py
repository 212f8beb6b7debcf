"""From the cells of a comparison to its figures, differences and verdict."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tardiff.base.checkpoint import plain
from tardiff.compare.cells import Comparison
from tardiff.compare.verdict import reference, verdict
from tardiff.compare.worth import worth
from tardiff.evaluate.bootstrap import Draws, unpacked
from tardiff.evaluate.intervals import estimate, estimates

Cells = dict[tuple[str, int], dict[str, Any]]
"""By method and seed."""


def summarise(
    cells: Cells, methods: list[str], comparison: Comparison, curve: Mapping[int, str] | None = None, remarks: Sequence[str] = ()
) -> dict[str, Any]:
    """Every method's figures, and its paired differences to the first one and to the best of today's methods.

    Intervals cover the judged patients and the seeds; resamples are shared, so differences are paired.

    Args:
        curve: of a ladder, the method of each size of the learning curve; what each method is worth is read off it.
    """
    settings, label = comparison.settings, comparison.judged.label
    seeds = sorted({seed for _, seed in cells})
    first = methods[0]
    metrics = list(cells[first, seeds[0]]["groups"]["all"]["draws"])
    labels = {group: label[rule(comparison.judged)] for group, rule in comparison.groups.items()}

    def of_seeds(method: str) -> list[dict[str, Any]]:
        return [cells[method, seed] for seed in seeds]

    def draws(method: str, group: str, metric: str) -> Draws:
        return np.stack([unpacked(cell["groups"][group]["draws"][metric]) for cell in of_seeds(method)], axis=1)

    def figures(method: str, group: str) -> dict[str, dict[str, Any]]:
        own = {metric: draws(method, group, metric) for metric in metrics}
        found = {"value": estimates(own, labels[group])}
        for name, other in (("first", first), ("reference", best)):
            changes = {metric: own[metric] - draws(other, group, metric) for metric in metrics}
            found[f"against_{name}"] = estimates(changes, labels[group], shares=())
        return {metric: {key: numbers[metric] for key, numbers in found.items()} for metric in metrics}

    validation = {method: float(np.mean([cell["validation_auprc"] for cell in of_seeds(method)])) for method in methods}
    best = reference(validation)
    result: dict[str, Any] = {
        "settings": {key: value for key, value in plain(settings).items() if key != "workers"},  # which change nothing
        "task": comparison.data.manifest.task.name,
        "seeds": seeds,
        "first": first,
        "reference": best,
        "judged": {"split": settings.on, "rows": len(label), "positives": int(label.sum())},
        "train": comparison.train_counts,
        "methods": {
            method: {
                "validation_auprc": validation[method],
                "groups": {group: figures(method, group) for group in labels},
                "candidates": cells[method, seeds[0]]["candidates"],
                "chosen": [cell["chosen"] for cell in of_seeds(method)],
            }
            for method in methods
        },
    }
    if curve:
        units = int(np.bincount(label).min())
        points = {size: draws(method, "all", "auprc") for size, method in curve.items()}
        found = {size: estimate(of_size, len(label), units, share=True) for size, of_size in points.items()}
        result["curve"] = [{"stays": size, **numbers} for size, numbers in found.items()]
        result["worth"] = {method: worth(draws(method, "all", "auprc"), points, units).record() for method in methods if method != first}
    result["remarks"] = list(remarks)
    return result | {"verdict": verdict(result)}
