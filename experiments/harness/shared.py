"""The work folder: what several processes share. A piece is made once; who holds a lock works, and who dies lets go of it.

Locks are the system's own (flock), so nothing is left behind by a process that is killed.
"""

import fcntl
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class BusyError(Exception):
    """Another process is at it; the cell is tried again later."""


class WaitingError(Exception):
    """A file that somebody else makes is not there yet."""


@dataclass
class Work:
    """A folder for generators, classifiers, fits and locks.

    Attributes:
        folder: of it; several processes may have the same one.
        spent: seconds of one core that this process has spent on shared pieces since it was last set to 0.
    """

    folder: Path
    spent: float = 0.0

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold a lock.

        Raises:
            BusyError: another process holds it.
        """
        path = self.folder / "locks" / hashlib.sha256(name.encode()).hexdigest()[:20]
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BusyError(name) from None
            yield

    def once(self, name: str, identity: Any, make: Callable[[Path], object]) -> Path:
        """A folder or file that is made by the first who asks.

        Args:
            name: of it, for a person.
            identity: all that it depends on, as JSON; another one is another piece.
            make: makes it under the path that it is given, whole or not at all.

        Raises:
            BusyError: another process is making it.
        """
        told = hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()[:12]
        path = self.folder / "made" / f"{name.replace(' ', '-').replace('/', '-')}-{told}"
        if not path.exists():
            with self.lock(f"made {path.name}"):  # however the folder is named: relative or not
                if not path.exists():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    start, before = time.process_time(), self.spent
                    make(path)
                    self.spent = before + time.process_time() - start  # pieces that were made on the way are in it
        return path
