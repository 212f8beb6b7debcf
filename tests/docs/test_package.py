"""What is shipped: versions and bounds agree everywhere, and the wheel installs into an empty environment and does the demo."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

from tests.minimum import EXTRAS, lowest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ELSEWHERE = {
    "docstring-parser": "docstring_parser",
    "duckdb": "python-duckdb",
    "ibis-framework": "ibis-duckdb",
    "matplotlib": "matplotlib-base",
    "torch": "pytorch",
}
"""Names of conda-forge that differ from PyPI's."""
SMALL_DEMO = """
from dataclasses import replace
import data_prep
from tardiff.cli import main
from tardiff.commands import demo
from tardiff.settings import ClassifierSettings, EvaluateSettings, GuidanceSettings, TrainSettings
import sys
module, prepare = sys.modules["tardiff.commands.demo"], data_prep.prepare
data_prep.prepare = lambda settings: prepare(replace(settings, stays=250))
module.TRAINING = TrainSettings(steps=30, batch_size=64, widths=(16, 16), validate_every=15)
module.CLASSIFIER = ClassifierSettings("gru", width=16, epochs=2)
module.GUIDANCE = GuidanceSettings(pilot=64)
module.EVALUATION = EvaluateSettings(("logistic",), seeds=1, ratios=(1.0,), bootstrap=50, workers=1)
main(["demo", "--out", "demo"])
import tardiff
print(tardiff.__path__[0])
"""


def test_one_version_everywhere():
    version = PROJECT["version"]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version
    assert yaml.safe_load((ROOT / "packaging" / "recipe.yaml").read_text())["context"]["version"] == version
    assert f"## {version} - " in (ROOT / "CHANGELOG.md").read_text()


def test_the_changelog_keeps_its_format():
    """Keep a Changelog: Unreleased first, then versions with dates, newest first, and six kinds of change."""
    text = (ROOT / "CHANGELOG.md").read_text()
    heads = re.findall(r"^## (.+)$", text, re.M)
    assert heads[0] == "Unreleased"
    dates = [re.fullmatch(r"\d+\.\d+\.\d+ - (\d{4}-\d{2}-\d{2})", head)[1] for head in heads[1:]]
    assert dates == sorted(dates, reverse=True)
    assert set(re.findall(r"^### (.+)$", text, re.M)) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_recipe_asks_for_what_the_project_asks_for():
    asked = {}
    for line in PROJECT["dependencies"]:
        name, bound = re.match(r"([\w.-]+)(?:\[\w+\])?(>=\S+)", line).groups()
        asked[ELSEWHERE.get(name, name)] = bound
    run = yaml.safe_load((ROOT / "packaging" / "recipe.yaml").read_text())["requirements"]["run"]
    recipe = dict(line.split(" ", 1) for line in run)
    assert recipe.pop("python") == PROJECT["requires-python"]
    assert recipe == asked


def test_lowest_versions_are_those_of_the_bounds():
    bounds = lowest(PROJECT)
    assert len(bounds) == len({*PROJECT["dependencies"], *(line for extra in EXTRAS for line in PROJECT["optional-dependencies"][extra])})
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    (torch,) = [line for line in bounds if line.startswith("torch==")]
    assert pinned["torch"].startswith(torch.removeprefix("torch==")), "torch is tested at the pin alone, so its bound is the pin"


def test_the_dockerfile_keeps_hadolints_rules():
    """The rules of hadolint that apply: a tagged base, no root at the end, pipefail, no cached packages, exec form, absolute folders."""
    text = (ROOT / "packaging" / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    base = next(line for line in lines if line.startswith("ARG BASE="))
    assert re.search(r":[\w.-]+$", base)  # DL3006
    assert not base.endswith(":latest")  # DL3007
    assert [line.split()[1] for line in lines if line.startswith("USER")][-1] != "root"  # DL3002
    assert lines.index('SHELL ["/bin/bash", "-o", "pipefail", "-c"]') < min(k for k, line in enumerate(lines) if "|" in line)  # DL4006
    for line in lines:
        if "pip install" in line:
            assert "--no-cache-dir" in line, line  # DL3042
        if "apt-get install" in line:
            assert "--no-install-recommends" in line, line  # DL3015
            assert "rm -rf /var/lib/apt/lists" in line, line  # DL3009
        if line.startswith("WORKDIR"):
            assert line.split()[1].startswith("/"), line  # DL3000
        if line.startswith(("CMD", "ENTRYPOINT")):
            assert line.split(" ", 1)[1].startswith("["), line  # DL3025
        if line.startswith("COPY"):
            assert all((ROOT / source).exists() for source in line.split()[1:-1]), line


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The wheel and the sdist, of a copy of the files that the repository tracks."""
    pytest.importorskip("build", reason="the docs extra is not installed")
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    tracked = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in tracked.splitlines():
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, source / name)
    subprocess.run([sys.executable, "-m", "build", "--outdir", str(out), str(source)], check=True, timeout=600)
    return source, out


@pytest.mark.slow
def test_wheel_and_sdist_hold_the_packages_and_their_data(built):
    source, out = built
    (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
    held = set(zipfile.ZipFile(wheel).namelist())
    for package in ("tardiff", "data_prep"):
        for path in (source / package).rglob("*"):
            if path.is_file():
                assert str(path.relative_to(source)) in held, path
    assert not [name for name in held if name.startswith(("tests/", "experiments/", "docs/"))]
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "tardiff/cli.py", "data_prep/concepts.yaml"} <= names


@pytest.mark.slow
def test_the_wheel_does_the_demo_in_an_empty_environment(built, tmp_path):
    """Everything is installed anew, and the demo (of few stays and small models) runs where there is no checkout."""
    (wheel,) = built[1].glob("*.whl")
    python = tmp_path / "env" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "env")], check=True)
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    install = [python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", wheel]
    subprocess.run(install, check=True, timeout=1800, env=environment)
    (tmp_path / "empty").mkdir()
    demo = subprocess.run(
        [python, "-c", SMALL_DEMO], cwd=tmp_path / "empty", env=environment, capture_output=True, text=True, timeout=900, check=False
    )
    assert demo.returncode == 0, demo.stderr
    assert (tmp_path / "empty" / "demo" / "index.html").is_file()
    assert str(tmp_path / "env") in demo.stdout.splitlines()[-1]
    helped = subprocess.run([python.with_name("tardiff"), "--help"], capture_output=True, text=True, env=environment, check=True)
    assert "tardiff COMMAND --help" in helped.stdout
