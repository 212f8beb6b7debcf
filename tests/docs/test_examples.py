"""The examples run, and their notebooks are those of the scripts."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples"
EXAMPLES = sorted(path for path in FOLDER.glob("*.py") if path.name != "execute.py")
cells = runpy.run_path(str(FOLDER / "execute.py"))["cells"]


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.stem)
def test_the_notebook_has_the_cells_of_the_script(script):
    """What a cell printed is that of the last `examples/execute.py`; what it says must be the script's."""
    book = json.loads(script.with_suffix(".ipynb").read_text())
    assert [(cell["cell_type"], "".join(cell["source"])) for cell in book["cells"]] == cells(script.read_text())
    assert all(cell.get("execution_count", 1) for cell in book["cells"]), "a cell was not executed"


@pytest.fixture(scope="module")
def p12(real_data, tmp_path_factory):
    """PhysioNet 2012 as the examples want it prepared."""
    from data_prep import PrepareSettings, prepare

    out = tmp_path_factory.mktemp("p12") / "data"
    prepare(PrepareSettings("physionet2012", out=out, raw=real_data / "physionet2012", split="by-set"))
    return out


@pytest.mark.slow
@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_runs(script, p12, real_data, tmp_path):
    """As it stands, where nothing but its data is; what it leaves is in a temporary folder."""
    folders = {"P12": str(p12), "SITES": str(real_data / "physionet2019-sites"), "TMPDIR": str(tmp_path)}
    environment = os.environ | folders | {"MPLBACKEND": "Agg"}
    done = subprocess.run([sys.executable, script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
