"""Results of fits on disk, under the hash of everything that they depend on: an interrupted evaluation goes on where it stopped."""

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from tardiff.base.files import replace_file
from tardiff.errors import TardiffError

Arrays = dict[str, NDArray[Any]]


def content_hash(*arrays: NDArray[Any]) -> str:
    """Hash of all that is in some arrays, in their order."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


@dataclass(frozen=True)
class Cache:
    """A folder of safetensors files, made when the first result is kept; without a folder nothing is kept."""

    folder: Path | None = None

    def load(self, key: str) -> Arrays | None:
        """What was kept under a key; None if nothing was, or its file is damaged."""
        if self.folder is None:
            return None
        try:
            return load_file(self.folder / f"fit-{key}.safetensors")
        except (OSError, SafetensorError):
            return None

    def save(self, key: str, arrays: Arrays) -> None:
        """Keep arrays under a key."""
        if self.folder is None:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            content = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
            replace_file(self.folder / f"fit-{key}.safetensors", content)
        except OSError as error:
            raise TardiffError(f"{self.folder}: cannot be written ({error.strerror or error}); choose another --cache") from error

    def clear(self) -> None:
        """Remove what was kept, also by calls that were killed as they wrote, and the folder if nothing else is in it."""
        if self.folder is None:
            return
        for path in (*self.folder.glob("fit-*.safetensors"), *self.folder.glob(".fit-*.tmp")):
            path.unlink(missing_ok=True)
        with suppress(OSError):
            self.folder.rmdir()
