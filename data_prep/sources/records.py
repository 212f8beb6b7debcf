"""One text file a record: in a folder, or in an archive that is streamed and never unpacked."""

import gzip
import io
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from data_prep.sources import Source
from tardiff.errors import TardiffError

RECORDS = "records"
"""What the account calls all of them together."""
LARGEST = 1 << 26
"""Bytes of a record: real ones have some thousands, and what is made to fill the memory has more."""


class RecordFiles(Source):
    """What such sources have in common: a record that cannot be read is refused, so its entries have no faults."""

    table: ClassVar[str] = RECORDS
    _raw: Path

    def first(self, table: str, fault: str) -> str:
        """There are no faults; see `Source.first`."""
        return str(self._raw)

    def explain(self, error: Exception) -> TardiffError:
        """Nothing is left to go wrong once the records are parsed."""
        return TardiffError(f"{self._raw}: the records could not be aggregated ({error})")


def records(place: Path, name: re.Pattern[str], first_line: str, where: str) -> Iterator[tuple[int, bytes]]:
    """Number of each record, and what follows its first line.

    Args:
        place: a folder, or a .tar.gz.
        name: what a record's file is called, its number as the first group. Whatever is called otherwise is passed over, and so
            are the folders inside an archive.
        first_line: with the names of the columns.
        where: what stands before a file's name, for messages.

    Raises:
        TardiffError: the archive is truncated or damaged, or a record has another first line or no other.
    """
    for match, content in _files(place, name):
        begin, _, rest = content.partition(b"\n")
        if begin.strip() != first_line.encode():
            shown = re.sub(r"\|.*\|", "|...|", first_line)
            raise TardiffError(f"{where}{match[0]}: the first line is not {shown}; fetch the file again")
        if not (rest := rest.strip()):
            raise TardiffError(f"{where}{match[0]}: nothing follows the first line; fetch the file again")
        yield int(match[1]), rest


def parsed(bodies: Sequence[bytes], columns: Mapping[str, pa.DataType], delimiter: str = ",", missing: Sequence[str] = ()) -> pa.Table:
    """The lines of all records as one table; `missing` are the words for nothing.

    Raises:
        pa.ArrowInvalid: a line has more or fewer columns, or one of another type.
    """
    return pa_csv.read_csv(
        io.BytesIO(b"\n".join(bodies) + b"\n"),
        pa_csv.ReadOptions(column_names=list(columns), block_size=1 << 24),
        pa_csv.ParseOptions(delimiter=delimiter, quote_char=False, ignore_empty_lines=False),
        pa_csv.ConvertOptions(column_types=columns, null_values=list(missing), strings_can_be_null=False),
    )


def _files(place: Path, name: re.Pattern[str]) -> Iterator[tuple[re.Match[str], bytes]]:
    if place.is_dir():
        for path in sorted(place.iterdir()):
            if (match := name.fullmatch(path.name)) and path.is_file():
                yield match, path.read_bytes()
        return
    try:
        with gzip.open(place) as content:
            with tarfile.open(fileobj=content, mode="r|") as members:
                for member in members:
                    if member.size > LARGEST:
                        raise TardiffError(f"{place}: a record of {member.size / 1e6:,.0f} MB is too large to be one; fetch it again")
                    if member.isfile() and (match := name.fullmatch(member.name.rpartition("/")[2])):
                        body = members.extractfile(member)
                        assert body is not None  # only a member that is no file has no body
                        yield match, body.read()
            while content.read(1 << 20):  # to the end, where gzip checks its sum
                pass
    except (EOFError, tarfile.TarError, zlib.error, gzip.BadGzipFile) as error:
        raise TardiffError(f"{place}: truncated or damaged ({error}); fetch it again") from error


def is_number(text: str) -> bool:
    """Whether a field is a finite number."""
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False
