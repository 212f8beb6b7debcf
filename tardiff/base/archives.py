"""Compressed files of others, whose size on disk says nothing of their size in memory."""

import gzip
import zipfile
from pathlib import Path

from tardiff.errors import TardiffError

MOST, RATIO = 2**30, 200
"""What may come out of a file: a gigabyte, or so many times its own size. A zip bomb gives a thousand times and more."""
CHUNK = 1 << 20


def check_zip(path: Path) -> None:
    """Look at the table of contents of a zip archive, without opening a member."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    for member in members:
        if Path(member.filename).name != member.filename:
            raise TardiffError(f"{path}: the name of its member {member.filename!r} is a path; save plain arrays by their names")
    _check(path, sum(member.file_size for member in members))


def check_gzip(path: Path) -> None:
    """Count what comes out of a file, if its name says that it is gzipped.

    Raises:
        EOFError, OSError, zlib.error: it is damaged.
        TardiffError: it grows out of all proportion.
    """
    if path.suffix != ".gz":
        return
    size = 0
    with gzip.open(path) as content:
        while chunk := content.read(CHUNK):
            size += len(chunk)
            _check(path, size)


def _check(path: Path, size: int) -> None:
    packed = path.stat().st_size
    if size > max(MOST, RATIO * packed):
        raise TardiffError(f"{path}: its {packed / 1e6:,.1f} MB unpack to {size / 1e9:,.1f} GB or more, out of all proportion")
