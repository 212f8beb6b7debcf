"""Random numbers keyed by what they are for, so that no draw depends on batch order, batch size or process count.

Philox is a counter-based generator: (key, counter) names a stream, and streams need no state to be saved or resumed.
"""

import hashlib
from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tardiff.errors import TardiffError
from tardiff.settings import MAX_SEED

USER_ROWS = 2**26
"""A user's samples have the row numbers below."""
RESERVED = {
    "validation checks": 2**26,
    "discriminator warm-up": 2**27,
    "refinement": 2**28,
    "matched strength": 2**29,
    "repulsion": 2**30,
}
"""First row number of each use that no user's sample may share its noise with; the rows up to its double are its own."""


def reserved_rows(use: str, count: int, first: int = 0) -> range:
    """`count` row numbers of a use in `RESERVED`, from its `first` one on.

    Raises:
        TardiffError: the use has not so many.
    """
    if first + count > RESERVED[use]:
        raise TardiffError(f"{use}: {first + count:,} rows are asked for, there are numbers for {RESERVED[use]:,}; ask for fewer")
    return range(RESERVED[use] + first, RESERVED[use] + first + count)


def row_seeds(seed: int, rows: Sequence[int] | NDArray[np.integer] | range) -> list[int]:
    """One 63-bit seed a row, from the user's seed and the row's number.

    Raises:
        TardiffError: the seed or a row number is outside 0 .. 2^31 - 1.
    """
    if not 0 <= seed <= MAX_SEED:
        raise TardiffError(f"seed {seed} is outside 0..{MAX_SEED}")
    return [(seed << 32) | int(row) for row in rows]


def stream(purpose: str, seed: int, step: int = 0) -> np.random.Generator:
    """The random stream of `purpose` (any name; two uses of one seed and step need two names) for one seed at one step.

    Raises:
        TardiffError: the seed is negative.
    """
    if seed < 0:
        raise TardiffError(f"seed {seed} is outside 0..{MAX_SEED}")
    key = np.array([seed, _number(purpose)], dtype=np.uint64)  # a list would pass through float64 and lose the row
    return np.random.Generator(np.random.Philox(key=key, counter=np.array([0, 0, 0, step], dtype=np.uint64)))


@cache
def _number(purpose: str) -> int:
    return int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "little")


def normal(purpose: str, seeds: Sequence[int], step: int, shape: tuple[int, ...]) -> Tensor:
    """Standard normal float32 [len(seeds), *shape]; row i depends on seeds[i] and `step` alone."""
    return torch.from_numpy(np.stack([stream(purpose, seed, step).standard_normal(shape, dtype=np.float32) for seed in seeds]))


def uniform(purpose: str, seeds: Sequence[int], step: int) -> NDArray[np.float64]:
    """Uniform on [0, 1) [len(seeds)]; row i depends on seeds[i] and `step` alone."""
    return np.array([stream(purpose, seed, step).random() for seed in seeds])
