"""What the README and the documents tell people to type must work."""

import re
import shlex
from pathlib import Path

import pytest

from tardiff import cli

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text()
DOCUMENTS = {
    "README.md": TEXT,
    **{str(path.relative_to(ROOT)): path.read_text() for path in sorted((ROOT / "docs").rglob("*.md"))},
    **{name: command.__doc__ or "" for name, command in cli.COMMANDS.items()},
}


def commands():
    lines = [line.strip() for text in DOCUMENTS.values() for line in text.splitlines()]
    return sorted({line for line in lines if re.match(r"tardiff [a-z-]+ [^`]*--", line)})


@pytest.mark.parametrize("line", commands())
def test_every_command_shown_parses(line):
    """The arguments are read as they would be; the work is not done."""
    name, *options = shlex.split(line, comments=True)[1:]
    cli.understood(name, cli.COMMANDS[name], options)


def test_the_readme_is_short():
    assert len(TEXT.splitlines()) <= 130


def test_commands_are_found():
    assert {line.split()[1] for line in commands()} == set(cli.COMMANDS)


@pytest.mark.slow
def test_python_script_does_the_five_steps(real_data, tmp_path, monkeypatch, capsys):
    """The script as written, but for a model too small to be good and a quick evaluation."""
    script = re.search(r"```python\n(.*?)```", DOCUMENTS["docs/getting-started.md"], re.S).group(1)
    assert len([line for line in script.splitlines() if line]) <= 15
    smaller = {
        "TrainSettings()": "TrainSettings(steps=20, batch_size=64, widths=(16, 16), blocks=1, validate_every=10)",
        "ClassifierSettings()": "ClassifierSettings(width=16, epochs=3)",
        "EvaluateSettings()": "EvaluateSettings(quick=True, bootstrap=50, workers=1)",
        "n = len(data.train)": "n = 400",
        "classifier=classifier)": "classifier=classifier, guidance=GuidanceSettings(pilot=64))",
        'raw="physionet2012"': f"raw={str(real_data / 'physionet2012')!r}",
    }
    for written, replaced in smaller.items():
        assert script.count(written) == 1, written
        script = script.replace(written, replaced)
    monkeypatch.chdir(tmp_path)
    exec(script, {})
    assert "guided - unguided" in capsys.readouterr().out
    assert (tmp_path / "runs" / "api" / "guided" / "manifest.json").exists()


@pytest.mark.parametrize("page", [name for name in DOCUMENTS if name.endswith(".md")])
def test_pictures_and_files_linked_exist(page):
    for path, heading in re.findall(r"\]\((?!http)([^)#\s]+)(?:#([^)\s]+))?", DOCUMENTS[page]):
        linked = (ROOT / page).parent.joinpath(path).resolve()
        assert linked.exists(), path
        assert not heading or heading in headings(linked.read_text()), f"{path}#{heading}"


def headings(text):
    """What a link to each heading of a page ends in, as GitHub and MkDocs have it."""
    lines = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", re.sub(r"\]\([^)]*\)", "", line)).strip().lower().replace(" ", "-") for line in lines}


def test_pages_named_in_the_code_exist():
    """Help and error texts name a page by its path in the repository."""
    for path in [*(ROOT / "tardiff").rglob("*.py"), *(ROOT / "data_prep").rglob("*.py")]:
        for page in re.findall(r"(?<![\w/])docs/[\w/-]+\.md", path.read_text()):
            assert (ROOT / page).is_file(), f"{path}: {page}"


def test_the_architecture_is_twelve_lines_whose_files_exist():
    text = DOCUMENTS["docs/architecture.md"]
    assert [int(number) for number in re.findall(r"^(\d+)\. ", text, re.M)] == list(range(1, 13))
    for path in re.findall(r"`(\w+/[\w/]*\.py)", text):
        assert (ROOT / "tardiff" / path).is_file(), path
