"""Progress bars: one for all processes. On a terminal they erase themselves; elsewhere they are one line a minute."""

import os
import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

from tardiff.base.distributed import main_process

SOON, OFTEN, LONG = 5.0, 60.0, 60.0
"""Seconds until the first estimate, between two lines off a terminal, and from which on work is long enough to be told."""


class Bar(tqdm):
    """tqdm's bar, which leaves nothing on a terminal but, of long work, one line with an estimate; in a file it is plain lines."""

    def __init__(self, things: Iterable[Any] | None, **options: Any) -> None:
        self.live, self.told = sys.stderr.isatty(), False
        quiet = {} if self.live else {"delay": SOON, "mininterval": SOON, "maxinterval": OFTEN, "miniters": 1}
        super().__init__(things, leave=False, dynamic_ncols=True, **options, **quiet)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Draw the bar, or write a line; the first time that an estimate can be made, tell it if it is long."""
        done = self.format_dict
        left = seconds_left(done)
        if self.live:
            if not self.told and done["elapsed"] >= SOON and left is not None:
                self.told = True
                if left > LONG:
                    self.write(f"{self.desc.rstrip(': ')}: about {words(left)}", file=sys.stderr)
            super().display(msg, pos)
        elif left is not None:
            self.mininterval = OFTEN
            share = f"{done['n'] / done['total']:.0%}"
            self.fp.write(f"{self.desc.rstrip(': ')} {share}| {words(done['elapsed'])} so far, about {words(left)} to go\n")
            self.fp.flush()

    def close(self) -> None:
        """Erase the bar; off a terminal there is nothing to erase."""
        if self.live:
            super().close()
        elif not self.disable:
            self.disable: bool = True
            self._decr_instances(self)


def seconds_left(done: dict[str, Any]) -> float | None:
    """How long the rest takes at the pace so far (of tqdm's `format_dict`); None before anything is done, or without a known end."""
    moved = done["n"] - done["initial"]
    return (done["total"] - done["n"]) * done["elapsed"] / moved if done["total"] and moved > 0 else None


def words(seconds: float) -> str:
    """`40 s`, `12 min` or `3 h 20 min`."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def bar(things: Iterable[Any] | None = None, shown: bool = True, **options: Any) -> Bar:
    """A bar over things, or one that is moved by hand; the main process shows it, unless `TQDM_DISABLE` is set."""
    return Bar(things, disable=not shown or not main_process() or bool(os.environ.get("TQDM_DISABLE")), **options)
