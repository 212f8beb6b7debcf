"""Samples drawn part by part into files: the same as drawn at once, and a stopped run goes on."""

import dataclasses

import numpy as np
import pytest

from tardiff.errors import TardiffError
from tardiff.model import sampling
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.settings import GuidanceSettings, SamplerSettings
from tardiff.synthesis import sample_store, synthesise
from tardiff.synthesis.sample_store import SampleStore

GUIDANCE = GuidanceSettings(strength=0.3)


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(sample_store, "PART", 16)
    monkeypatch.setattr(sampling, "chunk_rows", lambda device: 16)  # the network is asked about no more rows than a part has


def draw(run, clf, store=None):
    return synthesise(run[1], 70, classifier=clf[1], guidance=GUIDANCE, sampler=SamplerSettings(steps=5), store=store, progress=False)


def assert_same(one, other):
    for name, array in one.dataset.train.arrays().items():
        np.testing.assert_array_equal(array, other.dataset.train.arrays()[name])
    assert one.dataset.manifest == other.dataset.manifest


@pytest.mark.usefixtures("small_parts")
class TestSampleStore:
    def test_parts_are_the_whole_and_lie_on_disk(self, run, clf, tmp_path):
        stored = draw(run, clf, SampleStore(tmp_path / "s.partial", {"n": 70}))
        assert_same(draw(run, clf), stored)
        assert isinstance(stored.dataset.train.values.base, np.memmap) or isinstance(stored.dataset.train.values, np.memmap)

    @pytest.mark.parametrize("stop", [0, 1, 3, 4])
    def test_a_stopped_run_goes_on(self, run, clf, tmp_path, stop, monkeypatch):
        """Whatever part it dies in, and though it dies while that part is being written."""
        calls, draw_one = [], TarDiffPipeline.__call__

        def dying(self, label, *arguments, **options):
            calls.append(len(label))
            if len(calls) > stop + 1:
                raise KeyboardInterrupt
            return draw_one(self, label, *arguments, **options)

        monkeypatch.setattr(TarDiffPipeline, "__call__", dying)
        with pytest.raises(KeyboardInterrupt):
            draw(run, clf, SampleStore(tmp_path / "s.partial", {"n": 70}))
        fresh = []

        def counting(self, label, *arguments, **options):
            fresh.append(len(label))
            return draw_one(self, label, *arguments, **options)

        monkeypatch.setattr(TarDiffPipeline, "__call__", counting)
        resumed = draw(run, clf, SampleStore(tmp_path / "s.partial", {"n": 70}))
        assert fresh[:-1] == [16, 16, 16, 16, 6][stop + 1 :]  # the last call draws the unguided ones to compare with
        assert_same(draw(run, clf), resumed)

    def test_belongs_to_its_settings(self, run, clf, tmp_path):
        draw(run, clf, SampleStore(tmp_path / "s.partial", {"n": 70}))
        with pytest.raises(TardiffError, match="other settings or data"):
            draw(run, clf, SampleStore(tmp_path / "s.partial", {"n": 71}))

    def test_damage_is_named(self, run, clf, tmp_path):
        draw(run, clf, SampleStore(tmp_path / "s.partial", {"n": 70}))
        (tmp_path / "s.partial" / "mask.npy").write_bytes(b"\x93NUMPY")
        with pytest.raises(TardiffError, match="damaged"):
            draw(run, clf, SampleStore(tmp_path / "s.partial", {"n": 70}))

    def test_clear_leaves_nothing(self, run, clf, tmp_path):
        store = SampleStore(tmp_path / "s.partial", {})
        draw(run, clf, store)
        store.clear()
        assert not list(tmp_path.iterdir())


def test_selection_and_labels_read_the_store(run, clf, tmp_path):
    from tardiff.settings import SelectionSettings

    options = {
        "selection": SelectionSettings(select="influence", select_from=2),
        "guidance": dataclasses.replace(GUIDANCE, guidance="none"),
    }
    plain = synthesise(run[1], 40, classifier=clf[1], progress=False, **options)
    assert_same(plain, synthesise(run[1], 40, classifier=clf[1], progress=False, store=SampleStore(tmp_path / "s.partial", {}), **options))
