import pytest

from tardiff.commands import screen


def test_at_most_fifteen_lines_and_the_last_one_stays(capsys):
    screen.close([f"line {k}" for k in range(40)])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 15
    assert lines[-1] == "line 39"
    assert lines[-2] == "(26 more lines with --verbose)"
    assert lines[:13] == [f"line {k}" for k in range(13)]
    screen.close([f"line {k}" for k in range(40)], "a long\ntable\n", verbose=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["a long", "table", ""]
    assert len(lines) == 43


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("On these data, guided augmentation gains 0.01 AUPRC over SMOTE.", "good"),
        ("On these data, guided augmentation loses 0.01 AUPRC to SMOTE.", "bad"),
        ("guided - unguided, alone: +0.010 [-0.010, 0.030] AUPRC: no difference found", None),
        ("privacy: no leak found in guided, which proves no safety; 0 copies of training rows", "good"),
        ("privacy: treat guided as patients' records (nearer to training patients than to strangers); no leak found in unguided", "bad"),
        ("privacy: treat guided as patients' records (an attack tells training patients from strangers: a leak)", "bad"),
    ],
)
def test_colour_follows_what_is_said_and_only_on_a_terminal(line, kind, monkeypatch):
    assert screen.verdict(line) == line
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert screen.verdict(line) == (f"\x1b[{screen.COLOURS[kind]}m{line}\x1b[0m" if kind else line)
    monkeypatch.setenv("NO_COLOR", "1")
    assert screen.verdict(line) == line
