"""Ways to spoil a good file. Each returns a function of the folder in which the copies stand."""

import gzip
import io
import json
import os
import pickle
import random
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import load_file, save_file

Spoil = Callable[[Path], None]


def nothing(root: Path) -> None:
    """What is wrong stands in the arguments."""


def put(name: str, content: bytes | str) -> Spoil:
    """Another content."""

    def spoil(root: Path) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return spoil


def removed(name: str) -> Spoil:
    """No file."""

    def spoil(root: Path) -> None:
        shutil.rmtree(root / name) if (root / name).is_dir() else (root / name).unlink()

    return spoil


def a_folder(name: str) -> Spoil:
    """A folder where a file should be."""

    def spoil(root: Path) -> None:
        (root / name).unlink(missing_ok=True)
        (root / name).mkdir(parents=True)

    return spoil


def cut(name: str, share: float = 0.6) -> Spoil:
    """Only the first bytes."""

    def spoil(root: Path) -> None:
        content = (root / name).read_bytes()
        (root / name).write_bytes(content[: int(len(content) * share)])

    return spoil


def noise(name: str) -> Spoil:
    """Random bytes, the same in every run."""
    return put(name, random.Random(name).randbytes(400))


def loop(name: str) -> Spoil:
    """A symbolic link to itself."""

    def spoil(root: Path) -> None:
        path = root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        os.symlink(path.name, path)

    return spoil


def text(name: str, old: str, new: str) -> Spoil:
    """Words replaced, the first time that they occur; in a gzipped file, too."""

    def spoil(root: Path) -> None:
        content = (root / name).read_bytes()
        zipped = name.endswith(".gz")
        words = (gzip.decompress(content) if zipped else content).decode()
        assert old in words
        words = words.replace(old, new, 1)
        (root / name).write_bytes(gzip.compress(words.encode()) if zipped else words.encode())

    return spoil


def field(name: str, place: str, value: Any) -> Spoil:
    """A field of a JSON file set; `place` is its path, with dots."""
    return _json(name, place, lambda owner, key: owner.__setitem__(key, value))


def missing(name: str, place: str) -> Spoil:
    """A field of a JSON file gone."""
    return _json(name, place, lambda owner, key: owner.__delitem__(key))


def _json(name: str, place: str, change: Callable[[Any, Any], None]) -> Spoil:
    def spoil(root: Path) -> None:
        content = json.loads((root / name).read_text())
        owner, keys = content, [int(key) if key.isdigit() else key for key in place.split(".")]
        for key in keys[:-1]:
            owner = owner[key]
        change(owner, keys[-1])
        (root / name).write_text(json.dumps(content))

    return spoil


def arrays(name: str, change: Callable[[dict[str, Any]], Any]) -> Spoil:
    """The arrays of a safetensors file changed in place."""

    def spoil(root: Path) -> None:
        content = {key: array.copy() for key, array in load_file(root / name).items()}
        change(content)
        save_file({key: np.ascontiguousarray(array) for key, array in content.items()}, root / name)

    return spoil


def entry(name: str, array: str, place: Any, value: Any) -> Spoil:
    """One entry of one array set."""
    return arrays(name, lambda content: content[array].__setitem__(place, value))


def header(name: str, change: Callable[[dict[str, Any]], Any] | None = None, length: int | None = None) -> Spoil:
    """A safetensors header that lies."""

    def spoil(root: Path) -> None:
        content = (root / name).read_bytes()
        size = int.from_bytes(content[:8], "little")
        told = json.loads(content[8 : 8 + size])
        if change:
            change(told)
        words = json.dumps(told).encode()
        (root / name).write_bytes((len(words) if length is None else length).to_bytes(8, "little") + words + content[8 + size :])

    return spoil


def frame(name: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Spoil:
    """A table in Parquet or CSV changed."""

    def spoil(root: Path) -> None:
        path = root / name
        if path.suffix == ".parquet":
            change(pd.read_parquet(path)).to_parquet(path, index=False)
        else:
            change(pd.read_csv(path)).to_csv(path, index=False)

    return spoil


def npz(name: str, **content: Any) -> Spoil:
    """A file of NumPy arrays."""

    def spoil(root: Path) -> None:
        np.savez(root / name, **{key: np.asarray(value) for key, value in content.items()})

    return spoil


def pickled(name: str, content: Any) -> Spoil:
    """A pickle."""
    return put(name, pickle.dumps(content))


def zipped(name: str, members: Mapping[str, bytes]) -> Spoil:
    """A zip archive."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, body in members.items():
            archive.writestr(member, body)
    return put(name, made.getvalue())


def archived(name: str, members: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> Spoil:
    """A tar archive, gzipped."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for member, body in members.items():
            info = tarfile.TarInfo(member)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
        for member, target in (links or {}).items():
            info = tarfile.TarInfo(member)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return put(name, made.getvalue())


def both(*spoils: Spoil) -> Spoil:
    """One after the other."""

    def spoil(root: Path) -> None:
        for each in spoils:
            each(root)

    return spoil
