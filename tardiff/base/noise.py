"""Random numbers keyed by what they are for, so that no draw depends on batch order, batch size or process count.

Philox is a counter-based generator: (key, counter) names a stream, and streams need no state to be saved or resumed.
`stream` is numpy's, for everything that is drawn once; `normal` and `uniform` draw for many rows at once, on any device.
"""

import hashlib
import math
from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tardiff.base.device import wide
from tardiff.errors import TardiffError
from tardiff.settings import MAX_SEED

Device = torch.device | str
WORD = 2**32 - 1
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
    """`count` row numbers of a use in `RESERVED`, from its `first` one on."""
    if first + count > RESERVED[use]:
        raise TardiffError(f"{use}: {first + count:,} rows are asked for, there are numbers for {RESERVED[use]:,}; ask for fewer")
    return range(RESERVED[use] + first, RESERVED[use] + first + count)


def row_seeds(seed: int, rows: Sequence[int] | NDArray[np.integer] | range) -> list[int]:
    """One 63-bit seed a row, from the user's seed and the row's number."""
    if not 0 <= seed <= MAX_SEED:
        raise TardiffError(f"seed {seed} is outside 0..{MAX_SEED}")
    return [(seed << 32) | int(row) for row in rows]


def stream(purpose: str, seed: int, step: int = 0) -> np.random.Generator:
    """The random stream of `purpose` (any name; two uses of one seed and step need two names) for one seed at one step."""
    if seed < 0:
        raise TardiffError(f"seed {seed} is outside 0..{MAX_SEED}")
    key = np.array([seed, _number(purpose)], dtype=np.uint64)  # a list would pass through float64 and lose the row
    return np.random.Generator(np.random.Philox(key=key, counter=np.array([0, 0, 0, step], dtype=np.uint64)))


@cache
def _number(purpose: str) -> int:
    return int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "little")


def normal(purpose: str, seeds: Sequence[int], step: int, shape: tuple[int, ...], device: Device = "cpu") -> Tensor:
    """Standard normal float32 [len(seeds), *shape]; row i depends on seeds[i] and `step` alone (Box & Muller 1958)."""
    size = math.prod(shape)
    half = -(-size // 2)
    radius, angle = _uniform(purpose, seeds, step, 2 * half, device).chunk(2, dim=1)
    length, turn = (-2 * radius.log()).sqrt(), 2 * math.pi * angle
    return torch.cat([length * turn.cos(), length * turn.sin()], dim=1)[:, :size].float().reshape(len(seeds), *shape)


def uniform(purpose: str, seeds: Sequence[int], step: int, shape: tuple[int, ...] = (), device: Device = "cpu") -> Tensor:
    """Uniform between 0 and 1, which it never is, float64 [len(seeds), *shape]; row i depends on seeds[i] and `step` alone."""
    return _uniform(purpose, seeds, step, math.prod(shape), device).reshape(len(seeds), *shape)


def _uniform(purpose: str, seeds: Sequence[int], step: int, count: int, device: Device) -> Tensor:
    """[len(seeds), count]: one stream a row, of counters (block, step, purpose) under the row's key."""
    seed = torch.tensor(seeds, dtype=torch.int64, device=device)[:, None]
    block = torch.arange(-(-count // 4), device=device)[None]
    name = _number(purpose)
    words = philox((block, step, name & WORD, name >> 32), (seed & WORD, seed >> 32))
    return (wide(torch.stack(words, dim=2).flatten(1)[:, :count]) + 0.5) / 2**32


def philox(counter: tuple[Tensor | int, ...], key: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Philox-4x32-10 (Salmon et al., SC 2011): four random 32-bit words for a counter of four and a key of two words.

    Words are int64 tensors that broadcast; torch has no unsigned ones on every device.
    """
    a, b, c, d = counter
    low, high = key
    for _ in range(10):
        first, second = 0xD2511F53 * a, 0xCD9E8D57 * c  # a product beyond 2^63 wraps, which keeps its 64 bits
        a, b, c, d = (second >> 32) & WORD ^ b ^ low, second & WORD, (first >> 32) & WORD ^ d ^ high, first & WORD
        low, high = (low + 0x9E3779B9) & WORD, (high + 0xBB67AE85) & WORD
    return tuple(torch.broadcast_tensors(a, b, c, d))
