import re
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from tardiff.cli import main
from tardiff.data.dataset import Dataset
from tardiff.errors import TardiffError
from tardiff.report.quiz import quiz

from .test_report import Reader


@pytest.fixture
def sets(toy):
    """Real data, and a synthetic set whose heart rates are told by a third decimal."""
    data = toy[1]
    train = data.train
    marked = replace(
        train, values=np.where(np.isfinite(train.values), np.round(train.values) + np.float32(0.125), np.nan).astype(np.float32)
    )
    return data, Dataset(data.manifest, {"train": marked})


def answers(page):
    return re.findall(r"Stay \d+ is (real|synthetic)\.", page)


def test_stays_of_both_kinds_stand_on_one_page_with_the_answers_folded(sets, tmp_path):
    page = quiz(*sets, tmp_path / "page.html").read_text()
    told, found = answers(page), Reader(page)
    assert sorted(told) == 10 * ["real"] + 10 * ["synthetic"]
    assert told not in (sorted(told), sorted(told)[::-1])
    assert len(found.all("details")) == 21
    assert not [d for d in found.all("details") if "open" in d]
    assert len(found.all("svg")) == 20 * len(sets[0].manifest.channels)
    assert len(found.all("input")) == 40
    for name in ("script", "link", "img"):
        assert not found.all(name)
    assert "default-src 'none'" in page
    pieces = page.split("<h2>Stay ")[1:]
    for answer, piece in zip(told, pieces, strict=True):
        numbers = re.findall(r"<td>(\d+\.\d+)</td>", piece)
        assert all(number.endswith(".125") for number in numbers) == (answer == "synthetic")
        asked = piece.index('<p class="guess"')
        assert "synthetic" not in piece[:asked]
        assert "real" not in piece[:asked]
        (right,) = re.findall(r"class=right> (\w+)<", piece)
        assert right == answer


def test_the_seed_draws_and_shuffles(sets, tmp_path):
    pages = [quiz(*sets, tmp_path / f"{k}.html", stays=5, seed=seed).read_text() for k, seed in enumerate((0, 0, 1))]
    assert pages[0] == pages[1] != pages[2]


def test_sets_are_matched_by_name(sets, tmp_path):
    data, other = sets
    order = [2, 0, 3, 1]
    manifest = msgspec.structs.replace(other.manifest, channels=tuple(other.manifest.channels[c] for c in order))
    moved = Dataset(manifest, {"train": replace(other.train, values=other.train.values[:, order], mask=other.train.mask[:, order])})
    assert quiz(data, moved, tmp_path / "a.html").read_text() == quiz(data, other, tmp_path / "b.html").read_text()
    pulse = msgspec.structs.replace(
        manifest, channels=(msgspec.structs.replace(manifest.channels[0], name="pulse"), *manifest.channels[1:])
    )
    with pytest.raises(TardiffError, match="channel"):
        quiz(data, Dataset(pulse, moved.splits), tmp_path / "c.html")


def test_descriptors_are_words(sets, tmp_path):
    data, other = sets
    unknown = Dataset(other.manifest, {"train": replace(other.train, static=np.full_like(other.train.static, np.nan))})
    page = quiz(data, unknown, tmp_path / "page.html").read_text()
    names = [static.name for static in data.manifest.statics]
    assert names
    pieces = page.split("<h2>Stay ")[1:]
    for answer, piece in zip(answers(page), pieces, strict=True):
        intro = piece[piece.index('<p class="intro">') :].split("</p>")[0]
        assert "_" not in intro
        assert "–" not in intro
        if answer == "synthetic":
            assert intro.count(": not known") == len(names)


def test_what_cannot_be_drawn_is_refused(sets, tmp_path):
    with pytest.raises(TardiffError, match="--stays 1000: must be between 1 and"):
        quiz(*sets, tmp_path / "a.html", stays=1000)
    quiz(*sets, tmp_path / "a.html", stays=1)
    with pytest.raises(TardiffError, match="exists already"):
        quiz(*sets, tmp_path / "a.html", stays=1)


def test_the_command_draws(toy, sets, tmp_path, capsys):
    sets[1].save(tmp_path / "synthetic")
    main(["quiz", str(toy[0]), str(tmp_path / "synthetic"), "--stays", "3", "--out", str(tmp_path / "page.html")])
    assert "page.html: open it in a browser" in capsys.readouterr().out
    page = (tmp_path / "page.html").read_text()
    assert len(answers(page)) == 6
    assert page.count("<span>Heart rate</span><small>bpm</small>") == page.count("<tr><td>Heart rate</td>") == 6


def test_sets_in_the_wrong_order_are_refused(sets, tmp_path):
    """The answers would be the wrong way round."""
    real, synthetic = sets
    drawn = Dataset(msgspec.structs.replace(real.manifest, synthetic=True), synthetic.splits)
    with pytest.raises(TardiffError, match="the first data set is synthetic; give the real one first"):
        quiz(drawn, real, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()
