import os
import pty
import re
import select
import subprocess
import sys

import pytest

from tardiff.base import progress
from tardiff.base.progress import Bar, seconds_left, words

SCRIPT = """
import time
from tardiff.base import progress
progress.SOON, progress.LONG = 0.2, 0.5
for _ in progress.bar(range(30), desc="train", unit="step"):
    time.sleep(0.05)
print("done")
"""


def test_off_a_terminal_it_is_lines(capsys, monkeypatch):
    clock = iter(range(0, 100000, 2))
    monkeypatch.setattr("tqdm.std.time", lambda: float(next(clock)))
    with Bar(None, total=300, desc="train", disable=False) as moved:
        moved._time = lambda: float(next(clock))
        for _ in range(300):
            moved.update()
    lines = capsys.readouterr().err.splitlines()
    assert all(re.fullmatch(r"train \d+%\| .* so far, about .* to go", line) for line in lines), lines
    assert 5 <= len(lines) <= 30  # 600 s and more of a clock that moves two seconds at each look


def test_short_work_leaves_nothing(capsys):
    for _ in progress.bar(range(10), desc="short"):
        pass
    assert capsys.readouterr().err == ""


def test_on_a_terminal_it_erases_itself_and_leaves_an_estimate():
    parent, child = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=child, stderr=child, env={**os.environ, "COLUMNS": "80"})
    os.close(child)
    text = b""
    while select.select([parent], [], [], 30)[0]:
        try:
            text += os.read(parent, 4096)
        except OSError:  # the other end is closed
            break
    assert process.wait(30) == 0
    screen = [re.split(r"\r", line)[-1].strip() for line in text.decode().replace("\r\n", "\n").split("\n")]
    assert "done" in screen
    assert [line for line in screen if line and line != "done"] == [line for line in screen if line.startswith("train: about ")]
    assert sum(line.startswith("train: about ") for line in screen) == 1


@pytest.mark.parametrize(("seconds", "said"), [(40, "40 s"), (89, "89 s"), (600, "10 min"), (12000, "3 h 20 min")])
def test_durations_in_words(seconds, said):
    assert words(seconds) == said


def test_the_rest_goes_on_at_the_pace_so_far():
    assert seconds_left({"n": 30, "initial": 10, "total": 110, "elapsed": 40.0}) == 160.0  # 20 in 40 s, 80 to go
    assert seconds_left({"n": 10, "initial": 10, "total": 110, "elapsed": 40.0}) is None
    assert seconds_left({"n": 10, "initial": 0, "total": None, "elapsed": 40.0}) is None
