"""Clinical structure: how often the rules that clinicians check hold, and what the numbers that they follow are."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from tardiff.data.dataset import Manifest
from tardiff.evaluate.bootstrap import Draws
from tardiff.evaluate.fidelity.distance import Distance
from tardiff.evaluate.fidelity.run import FLOOR
from tardiff.evaluate.fidelity.sample import Sample, ratio
from tardiff.evaluate.intervals import estimate
from tardiff.evaluate.realism.rules import Rule


def clinical(samples: Mapping[str, Sample], manifest: Manifest, rules: Mapping[str, Rule]) -> dict[str, Any]:
    """Every rule in every set, by class.

    Returns:
        `rules`: `name`, `expression`, `kind`, and in `groups` for all rows (`group` null) and each class `real` (training rows), `floor`
        (held-out rows) and `sets` by name, estimates; `skipped`: `name` and the channels that it is `missing`.
    """
    missing = {name: [c for c in rule.channels if c not in manifest.channel_names] for name, rule in rules.items()}
    kept = [rule for name, rule in rules.items() if not missing[name]]
    return {
        "rules": [
            {
                "name": rule.name,
                "expression": rule.expression,
                "kind": rule.kind,
                "groups": [
                    {"group": None if k is None else manifest.task.classes[k]} | _group(rule, samples, manifest, k)
                    for k in (None, *range(len(manifest.task.classes)))
                ],
            }
            for rule in kept
        ],
        "skipped": [{"name": name, "missing": channels} for name, channels in missing.items() if channels],
    }


def clinical_distance(sample: Sample, train: Sample, manifest: Manifest, rules: Mapping[str, Rule]) -> dict[str, Distance]:
    """`clinical`: the difference of each rule, set minus train, in standard deviations of it over the real hours."""
    kept = [rule for rule in rules.values() if set(rule.channels) <= set(manifest.channel_names)]
    if not kept:
        return {}
    columns = []
    for rule in kept:
        hours = rule.at(train.split, manifest)
        sd = np.nanstd(hours) if np.isfinite(hours).any() else np.nan
        columns.append((_draws(rule, sample, manifest, None) - _draws(rule, train, manifest, None)) / (sd if sd > 0 else 1.0))
    return {"clinical": Distance(np.stack(columns, axis=1), len(sample.split), tuple(rule.name for rule in kept), signed=True)}


def _group(rule: Rule, samples: Mapping[str, Sample], manifest: Manifest, label: int | None) -> dict[str, Any]:
    numbers = {}
    for role, sample in samples.items():
        rows = len(sample.split) if label is None else int((sample.split.label == label).sum())
        numbers[role] = estimate(_draws(rule, sample, manifest, label), rows)
    sets = {role.removeprefix("synthetic/"): number for role, number in numbers.items() if role not in ("train", FLOOR)}
    return {"real": numbers["train"], "floor": numbers[FLOOR], "sets": sets}


def _draws(rule: Rule, sample: Sample, manifest: Manifest, label: int | None) -> Draws:
    """Its share or mean over the hours of all rows, or of a class, [1 + B]."""
    hours = rule.at(sample.split, manifest)
    if label is not None:
        hours = np.where(sample.split.label[:, None] == label, hours, np.nan)
    return ratio(sample.sums(np.nansum(hours, axis=1)), sample.sums(np.isfinite(hours).sum(1, dtype=np.float64)))
