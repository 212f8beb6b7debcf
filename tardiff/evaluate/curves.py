"""What a report draws of the data themselves: quantiles, histograms, correlations and observation rates, and no patient's row."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tardiff.data.dataset import Channel, Dataset, Split, Static

QUANTILES = (0.1, 0.5, 0.9)
BINS = 24
EDGES = (0.005, 0.995)  # of the real values: what lies beyond is counted in the outermost bins
FEWEST = 20  # observations behind a number

Array = NDArray[Any]


def curves(real: Dataset, synthetic: Mapping[str, Dataset]) -> dict[str, Any]:
    """Summaries of the training rows of every set, as `figures.json` keeps them.

    Returns:
        `hours` (start of every step), `classes`, `quantiles` (their levels), `variables` (name, unit, categories, histogram
        edges in physical units; channels first, then descriptors), and `real` and `synthetic` (by name), each with

        - `rows` by class,
        - `bands`: by channel, by class, by level, by step (None where fewer than `FEWEST` values were observed),
        - `histograms`: by variable, share of the known values in each bin (None if none is known),
        - `observed`: by channel, by step, share of the rows whose value was observed,
        - `correlations`: channel by channel, of the values observed at the same step (None where too few were).
    """
    manifest = real.manifest
    variables: tuple[Channel | Static, ...] = (*manifest.channels, *manifest.statics)
    edges = {variable.name: _edges(_known(real, variable.name), variable) for variable in variables}
    return {
        "hours": [round(step * manifest.step_hours, 6) for step in range(manifest.steps)],
        "classes": list(manifest.task.classes),
        "quantiles": list(QUANTILES),
        "variables": [
            {"name": v.name, "unit": v.unit, "categories": list(getattr(v, "categories", ())), "edges": _rounded(edges[v.name])}
            for v in variables
        ],
        "real": _curves(real, edges),
        "synthetic": {name: _curves(dataset, edges) for name, dataset in synthetic.items()},
    }


def _curves(dataset: Dataset, edges: Mapping[str, Array]) -> dict[str, Any]:
    split, classes = dataset.train, range(len(dataset.manifest.task.classes))
    return {
        "rows": [int((split.label == k).sum()) for k in classes],
        "bands": [[_rounded(bands(channel[split.label == k])) for k in classes] for channel in split.values.swapaxes(0, 1)],
        "histograms": [_rounded(_shares(_known(dataset, name), edge)) for name, edge in edges.items()],
        "observed": _rounded(split.mask.sum(0) / np.maximum(split.valid.sum(0), 1)),
        "correlations": _rounded(_correlations(split)),
    }


def _known(dataset: Dataset, name: str) -> Array:
    """All known training values of a channel or descriptor; none if the data set, of another generator, lacks the descriptor."""
    manifest, split = dataset.manifest, dataset.train
    if name in manifest.channel_names:
        values = split.values[:, manifest.channel_names.index(name)]
    elif name in manifest.static_names:
        values = split.static[:, manifest.static_names.index(name)]
    else:
        return np.empty(0)
    return values[np.isfinite(values)]


def _edges(values: Array, variable: Channel | Static) -> Array:
    """Edges of a variable's bins, from its real values; a bin a level for what takes few whole numbers."""
    low, high = np.quantile(values, EDGES) if len(values) else (0.0, 1.0)
    if isinstance(variable, Static) and variable.kind == "categorical":
        low, high = 0, len(variable.categories) - 1
    if variable.kind != "numeric" and high - low < BINS:
        return np.arange(low - 0.5, high + 1)
    return np.linspace(low, high if high > low else low + 1, BINS + 1)


def _shares(values: Array, edges: Array) -> Array:
    middle = np.clip(values, (edges[0] + edges[1]) / 2, (edges[-2] + edges[-1]) / 2)
    return np.histogram(middle, edges)[0] / (len(values) or np.nan)


def bands(values: NDArray[np.float32]) -> Array:
    """The quantiles of `QUANTILES` at every step, [levels, T]; NaN where too few values were observed."""
    enough = np.isfinite(values).sum(0) >= FEWEST
    found = np.full((len(QUANTILES), values.shape[1]), np.nan)
    found[:, enough] = np.nanquantile(values[:, enough], QUANTILES, axis=0)
    return found


def _correlations(split: Split) -> Array:
    """[C, C]."""
    by_step = pd.DataFrame(split.values.transpose(0, 2, 1).reshape(-1, split.values.shape[1]))
    return by_step.corr(min_periods=FEWEST).to_numpy()


def _rounded(numbers: Array) -> Any:
    """Nested lists of numbers with five digits, which is more than a plot shows; None for what is undefined."""
    if numbers.ndim:
        return [_rounded(part) for part in numbers]
    return float(f"{numbers:.5g}") if np.isfinite(numbers) else None
