"""What is charted of a set, and how: plain numbers, for tables; the distances of `fidelity` carry the intervals."""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np

from tardiff.data.dataset import Manifest
from tardiff.evaluate.fidelity import descriptors, missingness, resolution
from tardiff.evaluate.fidelity.run import FLOOR
from tardiff.evaluate.fidelity.sample import Array, Sample


def profiles(samples: Mapping[str, Sample], manifest: Manifest) -> dict[str, Any]:
    """The profile of the real training rows (`real`), the held-out ones (`floor`) and the `sets`, by name."""
    found = {role: profile(sample, manifest) for role, sample in samples.items()}
    sets = {role.removeprefix("synthetic/"): of for role, of in found.items() if role not in ("train", FLOOR)}
    return {"real": found["train"], "floor": found[FLOOR], "sets": sets}


def profile(sample: Sample, manifest: Manifest) -> dict[str, Any]:
    """One set.

    Returns:
        `charting` by channel: `never_charted`, `observed_rate`, `run_length` and `gap_length` (means, in hours).
        `resolution` by channel: share of values on each of `GRIDS`, of `repeats`, and the mean `change`, in the channel's unit.
        `descriptors` by name: share `missing`, and `mean` and `sd` or the share of each category (`shares`).
        `pairs`: `first`, `second`, `measure`, `value`, as `descriptors.Association` has them.
        `slopes`: `channel`, `descriptor`, `slope` of record means and its `standard_error`, in the channel's unit a unit of the descriptor.
    """
    once = Sample(sample.split, sample.weights[:1])
    hours = manifest.step_hours * np.arange(1, manifest.steps + 1)
    charting = {
        "never_charted": missingness.never_charted(once)[0],
        "observed_rate": missingness.observed_rate(once)[0],
        "run_length": missingness.run_lengths(once)[0] @ hours,
        "gap_length": missingness.gap_lengths(once)[0] @ hours,
    }
    shares = resolution.grid_shares(once)[0]
    levels = {name: shares[:, g] for g, name in enumerate(resolution.GRIDS)}
    levels |= {"repeats": resolution.repeats(once)[0], "change": resolution.mean_change(once)[0]}
    statics = manifest.statics
    pairs = (a for pair in combinations(range(len(statics)), 2) for a in descriptors.associations(once, manifest, *pair))
    return {
        "charting": _by_channel(charting, manifest),
        "resolution": _by_channel(levels, manifest),
        "descriptors": {static.name: _descriptor(once, manifest, s) for s, static in enumerate(statics)},
        "pairs": [{"first": a.first, "second": a.second, "measure": a.measure, "value": _number(a.draws[0])} for a in pairs],
        "slopes": [
            {"channel": channel, "descriptor": static.name, "slope": _number(slope), "standard_error": _number(error)}
            for s, static in enumerate(statics)
            if static.kind == "numeric"
            for channel, slope, error in zip(manifest.channel_names, *(part[0] for part in descriptors.slopes(once, s)), strict=True)
        ],
    }


def _by_channel(numbers: Mapping[str, Array], manifest: Manifest) -> dict[str, Any]:
    return {name: {key: _number(of[c]) for key, of in numbers.items()} for c, name in enumerate(manifest.channel_names)}


def _descriptor(sample: Sample, manifest: Manifest, place: int) -> dict[str, Any]:
    static, column = manifest.statics[place], sample.split.static[:, place].astype(np.float64)
    known = column[np.isfinite(column)]
    told: dict[str, Any] = {"missing": float(descriptors.missing(sample)[0, place])}
    if static.kind == "categorical":
        shares = descriptors.category_shares(sample, place, static)[0]
        return told | {"shares": {name: _number(share) for name, share in zip(static.categories, shares, strict=True)}}
    return told | {"mean": _number(known.mean() if len(known) else np.nan), "sd": _number(known.std() if len(known) else np.nan)}


def _number(number: np.floating[Any] | float) -> float | None:
    return float(number) if np.isfinite(number) else None
