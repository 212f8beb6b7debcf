"""Fairness: the utility of every cell within groups of test patients, for a mean can hide a group that is served worse."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tardiff.base.noise import stream
from tardiff.base.progress import bar
from tardiff.data.dataset import Dataset, Manifest, Split, Static
from tardiff.errors import TardiffError
from tardiff.evaluate.bootstrap import Resamples
from tardiff.evaluate.intervals import estimates
from tardiff.evaluate.row_sets import RowSets
from tardiff.evaluate.train_and_judge import judged
from tardiff.evaluate.utility import Scores
from tardiff.settings import EvaluateSettings

AGES = (50, 65, 80)
FEWEST = 10  # positives and negatives below which a group has no metrics
RESAMPLES = 300  # at most, for there are many groups


@dataclass(frozen=True)
class Group:
    """Test rows with something in common."""

    static: str
    name: str
    member: NDArray[np.bool_]


def groups(test: Split, manifest: Manifest, real: Dataset, wanted: tuple[str, ...]) -> list[Group]:
    """Groups of test rows by descriptor: each category; bands of age; thirds of the training rows otherwise; and `missing`.

    Args:
        wanted: names of descriptors, in any case; `auto` for all categorical ones and age; `none` for no groups.
    """
    result = []
    for index in _chosen(manifest, wanted):
        static, column = manifest.statics[index], test.static[:, index]
        bands = [*_bands(static, column, real), ("missing", ~np.isfinite(column))]
        result += [Group(static.name, name, member) for name, member in bands if member.any()]
    return result


def subgroups(found: list[Group], sets: RowSets, score: Scores, settings: EvaluateSettings) -> list[dict[str, Any]]:
    """Every cell that predicts real test rows, judged within each group.

    Returns:
        A dict a group: `static`, `group`, `n`, `positives`, `cells` with their `metrics`; in a group of fewer than `FEWEST`
        positives or negatives the metrics are None and `reason` says so.
    """
    count = min(settings.bootstrap, RESAMPLES)
    patients = Resamples.draw(sets.subject["test"], count, stream("test patients", settings.seed))
    on_test = {cell: s for cell, s in score.items() if cell.protocol != "TRTS"}
    result = []
    for group in bar(found, bool(found), desc="judging groups"):
        label = sets.rows["test"].label[group.member]
        positives = int((label == 1).sum())
        few = min(positives, len(label) - positives) < FEWEST
        within = patients.within(group.member)
        result.append(
            {
                "static": group.static,
                "group": group.name,
                "n": len(label),
                "positives": positives,
                "reason": f"fewer than {FEWEST} {'positives' if positives < FEWEST else 'negatives'}" if few else None,
                "cells": [
                    asdict(cell) | {"metrics": None if few else estimates(judged(label, s[:, group.member], within), label)}
                    for cell, s in on_test.items()
                ],
            }
        )
    return result


def _chosen(manifest: Manifest, wanted: tuple[str, ...]) -> list[int]:
    if wanted == ("none",):
        return []
    if wanted == ("auto",):
        return [i for i, static in enumerate(manifest.statics) if static.kind == "categorical" or static.name.casefold() == "age"]
    known = [name.casefold() for name in manifest.static_names]
    for name in wanted:
        if name.casefold() not in known:
            raise TardiffError(f"--subgroups {name}: no such descriptor (known: {', '.join(manifest.static_names) or 'none at all'})")
    return [known.index(name.casefold()) for name in dict.fromkeys(wanted)]


def _bands(static: Static, column: NDArray[np.float32], real: Dataset) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    if static.kind == "categorical":
        yield from ((name, column == index) for index, name in enumerate(static.categories))
        return
    if static.name.casefold() == "age":
        yield f"<{AGES[0]}", column < AGES[0]
        yield from ((f"{low}-{high - 1}", (column >= low) & (column < high)) for low, high in pairwise(AGES))
        yield f"{AGES[-1]}+", column >= AGES[-1]
        return
    if static.name not in real.manifest.static_names:
        raise TardiffError(f"--subgroups {static.name}: the real training rows, whose thirds would be the groups, do not have it")
    train = real.train.static[:, real.manifest.static_names.index(static.name)]
    known = train[np.isfinite(train)]
    if len(known):
        low, high = (float(cut) for cut in np.quantile(known, (1 / 3, 2 / 3)))
        yield f"<{low:.3g}", column < low
        yield f"{low:.3g} to {high:.3g}", (column >= low) & (column <= high)
        yield f">{high:.3g}", column > high
