from dataclasses import asdict, replace

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tardiff.base.noise import row_seeds
from tardiff.data.dataset import Dataset, Split
from tardiff.errors import TardiffError
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.settings import GuidanceSettings, SelectionSettings
from tardiff.synthesis.privacy_filter import Apart, PrivacyFilter, distances, threshold
from tardiff.synthesis.run import synthesise
from tests.conftest import make_dataset, samples_of

NONE = GuidanceSettings(guidance="none")


@pytest.fixture(scope="module")
def keeper(toy, run):
    return PrivacyFilter.of(toy[1], run[1], 0.01)


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


def test_distances_are_of_values_and_of_charting(toy, keeper, run):
    seen = {name: run[1].codec.encode(toy[1].split(name)).double().numpy() for name in ("train", "validation", "test")}
    held, train = np.concatenate([seen["validation"], seen["test"]]), seen["train"]
    near = distances(torch.from_numpy(held).float(), torch.from_numpy(train).float())
    values = [np.sqrt(((train[:, :4] - row[:4]) ** 2).mean((1, 2))).min() for row in held]
    charting = [(train[:, 4:] != row[4:]).sum((1, 2)).min() for row in held]
    np.testing.assert_allclose(near.values, values, rtol=1e-5)
    np.testing.assert_array_equal(near.charting, charting)
    assert keeper.distance.values == pytest.approx(np.quantile(values, 0.01, method="weibull"), rel=1e-5)
    assert keeper.distance.charting == pytest.approx(np.quantile(charting, 0.01, method="weibull"))


def test_few_held_out_rows_are_dropped_and_every_training_row(toy, keeper, run):
    bad = keeper.too_close(as_samples(run[1], toy[1].train))
    assert bad.values.all()
    assert bad.charting.all()
    held = Split.concatenate([toy[1].split("validation"), toy[1].split("test")])
    bad = keeper.too_close(as_samples(run[1], held))
    assert bad.values.mean() <= 0.01
    assert bad.charting.mean() <= 0.01


def test_values_alone_and_charting_alone_are_found(toy, keeper, run):
    """A record with the values of one training row and the charting of none, and the other way round."""
    row = as_samples(run[1], toy[1].train.take(slice(20)))
    far = keeper.too_close(as_samples(run[1], toy[1].split("test").take(slice(20))))
    assert not far.values.any()
    assert not far.charting.any()
    moved = replace(row, values=(row.values + np.float32(40)))
    bad = keeper.too_close(moved)
    assert bad.charting.all()
    assert not bad.values.all()


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.01, 0.05, 0.2]), st.sampled_from([100, 300, 1000]))
@settings(max_examples=8)
def test_the_threshold_does_not_depend_on_how_many_are_held_out(seed, quantile, n):
    """Of uniform distances the threshold is the share that it drops: the quantile in the mean, whatever the number of strangers."""
    many = np.random.default_rng(seed).random((200, n))
    found = np.array([threshold(strangers, quantile) for strangers in many])
    assert found.mean() == pytest.approx(quantile, abs=5 * found.std() / 200**0.5)
    assert found.std() == pytest.approx(np.sqrt(quantile * (1 - quantile) / n), rel=0.35)


@settings(max_examples=30)
@given(arrays(np.float64, st.integers(150, 300), elements=st.floats(0, 9)), st.integers(2, 5))
def test_more_of_the_same_strangers_do_not_loosen_it(strangers, times):
    """The nearest of all, which was the rule once, falls with every row; a quantile moves by the two that stand beside it at most."""
    more = threshold(np.tile(strangers, times), 0.05)
    low, high = (np.sort(strangers)[np.array([np.floor(0.05 * len(strangers)) + end, 0]).astype(int).max()] for end in (-2, 2))
    assert low <= more <= high


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
    near = keeper.too_close(clean)
    bad = np.union1d(np.flatnonzero(near.values | near.charting), copies)
    assert asked[0] == row_seeds(5, range(60, 60 + len(bad)))
    others = np.setdiff1d(np.arange(60), bad)
    for name in ("values", "mask", "static", "label"):
        np.testing.assert_array_equal(getattr(kept, name)[others], getattr(clean, name)[others])
    assert [of[row] for row in others] == [seeds[row] for row in others]
    assert len(of) == len(set(of)) == 60
    assert not keeper.too_close(kept).values.any()
    assert not keeper.too_close(kept).charting.any()
    assert (kept.label[copies] == planted.label[copies]).all()


def test_a_generator_that_only_copies_is_given_up(toy, keeper, run):
    copies = as_samples(run[1], toy[1].train.take(slice(4)))
    with pytest.raises(TardiffError, match="84 of 84 samples drawn were closer to a training row"):
        keeper.refilled(copies, row_seeds(0, range(4)), 0, lambda label, seeds: copies)


def test_a_record_that_many_have_does_not_open_the_filter(toy, keeper, run):
    """A held-out row that equals a training row says nothing of how near strangers come."""
    twin = Split.concatenate([toy[1].split("validation"), toy[1].train.take(slice(1))])
    data = Dataset(toy[1].manifest, {**toy[1].splits, "validation": twin}).completed()
    assert PrivacyFilter.of(data, trained_on(run[1], data), 0.01).distance == keeper.distance


def test_an_unfiltered_folder_is_what_it_was_and_a_filtered_one_says_so(toy, run, monkeypatch):
    def draw(**options):
        return synthesise(run[1], 50, guidance=NONE, progress=False, **options)

    plain, filtered = draw(), draw(privacy_filter=toy[1])
    assert "privacy_filter" not in plain.dataset.manifest.settings
    assert plain.dropped is None
    record = filtered.dataset.manifest.settings["privacy_filter"]
    distance = asdict(filtered.dropped.distance)
    assert record["quantile"] == 0.01
    assert (record["distance"], record["data"]) == (distance, toy[1].manifest.content_hash)
    assert record["count"] == record["drawn"] - 50

    strict = PrivacyFilter.of
    far = float(np.median(of_values(plain.dataset.train, toy[1], run[1])))
    monkeypatch.setattr(PrivacyFilter, "of", lambda *a: replace(strict(*a), distance=Apart(0.95 * far, 0)))
    kept = draw(privacy_filter=toy[1])
    assert kept.dropped.count == kept.dropped.near.values > 0
    assert kept.dropped.near.charting == 0
    assert "nearer to a training row in values than" in str(kept.dropped)
    assert len(kept.dataset.train) == 50
    assert of_values(kept.dataset.train, toy[1], run[1]).min() >= 0.95 * far
    assert (kept.dataset.train.label == plain.dataset.train.label).all()
    stayed = of_values(plain.dataset.train, toy[1], run[1]) >= 0.95 * far
    np.testing.assert_array_equal(kept.dataset.train.values[stayed], plain.dataset.train.values[stayed])


def of_values(split, data, pipeline):
    return distances(*(pipeline.codec.encode(part) for part in (split, data.train))).values


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
    few = Dataset(
        toy[1].manifest, {**toy[1].splits, "test": toy[1].split("test").take(slice(9)), "validation": toy[1].split("test").take(slice(0))}
    )
    few = few.completed()
    with pytest.raises(
        TardiffError, match=r"--privacy-quantile 0.01 needs 99 held-out rows that are no training row, there are 9; give at least 0.1"
    ):
        PrivacyFilter.of(few, trained_on(run[1], few), 0.01)
    assert PrivacyFilter.of(few, trained_on(run[1], few), 0.1).quantile == 0.1
    with pytest.raises(TardiffError, match="must be above 0, and at most"):
        PrivacyFilter.of(few, trained_on(run[1], few), 0.6)
