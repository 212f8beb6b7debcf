"""What a command says at its end: at most fifteen lines, with colour on a terminal only."""

import os
import re
import sys
from collections.abc import Iterable
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, arg

Verbose = Annotated[FlagCreatePairsOff[bool], arg(help="Print the long tables as well.")]
MOST = 15
COLOURS = {"good": "32", "bad": "31", "warn": "33", "bold": "1"}


def colour(text: str, kind: str) -> str:
    """Text in a colour of `COLOURS`, if standard output is a terminal that shows colours (https://no-color.org)."""
    shows = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return f"\x1b[{COLOURS[kind]}m{text}\x1b[0m" if shows else text


def verdict(line: str) -> str:
    """A sentence of a verdict in the colour of what it says: a gain, a loss or a leak, or neither."""
    if re.search(r"\b(?:loses|worse|(?<!no )leak|inert|WORSE|nearer)\b", line):
        return colour(line, "bad")
    return colour(line, "good") if re.search(r"\b(?:gains|better|no leak)\b", line) else line


def close(short: Iterable[str], long: str = "", verbose: bool = False) -> None:
    """Print what a command ends with.

    Args:
        short: what matters; lines beyond fifteen are counted in the last one.
        long: tables, printed before it if asked for.
        verbose: whether they are.
    """
    if verbose and long:
        print(long.rstrip("\n") + "\n")
    lines = [line for text in short for line in text.splitlines()]
    shown = lines if len(lines) <= MOST else [*lines[: MOST - 2], f"({len(lines) - MOST + 1} more lines with --verbose)", lines[-1]]
    print("\n".join(lines if verbose else shown), flush=True)
