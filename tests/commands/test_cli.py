import shutil
import subprocess
import sys

import pytest

from tardiff.cli import main
from tardiff.commands import COMMANDS
from tardiff.commands.options import name_and_path
from tardiff.data.dataset import Dataset


def call(*arguments):
    """Exit status of a command in this process."""
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return stop.code
    return 0


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_command_explains_itself_with_an_example(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*command.split(), "--help"])
    assert stop.value.code == 0
    said = capsys.readouterr().out
    assert f"tardiff {command}".strip() in said
    assert "For instance:\n  tardiff " in said


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
    assert call("train", data, "--out", "run", "--steps", 40, "--batch-size", 32, "--widths", 16, 16, "--validate-every", 20) == 0
    assert call("fit-classifier", data, "--out", "clf", "--width", 16, "--epochs", 4) == 0
    assert call("sample", "run", "--guidance", "none", "--n", 240, "--privacy-filter", data, "--out", "unguided") == 0
    assert "privacy filter: dropped 0 of 240 samples" in capsys.readouterr().out
    assert call("sample", "run", "--classifier", "clf", "--n", 240, "--pilot", 64, "--out", "guided") == 0
    assert "guidance moved the values by" in capsys.readouterr().out
    evaluation = ["evaluate", "--real", data, "--synthetic", "unguided=unguided", "--synthetic", "guided", "--out", "evaluation", "--quick"]
    assert call(*evaluation, "--bootstrap", 50, "--workers", 1, "--run", "run", "--classifier", "mine=clf") == 0
    printed = capsys.readouterr().out
    for words in ("guided - unguided", "denoising loss", "mine", "guidance gradient"):
        assert words in printed
    assert {"metrics.json", "table.txt"} <= {file.name for file in (tmp_path / "evaluation").iterdir()}
    assert call("report", "evaluation", "--out", "report.html", "--card", "run") == 0
    assert "report.html: open it in a browser" in capsys.readouterr().out
    assert "| guided | trees |" in (tmp_path / "run" / "README.md").read_text()
    assert call("export", "guided", "--out", "guided.csv") == 0
    assert (tmp_path / "guided.csv").read_text().startswith("split,stay_id,label,hour,variable,value\n")

    assert call("sample", "run", "--classifier", "clf", "--n", 64, "--strength", 1e-9, "--cfg-scale", 1, "--out", "weak") == 0
    assert "guidance is inert" in capsys.readouterr().err
    assert Dataset.load(tmp_path / "weak").manifest.settings["movement"]["inert"]
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"run", "clf", "unguided", "guided", "evaluation", "report.html", "guided.csv", "weak"}


