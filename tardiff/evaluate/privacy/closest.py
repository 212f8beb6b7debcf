"""Distance to the closest record: whether synthetic records lie closer to training records than strangers' records do.

It finds copying, not every leak (arXiv 2505.01524): a good number here is necessary, not sufficient.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tardiff.base.noise import stream
from tardiff.evaluate.bootstrap import Draws, row_weights
from tardiff.evaluate.intervals import estimate
from tardiff.evaluate.metrics import auroc

RESAMPLES = 200
BLOCK = 2**23  # distances held at once
SAME = 1e-4  # records this close in model space are the same record
NEAR = 0.01
"""Share of strangers who are nearer to a training row than what is called a near copy."""

Distances = NDArray[np.float64]


def closest_records(rows: Tensor, train: Tensor, held: Tensor, seed: int) -> dict[str, Any]:
    """Closest-record numbers of a synthetic set; distances are Euclidean in model space (values and mask).

    - `nearer_train`: share of synthetic rows nearer to a training row than to any of equally many held-out rows; 0.5 if
      nothing is memorised, more is a leak.
    - `closer_than_stranger`: probability that a synthetic row lies nearer to its closest training row than a held-out
      row does to its own; 0.5 if synthetic rows are as far away as strangers are, 1 for copies.
    - `copies`: share of synthetic rows that are a training row, with their `count` and row numbers; `stranger_copies` the
      same of the held-out rows.
    - `near_copies`: share of synthetic rows, copies among them, nearer to a training row (`within`) than 99 % of the
      held-out rows are to theirs; 0.01 if synthetic rows are as far away as strangers are.

    Args:
        rows: synthetic rows, [n, d].
        train: real training rows, [m, d].
        held: real held-out rows, [k, d].
    """
    random = stream("privacy", seed)
    size = min(len(train), len(held))
    some_train, some_held = (all_rows[random.permutation(len(all_rows))[:size]] for all_rows in (train, held))
    to_train, stranger = closest(rows, train), closest(held, train)
    nearer = share_nearer(to_train if size == len(train) else closest(rows, some_train), closest(rows, some_held))
    ours, theirs = (row_weights(len(d), RESAMPLES, random) for d in (to_train, stranger))
    is_synthetic = np.repeat([1, 0], [len(to_train), len(stranger)])
    closer = auroc(is_synthetic, -np.concatenate([to_train, stranger]), np.concatenate([ours, theirs], axis=1))
    within = float(np.quantile(stranger, NEAR))
    return {
        "nearer_train": estimate(weighted_means(ours, nearer), len(rows), share=True) | {"compared_with": size},
        "closer_than_stranger": estimate(closer, len(rows), share=True),
        "copies": _counted(ours, to_train < SAME),
        "stranger_copies": _counted(theirs, stranger < SAME),
        "near_copies": _counted(ours, to_train < max(within, SAME)) | {"within": within},
    }


def closest(rows: Tensor, among: Tensor) -> Distances:
    """Distance of each row [n, d] to the closest of `among` [m, d], [n].

    The closest row is found through products (fast, but differences cancel), then its distance is taken directly, so that
    copies have distance 0.
    """
    size = max(1, BLOCK // len(among))
    parts = [part - among[torch.cdist(part, among, compute_mode="use_mm_for_euclid_dist").argmin(1)] for part in rows.split(size)]
    return torch.cat([part.double().norm(dim=1) for part in parts]).numpy()


def closest_apart(rows: Tensor, among: Tensor) -> tuple[Distances, Distances]:
    """As `closest`, of encoded records [n, 2 C, T] among others [m, 2 C, T]: in their values and, apart, in their charting."""
    channels = rows.shape[1] // 2
    values, charting = (closest(rows[:, part].flatten(1), among[:, part].flatten(1)) for part in (slice(channels), slice(channels, None)))
    return values, charting


def share_nearer(to_train: Distances, to_held: Distances) -> NDArray[np.float64]:
    """1 where the training rows are nearer, 0 where the held-out ones are, 1/2 for ties, [n]."""
    return np.where(to_train == to_held, 0.5, to_train < to_held)


def weighted_means(weights: NDArray[np.float32], by_row: NDArray[Any]) -> Draws:
    """Mean over rows [n] in each resample, [1 + B]; NaN where none of them was drawn."""
    with np.errstate(invalid="ignore"):
        return weights @ by_row.astype(np.float64) / weights.sum(1, dtype=np.float64)


def _counted(weights: NDArray[np.float32], found: NDArray[np.bool_]) -> dict[str, Any]:
    rows = np.flatnonzero(found).tolist()
    return estimate(weighted_means(weights, found), len(found), share=True) | {"count": len(rows), "rows": rows}
