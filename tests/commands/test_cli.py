import subprocess
import sys
from importlib.metadata import version
from itertools import pairwise
from types import SimpleNamespace

import pytest

from tardiff.cli import main
from tardiff.commands import COMMANDS
from tardiff.commands.options import name_and_path
from tardiff.data.dataset import Dataset
from tests.conftest import call, light_evaluation


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_command_explains_itself_with_an_example(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*command.split(), "--help"])
    assert stop.value.code == 0
    said = capsys.readouterr().out
    assert "(default: )" not in said
    assert f"tardiff {command}".strip() in said
    assert "For instance:\n  tardiff " in said


@pytest.mark.parametrize("command", COMMANDS)
def test_help_breaks_no_line_before_it_is_full(command, capsys, monkeypatch):
    """Descriptions used to keep the ends of the source's lines, in the middle of sentences."""
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main([command, "--help"])
    lines = [line.strip("│").rstrip() for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    for line, after in pairwise(lines):
        begins, begins_after = (len(of) - len(of.lstrip()) for of in (line, after))
        if begins == begins_after > 10:
            assert len(line) + 1 + len(after.split()[0]) > 77, (line, after)


def test_help_imports_nothing_heavy():
    script = (
        "import sys\nfrom tardiff.cli import COMMANDS, main\n"
        "for name in COMMANDS:\n"
        "    try: main([name, '--help'])\n"
        "    except SystemExit: pass\n"
        "print([m for m in ('torch', 'pandas', 'ibis', 'sklearn', 'diffusers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-m", "tardiff", "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: tardiff COMMAND")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("asked", [["--help"], ["variables"], ["train", "--help"]])
def test_a_reader_that_has_seen_enough_ends_a_command_in_silence(asked):
    """As `head` does. The pipe is closed before the first line is written."""
    with subprocess.Popen([sys.executable, "-m", "tardiff", *asked], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_a_wrong_path_is_refused_before_anything_heavy_is_imported(toy, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    wrong = {
        f"train {toy[0]} --out taken": "taken: exists already; remove it or choose another --out",
        f"sample {run[0]} --n 5 --out taken": "taken: exists already; remove it or choose another --out",
        "sample no_run --n 5 --out new": "no_run: no such folder; make one with `tardiff train`",
        "sample taken --n 5 --out new": "taken: not a pipeline folder (no model_index.json); make one with `tardiff train`",
        f"evaluate --real {toy[0]} --synthetic mine=no.csv --out new": "no.csv: no such file or folder",
        f"evaluate --real {toy[0]} --synthetic {toy[0]} --classifier mine=taken --out new": "taken: not a classifier folder",
        "report no_evaluation --out new.html": "no_evaluation: no such folder; make one with `tardiff evaluate`",
        f"quiz {toy[0]} no_set --out new.html": "no_set: no such file or folder",
    }
    script = (
        "import sys\nfrom tardiff.cli import main\n"
        f"for arguments in {[words.split() for words in wrong]!r}:\n"
        "    try: main(arguments)\n"
        "    except SystemExit as stop: assert stop.code == 2\n"
        "print([m for m in ('torch', 'pandas', 'ibis', 'sklearn', 'diffusers', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    for line, said in zip(done.stderr.splitlines(), wrong.values(), strict=True):
        assert line.startswith(f"tardiff: error: {said}")


def test_a_report_needs_no_torch_and_a_quiz_no_network():
    for modules, heavy in (("tardiff.report", "torch"), ("tardiff.report.quiz, tardiff.evaluate.readers", "diffusers")):
        script = f"import sys, {modules}\nprint([m for m in ({heavy!r}, 'diffusers', 'sklearn') if m in sys.modules])"
        assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_sampling_a_diffusion_model_imports_no_language_model_until_one_is_asked_for(run, tmp_path):
    arguments = ["sample", str(run[0]), "--guidance", "none", "--n", "4", "--steps", "3", "--out", str(tmp_path / "out")]
    script = (
        "import sys\nfrom tardiff.base.extras import HIDDEN, needs\nfrom tardiff.cli import main\n"
        f"sys.argv[1:] = {arguments!r}\n"
        "main()\n"
        "print([m for m in HIDDEN if sys.modules.get(m)], needs('peft', 'language').LoraConfig.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[] LoraConfig"


def test_every_module_imports():
    import importlib
    import pkgutil

    import data_prep
    import tardiff

    names = [m.name for package in (tardiff, data_prep) for m in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
    assert len(names) > 20
    for name in names:
        if not name.endswith("__main__"):
            importlib.import_module(name)


def test_public_names_exist():
    import tardiff

    for name in tardiff.__all__:
        assert getattr(tardiff, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = tardiff.nothing


def test_the_steps_in_a_row(toy, tmp_path, capsys, monkeypatch):
    """Train, fit, sample twice, evaluate and export from the command line."""
    monkeypatch.chdir(tmp_path)
    data = toy[0]
    assert (
        call("train", data, "--out", "run", "--steps", 40, "--batch-size", 32, "--widths", 16, 16, "--blocks", 1, "--validate-every", 20)
        == 0
    )
    assert call("fit-classifier", data, "--out", "clf", "--width", 16, "--epochs", 2) == 0
    assert call("sample", "run", "--guidance", "none", "--n", 120, "--steps", 8, "--privacy-filter", data, "--out", "unguided") == 0
    assert "privacy filter: dropped " in capsys.readouterr().out
    assert call("sample", "run", "--classifier", "clf", "--n", 120, "--steps", 8, "--pilot", 64, "--out", "guided") == 0
    assert "guidance moved the values by" in capsys.readouterr().out
    evaluation = ["evaluate", "--real", data, "--synthetic", "unguided=unguided", "--synthetic", "guided", "--out", "evaluation", "--quick"]
    with light_evaluation():
        assert call(*evaluation, "--bootstrap", 50, "--workers", 1, "--run", "run", "--classifier", "mine=clf") == 0
    printed = capsys.readouterr().out
    assert len(printed.splitlines()) <= 15
    for words in ("guided - unguided", "strongest attack", "evaluation/table.txt has every figure"):
        assert words in printed
    table = (tmp_path / "evaluation" / "table.txt").read_text()
    for words in ("guided - unguided", "calibrated denoising", "mine", "guidance gradient"):
        assert words in table
    assert {"metrics.json", "table.txt"} <= {file.name for file in (tmp_path / "evaluation").iterdir()}
    assert call("report", "evaluation", "--out", "report.html", "--card", "run") == 0
    assert "report.html: open it in a browser" in capsys.readouterr().out
    assert "| guided | trees |" in (tmp_path / "run" / "README.md").read_text()
    assert call("export", "guided", "--out", "guided.csv") == 0
    assert (tmp_path / "guided.csv").read_text().startswith("split,stay_id,label,hour,variable,value\n")

    assert call("sample", "run", "--classifier", "clf", "--n", 64, "--steps", 8, "--strength", 1e-9, "--cfg-scale", 1, "--out", "weak") == 0
    assert "guidance is inert" in capsys.readouterr().err
    assert Dataset.load(tmp_path / "weak").manifest.settings["movement"]["inert"]
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"run", "clf", "unguided", "guided", "evaluation", "report.html", "guided.csv", "weak"}


def test_an_unknown_option_is_answered_with_a_similar_one(capsys):
    assert call("train", "data", "--step", 10, "--out", "run") == 2
    assert "train: unknown: --step, 10; similar is --steps (see" in capsys.readouterr().err
    assert call("train", "data", "--colour", "red", "--out", "run") == 2
    assert "train: unknown: --colour, red (see" in capsys.readouterr().err


def test_a_source_of_variables_may_be_left_out(capsys):
    with pytest.raises(SystemExit):
        main(["variables", "--help"])
    assert "tardiff variables [-h] [SOURCE]" in capsys.readouterr().out
    assert call("variables", "table") == 2
    assert "any that plain `tardiff variables` lists" in capsys.readouterr().err


def test_the_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert (stop.value.code, capsys.readouterr().out) == (0, f"tardiff {version('tardiff')}\n")


def test_names_of_synthetic_sets():
    from pathlib import Path

    assert name_and_path("guided=runs/a") == ("guided", Path("runs/a"))
    assert name_and_path("runs/a") == ("a", Path("runs/a"))


@pytest.mark.parametrize(
    ("losses", "said"), [([1.40, 1.43], "least after 500 steps (1.400): try --steps 500"), ([1.43, 1.40], ""), ([None], "")]
)
def test_training_says_when_the_validation_loss_has_risen(toy, tmp_path, monkeypatch, capsys, losses, said):
    named = [{} if loss is None else {"validation_loss": loss} for loss in losses]
    history = tuple({"step": 500 * (k + 1), "loss": 1.0} | of for k, of in enumerate(named))
    made = SimpleNamespace(card=SimpleNamespace(history=history))
    monkeypatch.setattr("tardiff.model.training.train", lambda *arguments: made)
    call("train", toy[0], "--out", tmp_path / "run")
    assert ("validation loss was" in (out := capsys.readouterr().out)) is bool(said)
    assert said in out
