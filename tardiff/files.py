"""Folders and files that appear whole or not at all."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tardiff.errors import TardiffError


@contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes `path` when the block succeeds, and vanishes when it fails.

    Raises:
        TardiffError: `path` exists already, or its parent cannot be written.
    """
    path = Path(path)
    refuse_existing(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise TardiffError(f"{path}: cannot be written ({error.strerror}); choose another --out") from error
    try:
        yield temporary
        temporary.chmod(0o755)  # mkdtemp makes it private
        os.rename(temporary, path)
    except OSError as error:
        raise TardiffError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def new_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary file name that becomes `path` when the block succeeds, and vanishes when it fails.

    Raises:
        TardiffError: `path` exists already, or its folder cannot be written.
    """
    path = Path(path)
    refuse_existing(path)
    temporary = path.with_name(f".tmp.{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise TardiffError(f"{path}: cannot be written ({error.strerror or error}); choose another --out") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def refuse_existing(path: str | Path) -> None:
    """Raise TardiffError if `path` exists: nothing that a user made is ever overwritten."""
    if Path(path).exists():
        raise TardiffError(f"{path}: exists already; remove it or choose another --out")


def replace_file(path: str | Path, content: bytes | str) -> None:
    """Write `content` to `path` under a temporary name, then rename, so that no reader sees half of it."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    os.replace(temporary, path)


def write_json(path: str | Path, content: Any) -> None:
    """Write `content` as indented JSON (NaN and infinity refused), atomically."""
    replace_file(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read JSON.

    Raises:
        TardiffError: the file is missing or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text())
    except FileNotFoundError as error:
        raise TardiffError(f"{path}: no such file") from error
    except (UnicodeDecodeError, ValueError) as error:
        raise TardiffError(f"{path}: not valid JSON ({error})") from error
