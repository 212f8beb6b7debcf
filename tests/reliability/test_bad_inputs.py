"""Every bad input ends in one clear line and exit status 2, and the page that lists them says what the run says."""

import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

import tardiff
from tardiff.cli import main
from tardiff.commands import COMMANDS

from .bad_inputs import CASES, FIRST, HEAD, PAGE, REWRITE, Case, row

PREFIX = "tardiff: error: "
PATIENTS = ("secret", "Smith", "2150-01-01")
"""What stands in the rows that the cases spoil, and in no message."""
OTHERS_SAY = re.compile(
    r"((?:damaged|not valid YAML|JSON|as a table|plain NumPy arrays|what its name says|Parquet|(?:could not|cannot) be read|writes it"
    r"|packages|than there is|cannot be written|is malformed)) \(.*\)|(JSON is malformed|truncated):? .*"
)
"""What another library, or the system, has to say: its words differ between versions."""
SAID: dict[str, str] = {}


def call(arguments: list[str]) -> object:
    try:
        main(arguments)
    except SystemExit as stop:
        return stop.code
    return 0


def told(stderr: str) -> list[str]:
    """The lines that are neither progress nor a warning."""
    lines = [line.strip() for line in re.split(r"[\r\n]", stderr)]
    return [line for line in lines if line and "%|" not in line and not line.startswith("warning: ")]


def stable(message: str, root: Path) -> str:
    """A message without what differs between machines and versions of libraries."""
    return OTHERS_SAY.sub(lambda found: f"{found[1] or found[2]} (...)", message.replace(f"{root}/", "").replace(str(root), "."))


def listing(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


@pytest.mark.parametrize("case", [pytest.param(case, marks=() if case in FIRST else pytest.mark.slow, id=str(case)) for case in CASES])
def test_one_line_and_status_2(case: Case, good, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.delenv("TARDIFF_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    arguments = case.lay_out(tmp_path, good)
    before = listing(tmp_path)
    capsys.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        status = call(arguments)
    stderr = capsys.readouterr().err
    lines = told(stderr)
    assert status == 2, stderr
    assert len(lines) == 1, stderr
    assert lines[0].startswith(PREFIX)
    message = lines[0].removeprefix(PREFIX)
    assert case.names.replace("_", "-") in message.replace("_", "-")
    assert str(Path(tardiff.__file__).parents[1]) not in message
    assert "site-packages" not in message
    assert not any(word in message for word in PATIENTS)
    assert listing(tmp_path) == before
    said = SAID[str(case)] = stable(message, tmp_path)
    if REWRITE not in os.environ:
        assert row(case, said) in page()


def page() -> Iterator[str]:
    return iter(PAGE.read_text(encoding="utf-8").splitlines())


def test_the_page_holds_these_cases_in_this_order() -> None:
    if REWRITE in os.environ:
        PAGE.write_text(HEAD + "".join(row(case, SAID[str(case)]) + "\n" for case in CASES if str(case) in SAID), encoding="utf-8")
    lines = PAGE.read_text(encoding="utf-8").removeprefix(HEAD).splitlines()
    assert [line.split(" | ")[:2] for line in lines] == [row(case, "").split(" | ")[:2] for case in CASES]


def test_there_are_many_of_every_command() -> None:
    assert len({str(case) for case in CASES}) == len(CASES)
    assert len(CASES) >= 230
    assert {case.arguments.split()[0] for case in CASES} >= set(COMMANDS)
