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

    def cells(self) -> list[dict[str, Any]]:
        """All finished cells, in the order in which they were added."""
        lines = self.path.read_bytes().split(b"\n")[:-1] if self.path.exists() else []
        return [cell for line in lines if (cell := _parsed(line))]

    def find(self, **key: Any) -> dict[str, Any] | None:
        """The first cell with these fields; None if it is not finished."""
        return next((cell for cell in self.cells() if key.items() <= cell.items()), None)

    def add(self, cell: dict[str, Any]) -> dict[str, Any]:
        """Write a cell down and give it back."""
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


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        cell = json.loads(line)
    except ValueError:
        return {}
    return cell if isinstance(cell, dict) else {}
