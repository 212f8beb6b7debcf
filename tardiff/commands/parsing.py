"""The options of a command: tyro reads them, and what is wrong with them becomes one line like every other error."""

import inspect
import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from functools import partial, wraps
from itertools import dropwhile, takewhile
from typing import Any

import docstring_parser
import tyro

from tardiff.commands.paths import check_paths
from tardiff.commands.unread import refuse_unread
from tardiff.errors import TardiffError

FRAME, RULE = "│╭╮╰╯─ ", set("─-")
"""What tyro draws around and between the parts of its messages."""
REWORDED = {
    r"^Missing from [\w -]+: (.*)": r"missing: \1",
    r"^Missing value for argument '?([^']*?)'?\. .*": r"\1: a value is missing",
    r"^Unrecognized options: (.*)": r"unknown: \1",
    r"^Error parsing ([^:]+): (?:invalid literal for int|could not convert string)[^:]*: (.*)": r"\1: \2 is not a number",
    r"^Error parsing ([^:]+): no type matching (\S+) could be instantiated from \[(.*)\]\..*": r"\1: \3 is none of \2",
    r"^Error parsing ([^:]+): Could not find valid parse for arguments: \[(.*)\].*": r"\1: \2 do not fit",
    r"^Error parsing ([^:]+): (.*)": r"\1: \2",
    r"^invalid choice (.*) for argument '?([^']*)'?\. Expected one of \((.*)\)\.": r"\2: \1 is none of \3",
}
"""tyro's words, and ours: the option first. Words that it may change are passed on as they are."""


def understood(name: str, command: Callable[..., None], arguments: Sequence[str]) -> Callable[[], None]:
    """A command with its options, ready to be run; its paths are looked at first.

    Args:
        name: of the command.
        command: whose parameters are the options.
        arguments: what the user wrote after the name.

    Raises:
        TardiffError: an option is unknown, lacks its value, has a wrong one, is needed and not given, or would not be read.
    """

    @wraps(command)
    def later(*values: Any, **options: Any) -> Callable[[], None]:
        return partial(command, *values, **options)

    said = io.StringIO()
    try:
        with redirect_stderr(said), _whole_paragraphs():
            ready: Callable[[], None] = tyro.cli(later, prog=f"tardiff {name}", args=arguments)
    except SystemExit as stop:
        if not stop.code:  # --help
            raise
        raise TardiffError(f"{name}: {complaint(said.getvalue())} (see `tardiff {name} --help`)") from stop
    except AssertionError as error:  # how it refuses the name of a shell
        raise TardiffError(f"{name}: {error}") from error
    except TardiffError as error:
        raise TardiffError(in_full(str(error), arguments)) from error
    given = _all_of(command, ready)
    refuse_unread(name, given, arguments)

    def checked() -> None:
        check_paths(name, given)
        ready()

    return checked


READERS = ("parse", "parse_from_object")
"""Functions by which tyro reads docstrings."""


@contextmanager
def _whole_paragraphs() -> Iterator[None]:
    """While tyro reads docstrings, the lines of each paragraph come joined; it would keep their ends where the source is indented."""
    readers = {name: getattr(docstring_parser, name) for name in READERS}

    def joined(read: Callable[..., docstring_parser.Docstring], *of: Any, **style: Any) -> docstring_parser.Docstring:
        found = read(*of, **style)
        for option in found.params:
            option.description = option.description and re.sub(r"(?<!\n)\n[ \t]*(?!\s)", " ", option.description)
        return found

    for name, read in readers.items():
        setattr(docstring_parser, name, partial(joined, read))
    try:
        yield
    finally:
        for name, read in readers.items():
            setattr(docstring_parser, name, read)


def _all_of(command: Callable[..., None], ready: Any) -> dict[str, Any]:
    """Every parameter's value, defaults among them."""
    bound = inspect.signature(command).bind(*ready.args, **ready.keywords)
    bound.apply_defaults()
    return bound.arguments


def in_full(message: str, arguments: Sequence[str]) -> str:
    """A message about `--ratio`, where the user wrote `--discriminator.ratio`: settings do not know the group that they stand in."""
    option, *rest = message.split(" ", 1)
    written = {argument.partition("=")[0] for argument in arguments if argument.startswith("--")}
    meant = [name for name in written if name.replace("_", "-").endswith(f".{option.lstrip('-')}")]
    return " ".join([meant[0], *rest]) if option.startswith("--") and option not in written and len(meant) == 1 else message


def complaint(framed: str) -> str:
    """What a message of tyro says, without its title, its frame and the help below a rule or an empty line."""
    lines = [line.strip(FRAME) for line in framed.splitlines()[1:]]
    said = list(takewhile(_is_said, dropwhile(lambda line: not _is_said(line), lines)))
    if said and said[0].startswith("Missing from"):  # names, each with its description; the names say enough
        said[1:] = [", ".join(line for line in said[1:] if re.fullmatch(r"(--\S+|[A-Z]+)( \S+)?", line))]
    text = " ".join(" ".join(said).split())
    if text.startswith("Unrecognized"):
        similar = dict.fromkeys(line.split()[0] for line in lines if re.match("--[a-z]", line) and line not in said)
        text += f"; similar is {' or '.join(similar)}" * bool(similar)
    for theirs, ours in REWORDED.items():
        if re.match(theirs, text):
            return re.sub(theirs, ours, text)
    return text


def _is_said(line: str) -> bool:
    return not set(line) <= RULE
