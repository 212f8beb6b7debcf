"""The site builds strictly and without a network, its search finds what people look for, and its examples of guides run."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("mkdocs", reason="the documentation's extra is not installed (make docs)")
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    out = tmp_path_factory.mktemp("site")
    build(load_config(str(ROOT / "mkdocs.yml"), strict=True, site_dir=str(out)))
    return out


@pytest.mark.slow
@pytest.mark.parametrize("word", ["sepsis", "gpu", "nan", "cosine", "smote"])
def test_search_finds(site, word):
    index = json.loads((site / "search" / "search_index.json").read_text())
    pages = {
        entry["location"].partition("#")[0] for entry in index["docs"] if re.search(rf"\b{word}", (entry["title"] + entry["text"]).lower())
    }
    assert len(pages) >= 2, pages


@pytest.mark.slow
def test_nothing_is_loaded_from_elsewhere(site):
    for page in site.rglob("*.html"):
        text = page.read_text()
        assert not re.findall(r"<(?:script|img|iframe)[^>]* src=\"?(https?:)?//", text), page
        assert not re.findall(r"<link[^>]*rel=\"?stylesheet[^>]*href=\"?(https?:)?//", text), page
        assert "arithmatex" not in text, f"{page}: mathematics is not drawn"


@pytest.mark.slow
def test_every_command_and_public_name_has_its_entry(site):
    import tardiff
    from tardiff.commands import COMMANDS

    commands, names = ((site / "reference" / f"{page}.html").read_text() for page in ("cli", "api"))
    for command in COMMANDS:
        assert f'id="tardiff-{command}"' in commands, command
    assert "--cfg-scale" in commands
    for name in tardiff.__all__:
        assert re.search(rf'id="tardiff\.([\w.]+\.)?{name}"', names), name


@pytest.mark.slow
def test_lists_keep_their_numbers(site):
    """Pages name the details of PPO by number, over all sections."""
    page = (site / "explanation" / "ppo.html").read_text()
    assert re.findall(r'<ol start="?(\d+)', page) == ["9", "20", "27", "34", "37", "38", "42"]


def blocks():
    return re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "how-to" / "own-guide.md").read_text(), re.S)


def test_a_guide_of_your_own_as_the_documentation_shows_it(run, tmp_path, monkeypatch):
    """The block as written, on a pipeline of the tests: the hearts of those who die are faster than without it."""
    from tardiff import Dataset, TarDiffPipeline
    from tardiff.base.noise import row_seeds

    path, _ = run
    code = (
        next(block for block in blocks() if "FasterHeart" in block).replace("runs/p12/run", str(path)).replace("[0, 1], 50", "[0, 1], 10")
    )
    monkeypatch.chdir(tmp_path)
    exec(code.replace("range(100)", "range(20)"), {})
    guided = Dataset.load(tmp_path / "runs" / "p12" / "faster").train
    plain = TarDiffPipeline.from_pretrained(path)(guided.label, row_seeds(0, range(20)))
    change = np.nanmean(guided.values[:, 0], axis=1) - np.nanmean(plain.values[:, 0], axis=1)
    assert np.nanmean(change[guided.label == 1]) > 0
    np.testing.assert_allclose(change[guided.label == 0], 0)


def test_an_objective_of_your_own_as_the_documentation_shows_it(run):
    path, _ = run
    names: dict = {}
    exec(next(block for block in blocks() if "GradientGuide" in block).replace("runs/p12/run", str(path)), names)
    from tardiff.base.noise import row_seeds

    label = np.repeat([0, 1], 8)
    samples = names["pipeline"](label, row_seeds(0, range(16)), guide=names["guide"])
    assert np.isfinite(samples.values[samples.mask == 1]).all()
    assert not np.array_equal(samples.values, names["pipeline"](label, row_seeds(0, range(16))).values, equal_nan=True)
