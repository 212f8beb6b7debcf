"""Traps that can be seen in a dataset folder without fitting anything. Each check is a function of the data set."""

import hashlib
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2_contingency

from tardiff.audit.finding import Finding
from tardiff.data.dataset import Dataset, Split

FEWEST_CELLS = 12
FEWEST_VALUES = 6
"""Rows with fewer observed cells or different values may be alike by chance."""
FEWEST_NUMBERS = 50
"""Entries that a statistic needs before it can be recognised."""
EXACT = 1e-6
UNLIKELY = 0.001
DRIFT = 0.05


def shared_patients(data: Dataset) -> Finding:
    """A patient in two splits lets a model recognise instead of predict."""
    trap = "patients in two splits"
    splits_of: dict[int, set[str]] = defaultdict(set)
    for name, split in data.splits.items():
        for subject in np.unique(split.subject_id).tolist():
            splits_of[subject].add(name)
    shared = sum(len(names) > 1 for names in splits_of.values())
    numbers = {"patients": len(splits_of), "shared": shared}
    if shared:
        return Finding(trap, "fail", f"{shared:,} of {len(splits_of):,} patients have rows in more than one split", numbers)
    return Finding(trap, "pass", f"none of {len(splits_of):,} patients", numbers)


def duplicated_rows(data: Dataset) -> Finding:
    """The same values under another id are the same patient."""
    trap = "same record under another id"
    places: dict[bytes, list[str]] = defaultdict(list)
    for name, split in data.splits.items():
        for row in np.flatnonzero(_telling(split)):
            places[hashlib.sha256(split.values[row].tobytes()).digest()].append(name)
    across = sum(len(set(names)) > 1 for names in places.values())
    within = sum(len(names) - len(set(names)) for names in places.values())
    numbers = {"across_splits": across, "within_a_split": within}
    if across:
        return Finding(trap, "fail", f"{across:,} records stand in two splits with the same values", numbers)
    if within:
        return Finding(trap, "warn", f"{within:,} rows repeat the values of another one of their split", numbers)
    return Finding(trap, "pass", f"no two of {len(places):,} records have the same values", numbers)


def after_the_cutoff(data: Dataset) -> Finding:
    """Nothing may be observed after the end of the window, or after the end of the stay."""
    trap = "values after the cutoff"
    beyond = sum(int((split.mask.any(axis=1) & ~split.valid).any(axis=1).sum()) for split in data.splits.values())
    early = sum(int((split.origin_minute < data.manifest.window_minutes).sum()) for split in data.splits.values())
    numbers = {"rows_with_values_in_padding": beyond, "rows_whose_window_begins_before_the_stay": early}
    if beyond:
        return Finding(trap, "fail", f"{beyond:,} rows have values beyond their length", numbers)
    if early:
        return Finding(trap, "warn", f"the windows of {early:,} rows begin before the stay does", numbers)
    return Finding(trap, "pass", "no row has a value beyond its length", numbers)


def fitted_on_every_row(data: Dataset) -> Finding:
    """Scaling, limits or fills that were computed on test rows too are recognised by being exact for all rows together."""
    trap = "statistics from test rows"
    if set(data.splits) == {"train"}:
        return Finding(trap, "skip", "there are no rows but training rows")
    found, scaled = [], []
    for name, train, everything, limits, normal in _columns(data):
        if len(train) < FEWEST_NUMBERS or len(everything) == len(train):
            continue
        known = tuple(sign for sign in _signs(everything, limits, normal) if sign not in _signs(train, limits, normal))
        found += [f"{name} ({sign})" for sign in known]
        scaled += [name] if "standardised" in _signs(train, limits, normal) else []
    if found:
        return Finding(trap, "fail", f"exact for all rows together, not for the training rows: {', '.join(found)}", {"found": found})
    if scaled:
        return Finding(trap, "warn", f"values are standardised, not in physical units: {', '.join(scaled)}", {"standardised": scaled})
    return Finding(trap, "pass", "no limit, normal value, scale or fill is a statistic of all rows together")


def look_ahead(data: Dataset) -> Finding:
    """Rules of the cohort that use the future."""
    trap = "rules that look ahead"
    steps = data.manifest.attrition
    if not steps:
        return Finding(trap, "warn", "the manifest has no attrition table, so nobody can tell")
    before = (steps[0].stays, *(step.stays for step in steps))
    rules = [f"{step.rule} (leaves out {b - step.stays:,})" for b, step in zip(before, steps, strict=False) if step.looks_ahead]
    if rules:
        return Finding(trap, "warn", "; ".join(rules), {"rules": rules})
    return Finding(trap, "pass", f"none of {len(steps)} rules")


