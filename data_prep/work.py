"""Work in progress: `OUT.partial` keeps what an interrupted call has finished, so that the same call goes on from it."""

import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import ibis

from data_prep.account import CountedScans
from data_prep.engine import write
from tardiff.base.files import refuse_existing, write_json
from tardiff.base.partial import partial_folder
from tardiff.errors import TardiffError

T = TypeVar("T")

REQUEST = "request.json"


class Work(CountedScans):
    """The folder `OUT.partial`.

    Attributes:
        out: the folder to be made.
        folder: where work in progress stands.
        published: an earlier call was killed between making `out` and clearing up: there is nothing left to do.

    It appears together with its request (settings and raw files), and a call with another request starts over. Whatever
    stands in it is whole: files are written under another name and renamed.
    """

    def __init__(self, out: Path, folder: Path, published: bool) -> None:
        super().__init__()
        self.out, self.folder, self.published = out, folder, published

    def kept(self, scan: ibis.Table, name: str) -> ibis.Table:
        """Evaluate a scan into the folder, unless an earlier call has; see `data_prep.account.Scans`.

        In a database of the user's nothing is kept: the table stays there, and is as cheap to read again as it ever was.
        """
        backend: Any = ibis.get_backend(scan)
        if backend.name != "duckdb":
            return scan
        path, counts = self.folder / f"{name}.parquet", self.folder / f"{name}.lost.json"
        if path.exists():
            self.lost[name] = Counter(json.loads(counts.read_bytes()))
        else:
            write(scan, unfinished := self.folder / f"{name}.scan", f"reading {name}")
            write_json(counts, self.counted(name))
            unfinished.rename(path)
        return backend.read_parquet(path)

    def publish(self, save: Callable[[Path], T]) -> T:
        """Have the result saved inside the folder, give it its name, and remove the rest."""
        result = self.folder / "result"
        shutil.rmtree(result, ignore_errors=True)  # of a call that was killed here
        try:
            saved = save(result)
        except TardiffError as error:  # the user has never heard of `result`
            raise TardiffError(str(error).replace(str(result), str(self.out))) from error
        os.rename(result, self.out)
        self.clear()
        return saved

    def clear(self) -> None:
        """Remove the folder. It loses its name first: as long as it has that, a later call finds in it whose work this was."""
        nameless = _nameless(self.folder)
        self.folder.rename(nameless)
        shutil.rmtree(nameless)


@contextmanager
def work(out: str | Path, settings: Mapping[str, Any], files: Sequence[Path]) -> Iterator[Work]:
    """Open `OUT.partial`, new or as an interrupted call left it; what cannot be done leaves nothing behind.

    Args:
        out: the folder that is to be made.
        settings: what determines the result.
        files: the raw files; their names, sizes and times of change are compared.

    Raises:
        TardiffError: `out` exists, or cannot be written, or something else is called `OUT.partial`.
    """
    out = Path(out)
    folder = partial_folder(out)
    request = {"settings": dict(settings), "files": [[str(file), file.stat().st_size, file.stat().st_mtime_ns] for file in files]}
    request = json.loads(json.dumps(request, default=str))
    shutil.rmtree(_nameless(folder), ignore_errors=True)  # of a call that was killed as it began or ended
    if out.exists() and folder.exists() and _earlier(folder) == request:
        yield Work(out, folder, published=True)
        return
    refuse_existing(out)
    resumed = folder.exists() and _resumes(folder, request)
    try:
        if not resumed:
            shutil.rmtree(folder, ignore_errors=True)
            _begin(folder, request)
        for file in folder.glob("*.tmp"):
            shutil.rmtree(file) if file.is_dir() else file.unlink()
        yield Work(out, folder, published=False)
    except (TardiffError, OSError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError):
            raise TardiffError(f"{out}: cannot be written ({error.strerror or error})") from error
        raise


def _begin(folder: Path, request: Mapping[str, Any]) -> None:
    new = _nameless(folder)
    try:
        new.mkdir(parents=True)
        write_json(new / REQUEST, request)
        new.rename(folder)
    except OSError:
        shutil.rmtree(new, ignore_errors=True)
        raise


def _nameless(folder: Path) -> Path:
    """Where the folder stands before it has its name, and after."""
    return folder.with_name(f".{folder.name}.tmp")


def _earlier(folder: Path) -> Any:
    """The request of the call that made the folder; None if it is of no such call."""
    try:
        return json.loads((folder / REQUEST).read_bytes())
    except (OSError, ValueError):
        return None


def _resumes(folder: Path, request: Mapping[str, Any]) -> bool:
    earlier = _earlier(folder)
    if earlier is None:
        raise TardiffError(f"{folder}: exists, and is no unfinished `tardiff prepare`; remove it or choose another --out")
    if earlier == request:
        print(f"{folder}: going on where an earlier call stopped", file=sys.stderr)
        return True
    changed = "the settings" if earlier.get("settings") != request["settings"] else "the raw files"
    print(f"{folder}: {changed} are not those of the earlier call; starting over", file=sys.stderr)
    return False
