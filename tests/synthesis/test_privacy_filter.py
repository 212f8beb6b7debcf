from dataclasses import replace

import msgspec
import numpy as np
import pytest
import torch

from tardiff.base.noise import row_seeds
from tardiff.data.dataset import Dataset, Split
from tardiff.errors import TardiffError
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.settings import GuidanceSettings, SelectionSettings
from tardiff.synthesis.privacy_filter import PrivacyFilter
from tardiff.synthesis.run import synthesise
from tests.conftest import make_dataset, samples_of

NONE = GuidanceSettings(guidance="none")


@pytest.fixture(scope="module")
def keeper(toy, run):
    return PrivacyFilter.of(toy[1], run[1])


def as_samples(pipeline, split):
    return samples_of(pipeline.codec, split)


def trained_on(pipeline, data):
    """The pipeline, as if it had learnt other data."""
    card = msgspec.structs.replace(pipeline.card, data_hash=data.manifest.content_hash)
    return TarDiffPipeline(pipeline.unet, pipeline.charting, pipeline.scheduler, pipeline.codec, pipeline.statics, card)


def plant(samples, rows, split):
    """Training rows in the place of some samples."""
    for name in ("values", "mask", "static", "label"):
        getattr(samples, name)[rows] = getattr(split, name)[: len(rows)]
    return samples


def test_the_distance_is_that_of_the_closest_held_out_row(toy, keeper, run):
    flat = [run[1].codec.encode(toy[1].split(name)).flatten(1).double() for name in ("train", "validation", "test")]
    expected = min(float(torch.cdist(held, flat[0]).min()) for held in flat[1:])
    assert keeper.distance == pytest.approx(expected, rel=1e-5)


def test_held_out_rows_pass_and_training_rows_do_not(toy, keeper, run):
    for name, bad in (("train", True), ("validation", False), ("test", False)):
        assert (keeper.too_close(as_samples(run[1], toy[1].split(name))) == bad).all()


def test_planted_copies_are_replaced_and_the_rest_stays(toy, keeper, run):
    label, seeds, copies = np.arange(60) % 2, row_seeds(5, range(60)), [3, 17, 40]
    clean = run[1](label, seeds)
    planted = plant(run[1](label, seeds), copies, toy[1].train)
    asked = []

    def draw(label, seeds):
        asked.append(seeds)
        return run[1](label, seeds)

    kept, of, dropped = keeper.refilled(planted, seeds, 5, draw)
    assert dropped.count == dropped.drawn - 60 == sum(map(len, asked)) >= 3
    assert asked[0] == row_seeds(5, range(60, 63))
    others = np.setdiff1d(np.arange(60), copies)
    for name in ("values", "mask", "static", "label"):
        np.testing.assert_array_equal(getattr(kept, name)[others], getattr(clean, name)[others])
    assert [of[row] for row in others] == [seeds[row] for row in others]
    assert len(of) == len(set(of)) == 60
    assert not keeper.too_close(kept).any()
    assert (kept.label[copies] == planted.label[copies]).all()


def test_a_generator_that_only_copies_is_given_up(toy, keeper, run):
    copies = as_samples(run[1], toy[1].train.take(slice(4)))
    with pytest.raises(TardiffError, match="84 of 84 samples drawn were closer to a training row"):
        keeper.refilled(copies, row_seeds(0, range(4)), 0, lambda label, seeds: copies)


def test_a_record_that_many_have_does_not_open_the_filter(toy, keeper, run):
    """A held-out row that equals a training row says nothing of how near strangers come."""
    twin = Split.concatenate([toy[1].split("validation"), toy[1].train.take(slice(1))])
    data = Dataset(toy[1].manifest, {**toy[1].splits, "validation": twin}).completed()
    assert PrivacyFilter.of(data, trained_on(run[1], data)).distance == keeper.distance


def test_an_unfiltered_folder_is_what_it_was_and_a_filtered_one_says_so(toy, run, monkeypatch):
    def draw(**options):
        return synthesise(run[1], 50, guidance=NONE, progress=False, **options)

    plain, filtered = draw(), draw(privacy_filter=toy[1])
    assert "privacy_filter" not in plain.dataset.manifest.settings
    assert plain.dropped is None
    record = filtered.dataset.manifest.settings["privacy_filter"]
    assert record == {"count": 0, "drawn": 50, "distance": filtered.dropped.distance, "data": toy[1].manifest.content_hash}
    np.testing.assert_array_equal(plain.dataset.train.values, filtered.dataset.train.values)

    strict = PrivacyFilter.of
    far = float(np.median(closest_distances(plain.dataset.train, toy[1], run[1])))
    monkeypatch.setattr(PrivacyFilter, "of", lambda *a: replace(strict(*a), distance=0.95 * far))
    kept = draw(privacy_filter=toy[1])
    assert kept.dropped.count > 0
    assert len(kept.dataset.train) == 50
    assert closest_distances(kept.dataset.train, toy[1], run[1]).min() >= 0.95 * far
    assert (kept.dataset.train.label == plain.dataset.train.label).all()
    stayed = closest_distances(plain.dataset.train, toy[1], run[1]) >= 0.95 * far
    np.testing.assert_array_equal(kept.dataset.train.values[stayed], plain.dataset.train.values[stayed])


def closest_distances(split, data, pipeline):
    ours, train = (pipeline.codec.encode(part).flatten(1).double() for part in (split, data.train))
    return torch.cdist(ours, train).min(1).values.numpy()


def test_filtering_goes_before_choosing(toy, run, clf):
    chosen = synthesise(
        run[1], 20, classifier=clf[1], guidance=NONE, selection=SelectionSettings("influence", 2), privacy_filter=toy[1], progress=False
    )
    assert len(chosen.dataset.train) == 20
    assert chosen.dropped.drawn >= 40


def test_bad_input_is_refused(toy, run):
    with pytest.raises(TardiffError, match="RUN was made from another data set"):
        synthesise(run[1], 5, guidance=NONE, privacy_filter=make_dataset(100), progress=False)
    alone = Dataset(toy[1].manifest, {"train": toy[1].train}).completed()
    with pytest.raises(TardiffError, match="no held-out rows"):
        synthesise(trained_on(run[1], alone), 5, guidance=NONE, privacy_filter=alone, progress=False)
