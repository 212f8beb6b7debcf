"""The command line: finds a command, runs it, and turns what went wrong into one line and an exit status."""

import os
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version

from tardiff.base.distributed import main_process, rank
from tardiff.base.extras import hide
from tardiff.commands import COMMANDS
from tardiff.commands.parsing import understood
from tardiff.errors import TardiffError

RESUMED = ("prepare", "train", "adapt", "sample", "refine", "evaluate", "compare")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; what the user handed in wrong is one line on standard error and exit status 2."""
    if arguments is None:  # the process is this command's alone
        hide()
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    name = arguments[0] if arguments else "--help"
    if not main_process():  # of several processes the first one speaks
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  (for as long as the process lives)
    try:
        if name in ("-h", "--help"):
            print(overview(), flush=True)
            sys.exit(0 if arguments else 2)
        if name == "--version":
            print(f"tardiff {version('tardiff')}", flush=True)
            sys.exit(0)
        if name not in COMMANDS:
            raise TardiffError(f"unknown command {name!r} (known: {', '.join(COMMANDS)})")
        understood(name, COMMANDS[name], arguments[1:])()
        sys.stdout.flush()
    except TardiffError as error:
        sys.exit(fail(str(error), 2))
    except BrokenPipeError:  # whoever reads the output wants no more of it, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nor what is still to be flushed
        sys.exit(141)
    except OSError as error:
        sys.exit(fail(f"{error.filename or 'tardiff'}: {error.strerror or error}", 2))
    except MemoryError as error:
        sys.exit(fail(f"{name}: more memory is needed than there is ({error or 'no more is given'}); ask for less at a time", 2))
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever presses twice gets the same one line
        goes_on = "; the same command goes on where it stopped" if name in RESUMED else ""
        sys.exit(fail(f"interrupted{goes_on}", 130))


def overview() -> str:
    """What `tardiff --help` prints."""
    lines = [
        "usage: tardiff COMMAND ...",
        "",
        "Synthetic EHR time series, steered towards a clinical model.",
        "",
        *(f"  {name:<15} {(command.__doc__ or '').splitlines()[0]}" for name, command in COMMANDS.items()),
        "",
        "`tardiff COMMAND --help` explains a command with examples. For instance:",
        "  tardiff demo --out runs/demo",
    ]
    return "\n".join(lines)


def fail(message: str, status: int) -> int:
    """Print an error as one line; returns the exit status."""
    who = "" if main_process() else f"[process {rank()}] "
    print(f"tardiff: error: {who}{' '.join(message.split())}", file=sys.stderr)
    return status
