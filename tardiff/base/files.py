"""Folders and files that appear whole or not at all."""

import glob
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError

from tardiff.base.distributed import main_process
from tardiff.errors import TardiffError

T = TypeVar("T")


@contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes `path` when the block succeeds, and vanishes when it fails.

    Of several processes the first one writes; what the others write vanishes in any case.
    """
    if not main_process():
        with tempfile.TemporaryDirectory() as elsewhere:
            yield Path(elsewhere)
        return
    path = Path(path)
    refuse_existing(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.tmp-", dir=path.parent))
    except OSError as error:
        raise TardiffError(f"{path}: cannot be written ({error.strerror}); choose another --out") from error
    try:
        yield temporary
        temporary.chmod(0o755)  # mkdtemp makes it private
        os.rename(temporary, path)
        for left in path.parent.glob(f".{glob.escape(path.name)}.tmp-*"):  # by calls that were killed
            shutil.rmtree(left, ignore_errors=True)
    except (OSError, SafetensorError) as error:
        raise TardiffError(f"{path}: cannot be written ({getattr(error, 'strerror', None) or error})") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def new_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary file name that becomes `path` when the block succeeds, and vanishes when it fails.

    Of several processes the first one writes, as in `new_folder`.
    """
    path = Path(path)
    if not main_process():
        with tempfile.TemporaryDirectory() as elsewhere:
            yield Path(elsewhere) / path.name
        return
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
    """Check, before any work, that `path` can be made."""
    path = Path(path)
    if path.exists():
        raise TardiffError(f"{path}: exists already; remove it or choose another --out")
    ground = next(parent for parent in path.absolute().parents if parent.exists())
    if not (ground.is_dir() and os.access(ground, os.W_OK)):
        raise TardiffError(f"{path}: cannot be written ({ground} is no folder that can be written to); choose another --out")


KEPT = "kept"
"""Folder in a folder for what was measured with it: no part of what it is."""


def digest(path: str | Path) -> str:
    """SHA-256 of all files of a folder but those in `KEPT`, with their names; of a folder that is not there, that of nothing."""
    path, total = Path(path), hashlib.sha256()
    for file in sorted(file for file in path.rglob("*") if file.is_file() and file.parent != path / KEPT):
        total.update(f"{file.relative_to(path)}\0{file.stat().st_size}\0".encode())
        total.update(file.read_bytes())
    return total.hexdigest()


def replace_file(path: str | Path, content: bytes | str) -> None:
    """Write `content` to `path` under a temporary name of this process, then rename, so that no reader sees half of it."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    os.replace(temporary, path)


def write_json(path: str | Path, content: Any) -> None:
    """Write `content` as indented JSON (NaN and infinity refused), atomically."""
    replace_file(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


TENSOR_TYPES = {"int64": "I64", "float32": "F32", "int32": "I32", "uint8": "U8"}
"""Types of arrays and what safetensors calls them, in the order in which it stores them."""


def write_arrays(path: str | Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write a safetensors file, as `safetensors.numpy.save_file` does but without a copy of the arrays in memory.

    Format: https://huggingface.co/docs/safetensors (length of the header, header, arrays).
    """
    order = list(TENSOR_TYPES)
    chosen = sorted(arrays, key=lambda name: (order.index(arrays[name].dtype.name), name))
    header, offset = {}, 0
    for name in chosen:
        array = arrays[name]
        header[name] = {"dtype": TENSOR_TYPES[array.dtype.name], "shape": array.shape, "data_offsets": (offset, offset + array.nbytes)}
        offset += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with Path(path).open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in chosen:
            if arrays[name].size:
                file.write(np.ascontiguousarray(arrays[name]).data.cast("B"))


def write_struct(path: str | Path, record: msgspec.Struct) -> None:
    """Write a record as indented JSON, atomically."""
    replace_file(path, msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")


def read_struct(path: str | Path, kind: type[T]) -> T:
    """Read a record from JSON and check every field."""
    try:
        return msgspec.json.decode(Path(path).read_bytes(), type=kind)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise TardiffError(f"{path}: no such file") from error
    except (UnicodeDecodeError, RecursionError, msgspec.MsgspecError, TardiffError) as error:  # the last of settings in a record
        raise TardiffError(f"{path}: {error}") from error
