"""Privacy: whether synthetic records lie closer to the training records than strangers' records would.

Distance to the closest record finds copying, not every leak (arXiv 2505.01524): a good number here is necessary, not sufficient.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tardiff.codec import Codec
from tardiff.dataset import Dataset, Split
from tardiff.evaluate.bootstrap import estimate, row_weights
from tardiff.evaluate.metrics import auroc
from tardiff.noise import stream

RESAMPLES = 200
BLOCK = 2**23  # distances held at once
SAME = 1e-4  # records this close in model space are the same record

Distances = NDArray[np.float64]


def privacy(real: Dataset, synthetic: Mapping[str, Dataset], codec: Codec, seed: int) -> dict[str, Any]:
    """Closest-record numbers of each synthetic set, by name; distances are Euclidean in model space (values and mask).

    - `nearer_train`: share of synthetic rows nearer to a training row than to any of equally many held-out rows; 0.5 if
      nothing is memorised, more is a leak.
    - `closer_than_stranger`: probability that a synthetic row lies nearer to its closest training row than a held-out
      row does to its own; 0.5 if synthetic rows are as far away as strangers are, 1 for copies.
    - `copies`: share of synthetic rows that are a training row, with their `count`; `stranger_copies` the same of the
      held-out rows.

    Args:
        real: with its three splits.
        synthetic: data sets by name.
        codec: fitted on the real training rows.
        seed: of the held-out rows drawn and the bootstrap.
    """
    # Not the validation rows: a classifier stopped on them and guidance may have followed their gradients.
    train, held = _flat(codec, real.train), _flat(codec, real.split("test"))
    stranger = closest(held, train)
    result = {}
    for name, dataset in synthetic.items():
        result[name] = _one_set(_flat(codec, dataset.train), train, held, stranger, seed)
    return {"resamples": RESAMPLES, "sets": result}


def closest(rows: Tensor, among: Tensor) -> Distances:
    """Distance of each row [n, d] to the closest of `among` [m, d], [n].

    The closest row is found through products (fast, but differences cancel), then its distance is taken directly, so that
    copies have distance 0.
    """
    size = max(1, BLOCK // len(among))
    parts = [part - among[torch.cdist(part, among, compute_mode="use_mm_for_euclid_dist").argmin(1)] for part in rows.split(size)]
    return torch.cat([part.double().norm(dim=1) for part in parts]).numpy()


def share_nearer(to_train: Distances, to_held: Distances) -> NDArray[np.float64]:
    """1 where the training rows are nearer, 0 where the held-out ones are, 1/2 for ties, [n]."""
    return np.where(to_train == to_held, 0.5, to_train < to_held)


def _one_set(rows: Tensor, train: Tensor, held: Tensor, stranger: Distances, seed: int) -> dict[str, Any]:
    random = stream("privacy", seed)
    size = min(len(train), len(held))
    some_train, some_held = (all_rows[random.permutation(len(all_rows))[:size]] for all_rows in (train, held))
    to_train = closest(rows, train)
    nearer = share_nearer(to_train if size == len(train) else closest(rows, some_train), closest(rows, some_held))
    ours, theirs = (row_weights(len(d), RESAMPLES, random) for d in (to_train, stranger))
    is_synthetic = np.repeat([1, 0], [len(to_train), len(stranger)])
    closer = auroc(is_synthetic, -np.concatenate([to_train, stranger]), np.concatenate([ours, theirs], axis=1))
    return {
        "nearer_train": estimate(_means(ours, nearer), len(rows)) | {"compared_with": size},
        "closer_than_stranger": estimate(closer, len(rows)),
        "copies": estimate(_means(ours, to_train < SAME), len(rows)) | {"count": int((to_train < SAME).sum())},
        "stranger_copies": estimate(_means(theirs, stranger < SAME), len(stranger)) | {"count": int((stranger < SAME).sum())},
    }


def _means(weights: NDArray[np.float32], by_row: NDArray[Any]) -> NDArray[np.float64]:
    return weights @ by_row.astype(np.float64) / weights.sum(1, dtype=np.float64)


def _flat(codec: Codec, split: Split) -> Tensor:
    return codec.encode(split).flatten(1)
