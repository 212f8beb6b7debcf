"""Compressed files that grow out of all proportion are refused by every reader that would hold them in memory."""

import gzip

import pytest

from data_prep.onsets import _read as read_onsets
from data_prep.sources.tables import _read_whole
from tardiff.base import archives
from tardiff.base.archives import check_gzip
from tardiff.errors import TardiffError
from tardiff.evaluate.readers import read_synthetic
from tests.conftest import make_dataset


@pytest.fixture
def bomb(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MOST", 1_000_000)
    path = tmp_path / "mine.csv.gz"
    path.write_bytes(gzip.compress(b"subject_id\n" + b"1\n" * 1_500_000))
    return path


READERS = {
    "prepare": lambda path: _read_whole(path, ["subject_id"], "utf-8"),
    "onsets": read_onsets,
    "evaluate": lambda path: read_synthetic(path, make_dataset(8)),
}


@pytest.mark.parametrize("reader", READERS)
def test_a_gzip_bomb_is_refused(bomb, reader):
    with pytest.raises(TardiffError, match=r"mine\.csv\.gz: .* out of all proportion"):
        READERS[reader](bomb)


def test_what_compresses_well_but_is_small_passes(bomb, monkeypatch):
    monkeypatch.undo()
    check_gzip(bomb)
    assert len(_read_whole(bomb, ["subject_id"], "utf-8")) == 1_500_000


def test_a_file_that_is_not_gzipped_is_not_opened(tmp_path):
    check_gzip(tmp_path / "nothing.csv")
