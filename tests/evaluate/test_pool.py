from dataclasses import replace

import numpy as np
import pytest

from tardiff.data.codec import Codec
from tardiff.errors import TardiffError
from tardiff.evaluate import pool
from tardiff.evaluate.cache import Cache
from tardiff.evaluate.pool import Fit, run_fits
from tardiff.evaluate.row_sets import Bench, thinned

from .toys import MANIFEST, real, rows, synthetic


def doubled(bench, role, factor):
    return {"label": factor * bench.rows[role].label}


@pytest.fixture(scope="module")
def bench():
    data = real(60)
    return Bench.of(data, {"a": synthetic(rows(40, 8))}, data.split("test"), Codec.fit(data.train, MANIFEST))


FIT = Fit(doubled, ("train", 2), ("train",), 1.0)


def test_what_was_kept_is_not_computed_again(bench, tmp_path):
    cache = Cache(tmp_path / "kept")
    first = run_fits([FIT], bench, 1, cache)[FIT]["label"]
    np.testing.assert_array_equal(first, 2 * bench.train.label)
    cache.save(FIT.key(bench), {"label": np.array([7])})
    assert run_fits([FIT], bench, 1, cache)[FIT]["label"] == [7]
    (path,) = (tmp_path / "kept").iterdir()
    path.write_bytes(b"damaged")
    np.testing.assert_array_equal(run_fits([FIT], bench, 1, cache)[FIT]["label"], first)


def test_all_processes_look_before_one_keeps(bench, tmp_path, monkeypatch):
    """Or they would deal out different lists, and a fit would be left to nobody."""
    events = []
    monkeypatch.setattr(pool, "wait", lambda: events.append("wait"))
    monkeypatch.setattr(Cache, "load", lambda self, key: events.append("look"))
    monkeypatch.setattr(Cache, "save", lambda self, key, arrays: events.append("keep"))
    run_fits([FIT], bench, 1, Cache(tmp_path))
    assert events == ["look", "wait", "keep", "wait"]


def test_a_key_names_all_that_the_result_depends_on(bench):
    keys = {FIT.key(bench), replace(FIT, told=("train", 3)).key(bench), replace(FIT, reads=("train", "test")).key(bench)}
    other = Bench({**bench.rows, "train": bench.train.take(np.arange(30))}, bench.subject, bench.names, bench.classes)
    keys.add(FIT.key(other))
    assert len(keys) == 4
    unread = Bench({**bench.rows, "test": bench.train}, bench.subject, bench.names, bench.classes)
    assert FIT.key(unread) == FIT.key(bench)


def test_without_a_folder_nothing_is_kept(bench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_fits([FIT], bench, 1, Cache())
    Cache().clear()
    assert list(tmp_path.iterdir()) == []


def test_clearing_leaves_what_others_put_there(bench, tmp_path):
    cache = Cache(tmp_path / "kept")
    run_fits([FIT], bench, 1, cache)
    (tmp_path / "kept" / "note.txt").write_text("mine")
    cache.clear()
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["note.txt"]


def test_a_folder_that_cannot_be_made_is_named(bench, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TardiffError, match="choose another --cache"):
        run_fits([FIT], bench, 1, Cache(tmp_path / "file" / "kept"))


def test_thinning_keeps_rows_of_equal_sets_together():
    part = rows(100, 1)
    fewer = thinned(part, 30, seed=0)
    assert len(fewer) == 30
    np.testing.assert_array_equal(fewer.stay_id, thinned(replace(part, label=1 - part.label), 30, seed=0).stay_id)
    assert (np.diff(fewer.stay_id) > 0).all()
    assert thinned(part, 0, seed=0) is part
    assert (thinned(part, 30, seed=1).stay_id != fewer.stay_id).any()
