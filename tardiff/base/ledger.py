"""Finished cells in a file that only grows, one line of JSON each, so that what was interrupted goes on where it stopped."""

import json
from pathlib import Path
from typing import Any

from tardiff.errors import TardiffError


class Ledger:
    """The finished cells of a file.

    Processes may share one. A line that a killed process left half-written is passed over, and the next one starts anew.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: list[dict[str, Any]] = []
        self._read = 0

    def cells(self) -> list[dict[str, Any]]:
        """All finished cells, in the order in which they were added."""
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self._read)
                fresh = file.read()
            whole = fresh[: fresh.rfind(b"\n") + 1]
            self._read += len(whole)
            self._known += [cell for line in whole.splitlines() if (cell := _parsed(line)) is not None]
        return self._known

    def find(self, **key: Any) -> dict[str, Any] | None:
        """The first cell with these fields; None if it is not finished."""
        return next((cell for cell in self.cells() if key.items() <= cell.items()), None)

    def add(self, cell: dict[str, Any]) -> dict[str, Any]:
        """Write a cell down, and give it back.

        Raises:
            TardiffError: the file cannot be written.
        """
        line = json.dumps(cell).encode() + b"\n"
        try:
            with self.path.open("a+b") as file:
                if file.tell():
                    file.seek(-1, 2)
                    line = line if file.read() == b"\n" else b"\n" + line
                file.write(line)
        except OSError as error:
            reason = error.strerror or error
            raise TardiffError(f"{self.path}: cannot be written ({reason}); make room, and the same command goes on") from error
        return cell


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        cell = json.loads(line)
    except ValueError:
        return None
    return cell if isinstance(cell, dict) else None
