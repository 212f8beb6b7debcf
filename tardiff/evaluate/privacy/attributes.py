"""Attribute inference: what synthetic rows tell an attacker who knows all of a patient but one thing."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tardiff.data.dataset import Split
from tardiff.evaluate.intervals import estimate
from tardiff.evaluate.privacy.anonymity import Bands
from tardiff.evaluate.privacy.closest import weighted_means
from tardiff.evaluate.privacy.knowledge import Knowledge, forest
from tardiff.evaluate.privacy.trial import Trial

LABEL = -1  # its place before the descriptors


def attribute_inference(trial: Trial, synthetic: Split, knowledge: Knowledge, bands: Bands) -> list[dict[str, Any]]:
    """For the label and each descriptor: share of rows whose level a forest that learnt synthetic rows guesses right.

    The forest reads everything else of a record. What it guesses of `others`, whom the generator never saw, is what medicine
    tells (statistics, not leakage); `difference` is how much better it guesses of the `members`, and that is the leak
    (arXiv 1709.01604, section 5). Rows where the attribute is missing are left out. An attribute that is constant or missing
    throughout a set cannot be learnt or judged and is left out.
    """
    sets = {"synthetic": synthetic, "members": trial.members, "others": trial.others}
    record = {name: knowledge.record(split) for name, split in sets.items()}
    found = []
    for column, attribute in enumerate(("label", *(descriptor.name for descriptor in bands.statics)), start=-1):
        target = {name: split.label if column == LABEL else bands.levels(split)[:, column] for name, split in sets.items()}
        known = {name: np.flatnonzero(values >= 0) for name, values in target.items()}
        if len(np.unique(target["synthetic"][known["synthetic"]])) < 2 or not all(map(len, known.values())):
            continue
        reads = {n: np.concatenate([record[n], _rest(column, split, knowledge)], axis=1) for n, split in sets.items()}
        model = forest(trial.seed).fit(reads["synthetic"][known["synthetic"]], target["synthetic"][known["synthetic"]])
        draws = {}
        for name, weights in zip(("members", "others"), trial.weights, strict=True):
            rows = known[name]
            draws[name] = weighted_means(weights[:, rows], model.predict(reads[name][rows]) == target[name][rows])
        numbers = {name: estimate(d, len(known[name]), share=True) for name, d in draws.items()}
        difference = estimate(draws["members"] - draws["others"], sum(n["n"] for n in numbers.values()))
        found.append({"attribute": attribute, **numbers, "difference": difference})
    return found


def _rest(column: int, split: Split, knowledge: Knowledge) -> NDArray[np.float64]:
    """Descriptors and label without a descriptor, by its place, or without the label."""
    if column == LABEL:
        return knowledge.descriptors(split.static)
    static = split.static.copy()
    static[:, column] = np.nan
    return np.concatenate([knowledge.descriptors(static), knowledge.labels(split.label)], axis=1)