def class_balance(data: Dataset) -> Finding:
    """Each split should have its share of each class."""
    trap = "class balance"
    classes = data.manifest.task.classes
    counts = {name: np.bincount(split.label, minlength=len(classes)) for name, split in data.splits.items() if len(split)}
    shares = {name: (count / count.sum()).tolist() for name, count in counts.items()}
    said = f"share of {classes[-1]}: " + ", ".join(f"{name} {share[-1]:.1%}" for name, share in shares.items())
    numbers = {"counts": {name: count.tolist() for name, count in counts.items()}}
    for name, count in counts.items():
        if (count == 0).any():
            return Finding(trap, "warn", f"{name} has no row of class {classes[int(count.argmin())]}; {said}", numbers)
    if len(counts) > 1 and chi2_contingency(np.stack(list(counts.values()))).pvalue < UNLIKELY:
        return Finding(trap, "warn", f"differs more than chance allows; {said}", numbers)
    return Finding(trap, "pass", said, numbers)


def missingness_drift(data: Dataset) -> Finding:
    """How often each channel is observed, in training and elsewhere."""
    trap = "missingness drift"
    others = [name for name, split in data.splits.items() if name != "train" and len(split) > 1]
    if not others:
        return Finding(trap, "skip", "there are no rows but training rows")
    drifts = []
    for name in others:
        ours, theirs = (split.mask.mean(axis=2, dtype=np.float64) for split in (data.train, data.splits[name]))
        difference = theirs.mean(axis=0) - ours.mean(axis=0)
        error = np.sqrt(ours.var(axis=0) / len(ours) + theirs.var(axis=0) / len(theirs))
        drifts += [
            (float(d), channel, name, bool(abs(d) > DRIFT and abs(d) > 4 * e))
            for d, e, channel in zip(difference, error, data.manifest.channel_names, strict=True)
        ]
    largest = max(drifts, key=lambda drift: abs(drift[0]))
    said = f"largest: {largest[1]} is observed {largest[0]:+.1%} in {largest[2]} against train"
    drifted = [f"{channel} in {name} ({d:+.1%})" for d, channel, name, real in drifts if real]
    numbers = {"largest": largest[0], "drifted": drifted}
    return (
        Finding(trap, "warn", f"observed otherwise than in train: {', '.join(drifted)}", numbers)
        if drifted
        else Finding(trap, "pass", said, numbers)
    )


def _telling(split: Split) -> NDArray[np.bool_]:
    """Rows that hold enough to be told from any other one, [N]."""
    many = split.mask.sum(axis=(1, 2)) >= FEWEST_CELLS
    different = [len(np.unique(values[mask == 1])) for values, mask in zip(split.values, split.mask, strict=True)]
    return many & (np.array(different, int) >= FEWEST_VALUES)


def _columns(
    data: Dataset,
) -> Iterator[tuple[str, NDArray[np.float64], NDArray[np.float64], tuple[float, float] | None, float | None]]:
    """Name, training values, all values, limits and normal value of each channel and numeric descriptor."""
    everything = Split.concatenate(list(data.splits.values()))
    for c, channel in enumerate(data.manifest.channels):
        observed = [split.values[:, c][split.mask[:, c] == 1].astype(np.float64) for split in (data.train, everything)]
        yield channel.name, observed[0], observed[1], channel.limits, channel.normal
    for s, static in enumerate(data.manifest.statics):
        if static.kind == "numeric":
            known = [split.static[:, s][np.isfinite(split.static[:, s])].astype(np.float64) for split in (data.train, everything)]
            yield static.name, known[0], known[1], static.limits, None


def _signs(values: NDArray[np.float64], limits: tuple[float, float] | None, normal: float | None) -> set[str]:
    """By what one sees that something was fitted on exactly these values."""
    mean, spread = values.mean(), values.std()
    hair = EXACT * max(abs(mean), spread)
    signs = set()
    if abs(mean) < 1e-4 and abs(spread - 1) < 1e-4:
        signs.add("standardised")
    if (values.min(), values.max()) == (0.0, 1.0) and len(np.unique(values)) > 2:
        signs.add("scaled to 0..1")
    # A range of whole numbers (21 to 100 % of oxygen) is one that somebody wrote, and that values reach by themselves.
    if limits is not None and any(limit % 1 for limit in limits) and np.allclose(limits, (values.min(), values.max()), rtol=EXACT, atol=0):
        signs.add("limits are the extremes")
    if normal is not None and abs(normal - mean) <= hair:
        signs.add("normal value is the mean")
    levels, counts = np.unique(values, return_counts=True)
    rest = values[values != levels[counts.argmax()]]
    if len(rest) and counts.max() > 0.02 * len(values) and abs(levels[counts.argmax()] - rest.mean()) <= hair:
        signs.add("filled with the mean")
    return signs
