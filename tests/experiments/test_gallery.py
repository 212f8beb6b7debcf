"""The gallery of guides and rewards: its page names them all, and one command makes it."""

import re
from dataclasses import replace

import pytest

from experiments import gallery


def named(page):
    return re.findall(r"^\| `([^`]+)` \|", page, re.M)


def test_the_page_has_every_guide_and_reward():
    page = (gallery.ROOT / "docs" / "explanation" / "gallery.md").read_text()
    assert named(page) == [*gallery.GUIDES, *gallery.REWARDS]


@pytest.mark.slow
def test_one_command_makes_it(tmp_path, monkeypatch):
    monkeypatch.setattr(gallery, "STAYS", 400)
    monkeypatch.setattr(gallery, "ROWS", 64)
    monkeypatch.setattr(gallery, "TRAINING", replace(gallery.TRAINING, steps=20, widths=(16, 16), validate_every=10))
    monkeypatch.setattr(gallery, "REFINEMENT", replace(gallery.REFINEMENT, iterations=1, rows=32, check_every=1))
    monkeypatch.setattr("sys.argv", ["gallery", "--out", str(tmp_path)])
    for folder in ("explanation", "assets"):
        (tmp_path / folder).mkdir()
    gallery.main()
    page = (tmp_path / "explanation" / "gallery.md").read_text()
    assert named(page) == [*gallery.GUIDES, *gallery.REWARDS]
    assert re.search(r"^\| `none` \| 0\.000 \| .* \| 1\.00 \|$", page, re.M)
    moved = {name: float(value) for name, value in re.findall(r"^\| `([^`]+)` \| ([\d.]+) \|", page, re.M)}
    still = {"none", "privacy"}  # the second is 0 where no sample is near a training row, and moves nothing
    assert all(value > 0 for name, value in moved.items() if name not in still), moved
    assert (tmp_path / "assets" / "gallery.png").stat().st_size > 10_000
