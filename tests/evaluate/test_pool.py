from dataclasses import replace

import numpy as np
import pytest

from tardiff.data.codec import Codec
from tardiff.errors import TardiffError
from tardiff.evaluate import pool
from tardiff.evaluate.cache import Cache
from tardiff.evaluate.pool import Fit, run_fits
from tardiff.evaluate.row_sets import Part, RowSets, thinned
from tardiff.evaluate.train_and_judge import judge_fit

from .toys import MANIFEST, real, rows, synthetic


def doubled(sets, role, factor):
    return {"label": factor * sets.rows[role].label}


@pytest.fixture(scope="module")
def sets():
    data = real(60)
    return RowSets.of(data, {"a": synthetic(rows(40, 8))}, data.split("test"), Codec.fit(data.train, MANIFEST))


FIT = Fit(doubled, ("train", 2), ("train",), 1.0)


def test_what_was_kept_is_not_computed_again(sets, tmp_path):
    cache = Cache(tmp_path / "kept")
    first = run_fits([FIT], sets, 1, cache)[FIT]["label"]
    np.testing.assert_array_equal(first, 2 * sets.rows["train"].label)
    cache.save(FIT.key(sets), {"label": np.array([7])})
    assert run_fits([FIT], sets, 1, cache)[FIT]["label"] == [7]
    (path,) = (tmp_path / "kept").iterdir()
    path.write_bytes(b"damaged")
    np.testing.assert_array_equal(run_fits([FIT], sets, 1, cache)[FIT]["label"], first)


def test_all_processes_look_before_one_keeps(sets, tmp_path, monkeypatch):
    """Or they would deal out different lists, and a fit would be left to nobody."""
    events = []
    monkeypatch.setattr(pool, "barrier", lambda: events.append("wait"))
    monkeypatch.setattr(Cache, "load", lambda self, key: events.append("look"))
    monkeypatch.setattr(Cache, "save", lambda self, key, arrays: events.append("keep"))
    run_fits([FIT], sets, 1, Cache(tmp_path))
    assert events == ["look", "wait", "keep", "wait"]


def test_a_key_names_all_that_the_result_depends_on(sets):
    keys = {FIT.key(sets), replace(FIT, told=("train", 3)).key(sets), replace(FIT, reads=("train", "test")).key(sets)}
    other = RowSets({**sets.rows, "train": sets.rows["train"].take(np.arange(30))})
    keys.add(FIT.key(other))
    assert len(keys) == 4
    unread = RowSets({**sets.rows, "test": sets.rows["train"]})
    assert FIT.key(unread) == FIT.key(sets)


def test_without_a_folder_nothing_is_kept(sets, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_fits([FIT], sets, 1, Cache())
    Cache().clear()
    assert list(tmp_path.iterdir()) == []


def test_clearing_leaves_what_others_put_there(sets, tmp_path):
    cache = Cache(tmp_path / "kept")
    run_fits([FIT], sets, 1, cache)
    (tmp_path / "kept" / "note.txt").write_text("mine")
    (tmp_path / "kept" / ".fit-1.safetensors.7.tmp").write_text("half")
    cache.clear()
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["note.txt"]


def test_a_folder_that_cannot_be_made_is_named(sets, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TardiffError, match="choose another --cache"):
        run_fits([FIT], sets, 1, Cache(tmp_path / "file" / "kept"))


def test_a_fit_of_a_judge_reads_its_parts_and_nothing_else(sets):
    """The same rows under another order of roles, or told row by row, are predicted alike; keys tell what is read apart."""
    whole = judge_fit("logistic", (Part("train"),), {"test": (Part("test"),)}, 0, sets)
    told = judge_fit("logistic", (Part.of("train", np.arange(60)),), {"test": (Part("test"),)}, 0, sets)
    assert whole.reads == told.reads == ("train", "test")
    assert whole.key(sets) != told.key(sets)
    np.testing.assert_array_equal(whole.run(sets)["test"], told.run(sets)["test"])
    assert sets.count(whole.told[1]) == sets.count(told.told[1]) == 60


def test_parts_are_joined_in_their_order_and_may_be_relabelled(sets):
    mask = sets.rows["train"].label == 1
    rows = sets.take((Part.of("synthetic/a", np.array([3, 0])), Part.of("train", mask, label=0)))
    np.testing.assert_array_equal(rows.seen[:2], sets.rows["synthetic/a"].seen[[3, 0]])
    np.testing.assert_array_equal(rows.seen[2:], sets.rows["train"].seen[mask])
    np.testing.assert_array_equal(rows.label, [*sets.rows["synthetic/a"].label[[3, 0]], *np.zeros(mask.sum())])


def test_thinning_keeps_rows_of_equal_sets_together():
    part = rows(100, 1)
    fewer = thinned(part, 30, seed=0)
    assert len(fewer) == 30
    np.testing.assert_array_equal(fewer.stay_id, thinned(replace(part, label=1 - part.label), 30, seed=0).stay_id)
    assert (np.diff(fewer.stay_id) > 0).all()
    assert thinned(part, 0, seed=0) is part
    assert (thinned(part, 30, seed=1).stay_id != fewer.stay_id).any()
