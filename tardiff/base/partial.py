"""`OUT.partial`: the folder in which work in progress stands, and the note in it that says whose it is."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tardiff.base.files import write_json
from tardiff.errors import TardiffError

NOTE = "identity.json"


def partial_folder(out: str | Path) -> Path:
    """Where the work that ends in `out` stands while it is in progress."""
    return Path(f"{Path(out)}.partial")


def claim(folder: Path, identity: Any) -> None:
    """Make the folder and sign it with all that the result depends on, or go on with it if it is this work's."""
    try:
        if not folder.exists() or not any(folder.iterdir()):
            sign(folder, identity)
    except OSError as error:
        raise TardiffError(f"{folder}: cannot be written ({error.strerror or error}); choose another --out") from error
    check_signed(folder, identity)


def sign(folder: Path, identity: Any) -> None:
    """Say whose work the folder holds, and make it if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / NOTE, identity)


def check_signed(folder: Path, identity: Any) -> None:
    """Refuse to go on with the work of others."""
    try:
        found = json.loads((folder / NOTE).read_bytes())
    except (OSError, ValueError):
        found = None
    if found != json.loads(json.dumps(identity)):
        names = ", ".join(dict.fromkeys(_differing(found, json.loads(json.dumps(identity)))))
        which = f" (other: {names})" if isinstance(found, dict) else ""
        raise TardiffError(f"{folder}: holds work of other settings or data{which}; finish that one, remove it, or choose another --out")


def _differing(found: Any, asked: Any, name: str = "") -> Iterator[str]:
    """Names of what differs, however deep it stands."""
    if isinstance(found, dict) and isinstance(asked, dict):
        for key in {**asked, **found}:
            yield from _differing(found.get(key), asked.get(key), key)
    elif found != asked:
        yield name