BAD = {
    "unknown command": (["fly"], "unknown command 'fly'"),
    "no dataset folder": (["train", "{tmp}/none", "--out", "{tmp}/out"], "none: not a dataset folder"),
    "no pipeline folder": (["sample", "{data}", "--n", "5", "--guidance", "none", "--out", "{tmp}/out"], "not a pipeline folder"),
    "no classifier folder": (["sample", "{run}", "--n", "5", "--classifier", "{data}", "--out", "{tmp}/out"], "not a classifier folder"),
    "guidance without classifier": (["sample", "{run}", "--n", "5", "--out", "{tmp}/out"], "needs --classifier"),
    "no rows": (["sample", "{run}", "--n", "0", "--guidance", "none", "--out", "{tmp}/out"], "--n 0"),
    "bad label ratio": (
        ["sample", "{run}", "--n", "5", "--guidance", "none", "--label-ratio", "2", "--out", "{tmp}/out"],
        "--label-ratio 2",
    ),
    "bad seed": (["sample", "{run}", "--n", "5", "--guidance", "none", "--seed", "-1", "--out", "{tmp}/out"], "seed -1"),
    "existing out": (["train", "{data}", "--out", "{run}"], "exists already"),
    "no threads": (["train", "{data}", "--out", "{tmp}/out", "--threads", "0"], "--threads 0"),
    "no raw folder": (["prepare", "physionet2012", "--raw", "{tmp}/none", "--out", "{tmp}/out"], "none"),
    "unknown source": (["prepare", "hospital", "--raw", "{tmp}", "--out", "{tmp}/out"], "hospital"),
    "same name twice": (
        ["evaluate", "--real", "{data}", "--synthetic", "a={data}", "--synthetic", "a={data}", "--out", "{tmp}/out"],
        "same name",
    ),
    "same classifier twice": (
        ["evaluate", "--real", "{data}", "--synthetic", "a={data}", "--classifier", "g=x", "--classifier", "g=y", "--out", "{tmp}/out"],
        "--classifier: two folders have the same name",
    ),
    "evaluate another run": (
        ["evaluate", "--real", "{data}", "--synthetic", "a={data}", "--run", "{data}", "--out", "{tmp}/out"],
        "not a pipeline folder",
    ),
    "nobody attacked": (
        ["evaluate", "--real", "{data}", "--synthetic", "a={data}", "--attack-rows", "0", "--out", "{tmp}/out"],
        "--attack-rows 0: must be at least 1",
    ),
    "no folder to filter by": (
        ["sample", "{run}", "--n", "5", "--guidance", "none", "--privacy-filter", "{tmp}/none", "--out", "{tmp}/out"],
        "not a dataset folder",
    ),
    "no synthetic data": (["evaluate", "--real", "{data}", "--synthetic", "{tmp}/x.csv", "--out", "{tmp}/out"], "x.csv: no such file"),
    "no evaluation": (["report", "{data}", "--out", "{tmp}/out.html"], "not an evaluation folder"),
    "nothing to report": (["report", "{data}"], "give --out PATH for a page"),
    "export elsewhere": (["export", "{data}", "--out", "{tmp}/out.doc"], "must end in"),
    "demo without records": (["demo", "--data", "mimic-iv", "--out", "{tmp}/out"], "needs --raw"),
    "unwritable out": (["export", "{data}", "--out", "{data}/manifest.json/out.csv"], "cannot be written"),
    "no steps": (["train", "{data}", "--out", "{tmp}/out", "--steps", "0"], "--steps 0: must be at least 1"),
    "odd widths": (["train", "{data}", "--out", "{tmp}/out", "--widths", "12"], "--widths 12: give multiples of 8"),
    "negative rate": (["train", "{data}", "--out", "{tmp}/out", "--learning-rate", "-1"], "--learning-rate -1.0: must be at least"),
    "rate not a number": (["train", "{data}", "--out", "{tmp}/out", "--learning-rate", "nan"], "--learning-rate nan"),
    "dropout above 1": (["train", "{data}", "--out", "{tmp}/out", "--label-dropout", "2"], "--label-dropout 2.0: must be between 0 and 1"),
    "no epochs": (["fit-classifier", "{data}", "--out", "{tmp}/out", "--epochs", "0"], "--epochs 0"),
    "odd width": (["fit-classifier", "{data}", "--out", "{tmp}/out", "--width", "63"], "--width 63"),
    "no batch": (["sample", "{run}", "--n", "5", "--guidance", "none", "--batch-size", "0", "--out", "{tmp}/out"], "--batch-size 0"),
    "too many steps": (["sample", "{run}", "--n", "5", "--guidance", "none", "--steps", "2000", "--out", "{tmp}/out"], "--steps 2000"),
    "eta 7": (["sample", "{run}", "--n", "5", "--guidance", "none", "--eta", "7", "--out", "{tmp}/out"], "--eta 7"),
    "half eta": (["sample", "{run}", "--n", "5", "--guidance", "none", "--eta", "0.5", "--out", "{tmp}/out"], "--eta 0.5"),
    "negative window": (["sample", "{run}", "--n", "5", "--window", "-1", "--out", "{tmp}/out"], "--window -1"),
    "negative clip": (["sample", "{run}", "--n", "5", "--clip", "-1", "--out", "{tmp}/out"], "--clip -1"),
    "tiny pilot": (["sample", "{run}", "--n", "5", "--pilot", "1", "--out", "{tmp}/out"], "--pilot 1"),
    "no fits": (
        ["evaluate", "--real", "{data}", "--synthetic", "a={data}", "--seeds", "0", "--out", "{tmp}/out"],
        "--seeds 0",
    ),
    "prepare with a bad seed": (["prepare", "simulate", "--seed", "-1", "--out", "{tmp}/out"], "--seed -1"),
    "no stays": (["prepare", "simulate", "--stays", "0", "--out", "{tmp}/out"], "--stays 0"),
    "no stays to simulate": (["simulate", "--stays", "0", "--out", "{tmp}/out"], "--stays 0"),
    "negative ballast": (["simulate", "--ballast", "-1", "--out", "{tmp}/out"], "--ballast -1"),
    "impossible out of simulate": (["simulate", "--stays", "5", "--out", "{data}/manifest.json/x"], "cannot be written"),
    "demo with a bad seed": (["demo", "--seed", "-1", "--out", "{tmp}/out"], "--seed -1"),
    "impossible out of train": (["train", "{data}", "--out", "{data}/manifest.json/x"], "cannot be written"),
    "impossible out of fit": (["fit-classifier", "{data}", "--out", "{data}/manifest.json/x"], "cannot be written"),
    "impossible out of sample": (["sample", "{run}", "--n", "5", "--out", "{data}/manifest.json/x"], "cannot be written"),
    "text for a number": (["train", "{data}", "--out", "{tmp}/out", "--steps", "many"], ""),
    "unknown option": (["train", "{data}", "--out", "{tmp}/out", "--colour", "red"], ""),
    "unknown choice": (["sample", "{run}", "--n", "5", "--guidance", "magic", "--out", "{tmp}/out"], ""),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_status_2(case, toy, run, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("TARDIFF_DATA", raising=False)
    arguments, message = BAD[case]
    names = {"tmp": tmp_path, "data": toy[0], "run": run[0]}
    assert call(*(argument.format(**names) for argument in arguments)) == 2
    error = capsys.readouterr().err
    if message:  # tyro frames what it finds in the arguments themselves
        lines = [line for line in error.splitlines() if line.startswith("tardiff: error: ")]
        assert len(lines) == 1
        assert message in lines[0]
        assert "Traceback" not in error
    assert list(tmp_path.iterdir()) == []


def test_damaged_split_is_one_line_and_status_2(toy, tmp_path, capsys):
    shutil.copytree(toy[0], tmp_path / "data")
    (tmp_path / "data" / "train.safetensors").write_bytes(b"x" * 100)
    assert call("fit-classifier", tmp_path / "data", "--out", tmp_path / "clf") == 2
    assert "train.safetensors: damaged" in capsys.readouterr().err
    assert not (tmp_path / "clf").exists()


def test_names_of_synthetic_sets():
    from pathlib import Path

    assert name_and_path("guided=runs/a") == ("guided", Path("runs/a"))
    assert name_and_path("runs/a") == ("a", Path("runs/a"))
