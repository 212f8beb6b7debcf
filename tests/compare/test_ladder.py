"""The ladder of another site, on toys: what flows where, and what it says."""

import copy
import json
from dataclasses import replace
from itertools import pairwise

import msgspec
import numpy as np
import pytest
import torch

from tardiff.compare import ladder as module
from tardiff.compare import received
from tardiff.compare.cells import Candidate, Round
from tardiff.compare.ladder import evenly, labels
from tardiff.compare.received import Tuning, fine_tuned
from tardiff.compare.run import Sent, compare, opened_ladder
from tardiff.data.dataset import Dataset, Split
from tardiff.errors import TardiffError
from tardiff.evaluate.judges import Rows, Variant
from tardiff.evaluate.row_sets import Part, RowSets
from tardiff.evaluate.train_and_judge import judge_fit
from tardiff.settings import LADDER, NOT_SENT, CompareSettings, SiteSettings
from tests.conftest import call, make_dataset, make_split

QUICK = CompareSettings("logistic", seeds=1, ratios=(1.0,), bootstrap=20, workers=1)
SITES = SiteSettings(local=40, rows=40, strength=0.1)


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    """Two steps of adaptation and of fine-tuning."""
    adapt_settings = module.AdaptSettings
    monkeypatch.setattr(module, "AdaptSettings", lambda seed: adapt_settings(steps=2, batch_size=8, validate_every=2, seed=seed))
    monkeypatch.setattr(received, "EPOCHS", 1)


@pytest.fixture(scope="module")
def local():
    """Patients of another site."""
    sizes = {"train": 160, "validation": 40, "test": 80}
    splits = {name: make_split(n, 70 + k, 10_000 * (k + 1)) for k, (name, n) in enumerate(sizes.items())}
    return Dataset(make_dataset(20).manifest, splits).completed()


@pytest.fixture(scope="module")
def sent(run, clf):
    return Sent(run[1], clf[1])


def ladder(local, sent, tmp_path, settings=QUICK, sites=SITES):
    return opened_ladder(local, settings, sites, tmp_path, sent)


def test_from_folders_to_a_table(local, toy, run, clf, tmp_path, capsys):
    local.save(tmp_path / "local")
    out = tmp_path / "out"
    options = ["--model", "logistic", "--seeds", 1, "--ratios", 1.0, "--bootstrap", 20, "--workers", 1]
    ways = [way for way in LADDER if way.startswith(("local", "as", "re", "fine", "guided", "adapted-guided", "selected"))]
    sites = ["--from", run[0], "--from-classifier", clf[0], "--from-data", toy[0], "--local", 40, "--rows", 40, "--strength", 0.1]
    assert call("compare", tmp_path / "local", "--methods", ",".join(ways), *options, *sites, "--verbose", "--out", out) == 0
    printed = capsys.readouterr().out
    assert "40 real training rows" in printed
    assert "Labelled local stays that do the same" in printed
    result = json.loads((out / "metrics.json").read_text())
    assert list(result["methods"]) == ways
    assert [point["stays"] for point in result["curve"]] == [10, 20, 40, 80, 160, 200]
    assert list(result["worth"]) == ways[1:]
    candidates = {name: found["candidates"] for name, found in result["methods"].items()}
    assert {name for name, count in candidates.items() if count == 1} == {"as-is", "recalibrated"}
    assert set(candidates.values()) == {1, 2}
    assert not (tmp_path / "out.partial").exists()
    assert result["reference"] in ("local", "as-is", "recalibrated", "fine-tuned")


def test_ways_with_the_other_sites_rows_are_left_out_without_them_and_refused_if_named(local, sent, tmp_path, monkeypatch):
    monkeypatch.setattr("tardiff.compare.run.LADDER", ("local", "as-is", *NOT_SENT))
    result = compare(local, tmp_path / "out", replace(QUICK, methods=None), sent=sent, sites=SITES)
    assert list(result["methods"]) == ["local", "as-is"]
    assert result["remarks"] == [f"Left out: {', '.join(NOT_SENT)}. Needed: the other site's own rows (--from-data)."]
    for named in ("real", "selected-alone"):
        with pytest.raises(TardiffError, match=f"--methods {named}: needs the other site's own rows"):
            compare(local, tmp_path / "2", replace(QUICK, methods=f"local,{named}"), sent=sent, sites=SITES)
    assert not (tmp_path / "2.partial").exists()


def test_the_curve_begins_where_two_patients_of_each_class_can_be_parted(local, sent, tmp_path):
    """All positive stays but four are of one patient: few rows may have no other."""
    train = local.train
    positive = np.cumsum(train.label) * train.label  # numbered from 1
    two = replace(train, subject_id=np.where(positive, train.subject_id[0] + (positive > 4), train.subject_id))
    few = Dataset(local.manifest, {**local.splits, "train": two}).completed()
    settings = replace(QUICK, on="validation")
    many, found = (ladder(data, sent, tmp_path, settings, SiteSettings(rows=40)).curve(range(20)) for data in (local, few))
    assert list(many) == [40, 80, 160]
    assert 40 not in found
    assert found[160] == "local"


def test_a_generator_that_is_not_better_adapted_is_said(local, sent, tmp_path, monkeypatch, capsys):
    def no_better(*arguments, **options):
        raise module.NotBetterError("no")

    monkeypatch.setattr(module, "adapt", no_better)
    found = ladder(local, sent, tmp_path)
    assert found.adapted(3).codec == sent.run.codec
    assert "warning: adapted, seed 3: --from as it is fits the local rows no worse" in capsys.readouterr().err


def test_what_the_sites_do_not_share_is_said(local, sent, tmp_path, capsys):
    empty = {name: replace(split, values=hidden(split.values, np.nan), mask=hidden(split.mask, 0)) for name, split in local.splits.items()}
    ladder(Dataset(local.manifest, empty).completed(), sent, tmp_path)
    assert "warning: gcs has no value in DATA" in capsys.readouterr().err


def hidden(array, value):
    array = array.copy()
    array[:, 3] = value
    return array


def test_budgets_are_nested_and_keep_the_share_of_positives(local, sent, tmp_path):
    found = ladder(local, sent, tmp_path)
    whole = set(found.local("local@200", 5))
    assert whole == set(range(200))
    few, more = found.local("local@20", 5), found.local("guided", 5)
    assert len(few) == 20
    assert len(more) == 40
    assert set(few) < set(more)
    assert set(more) != set(found.local("guided", 6))
    label = found.data.train.label
    assert label[more].mean() == pytest.approx(label.mean(), abs=0.03)


@pytest.mark.parametrize("seed", range(3))
def test_every_beginning_of_an_order_has_each_class_in_its_share(seed):
    label = (np.arange(400) < 16).astype(np.int64)
    order = evenly(label, seed)
    assert sorted(order) == list(range(400))
    for n in (50, 100, 200):
        assert abs(label[order[:n]].sum() - 0.04 * n) <= 1


def test_labels_of_a_pool():
    assert np.bincount(labels(3000, 0.2)).tolist() == [2400, 600]
    assert np.bincount(labels(2, 0.0)).tolist() == [1, 1]


def test_choices_are_made_on_local_rows_that_were_not_learnt_from(local, sent, tmp_path):
    found = ladder(local, sent, tmp_path)
    sets, candidates = found.candidates("local", 3)
    rounds = found.rounds(candidates[0], 3, sets)
    asked = np.concatenate([np.frombuffer(part.ask[0].rows, np.int32) for part in rounds])
    assert sorted(asked) == list(range(40))
    for part in rounds:
        outside = np.frombuffer(part.ask[0].rows, np.int32)
        assert not np.isin(outside, part.learn).any()
        learn, ask = found._told(candidates[0], part)
        assert sets.count(learn) == 40 - len(outside)
        assert "judged" not in ask
    alone = Candidate((Part("pool"),))
    assert found.rounds(alone, 3, sets) == [Round((Part("train"),))]


def test_rows_that_cannot_be_parted_are_one_line(local, sent, tmp_path):
    found = ladder(local, sent, tmp_path)
    sets, candidates = found.candidates("local", 3)
    three = np.repeat([0, 1, 2], [13, 13, 14])  # patients: all stays positive, some, none; two parts leave one class on a side
    label = np.repeat([1, 0, 1, 0], [13, 9, 4, 14])
    rows = {**sets.rows, "train": replace(sets.rows["train"], label=label)}
    with pytest.raises(TardiffError, match="no part of the 40 local rows leaves both classes on both sides"):
        found.rounds(candidates[0], 3, RowSets(rows, {"train": three}))


def test_judged_rows_choose_nothing(local, sent, tmp_path):
    flipped = replace(local.splits["test"], label=1 - local.splits["test"].label)
    other = Dataset(local.manifest, {**local.splits, "test": flipped}).completed()
    first, second = (ladder(data, sent, tmp_path / str(k)).cell("classifier-free", 7) for k, data in enumerate((local, other)))
    assert first["groups"]["all"]["values"] != second["groups"]["all"]["values"]
    assert [first[field] for field in ("validation_auprc", "chosen", "rows")] == [second[f] for f in ("validation_auprc", "chosen", "rows")]


def test_rows_are_added_to_the_model_that_local_rows_tune(local, sent, toy, tmp_path, monkeypatch):
    found = ladder(local, replace(sent, real=toy[1]), tmp_path, replace(QUICK, ratios=(0.5, 1.0)))
    sets, _ = found.candidates("real", 3)
    scores = iter([0.1, 0.4, 0.2, 0.3])
    monkeypatch.setattr("tardiff.compare.cells._auprc", lambda label, score: next(scores, 0.5))
    fit = found._fit("trees", Candidate((Part("train"), Part("real"))), Round(()), 3, sets)
    assert found.tuned == {("trees", 3): 1}
    rows = (Part("train"), Part("real")), {"judged": (Part("judged"),)}, 3, sets
    assert fit == judge_fit("trees", *rows, Variant(tuned=1))
    assert fit != judge_fit("trees", *rows, Variant())


def test_every_way_that_trains_the_model_says_with_which_settings(local, sent, toy, tmp_path):
    found = ladder(local, replace(sent, real=toy[1]), tmp_path, replace(QUICK, ratios=(0.5, 1.0)))
    chosen = {way: found.cell(way, 3)["chosen"] for way in ("local", "real", "real-alone", "unguided", "as-is")}
    number = chosen["local"].pop("settings")
    assert [chosen[way].pop("settings") for way in ("real", "real-alone", "unguided")] == [number] * 3
    assert chosen.pop("unguided").keys() == {"rows", "positives"}
    assert chosen.pop("real").keys() == chosen.pop("real-alone").keys() == {"share"}
    assert chosen == {"local": {}, "as-is": {}}


def test_models_share_what_was_drawn_and_alone_means_without_local_rows(local, sent, tmp_path):
    found = ladder(local, sent, tmp_path)
    sets, both = found.candidates("unguided", 3)
    pool = sets.rows["pool"]
    sets, alone = found.candidates("unguided-alone", 3)
    assert sets.rows["pool"] is pool
    assert sets.count(both[0].learn) == sets.count(alone[0].learn) + 40
    assert [candidate.told for candidate in alone] == [candidate.told for candidate in both]


def test_the_guide_is_aimed_at_the_local_rows_of_the_seed(local, sent, tmp_path):
    found = ladder(local, sent, tmp_path)
    label = np.array([1, 0] * 20)
    unguided, guided, other = (found.pool(way, seed, label).seen for way, seed in (("classifier-free", 3), ("guided", 3), ("guided", 4)))
    assert not np.array_equal(unguided, guided)
    assert not np.array_equal(other, guided)
    assert set(found.local_data(3).train.stay_id) != set(found.local_data(4).train.stay_id)


def test_faster_hearts_are_adapted_to_and_the_classifier_guides_there_too(local, sent, tmp_path):
    shift = np.array([30, 0, 0, 0], np.float32)[:, None]
    splits = {name: replace(split, values=split.values + shift) for name, split in local.splits.items()}
    found = ladder(Dataset(local.manifest, splits).completed(), sent, tmp_path)
    label = np.array([1, 0] * 20)
    hearts = {way: found.pool(way, 3, label).seen[:, 0].mean() for way in ("classifier-free", "adapted", "adapted-guided")}
    assert hearts["adapted"] > hearts["classifier-free"] + 0.5
    assert hearts["adapted-guided"] == pytest.approx(hearts["adapted"], abs=0.5)
    assert found.adapted(3).codec.maps[0] != sent.run.codec.maps[0]


def test_a_classifier_as_it_is_and_what_is_made_of_it(local, sent, tmp_path):
    rows = Rows.of(local.train, sent.run.codec)
    original = sent.classifier.classifier.probability(torch.tensor(rows.seen))
    for head_only in (True, False):
        tuned = fine_tuned(sent.classifier, rows, 0, Tuning("fine-tuned", 3e-3, head_only))
        same = torch.equal(tuned.encoder.gru.weight_ih_l0, sent.classifier.classifier.encoder.gru.weight_ih_l0)
        assert same == head_only
        assert not np.array_equal(tuned.probability(torch.tensor(rows.seen)), original)
    np.testing.assert_array_equal(sent.classifier.classifier.probability(torch.tensor(rows.seen)), original)
    found = ladder(local, sent, tmp_path)
    as_is, line = (found.cell(way, 3)["groups"]["all"]["values"] for way in ("as-is", "recalibrated"))
    assert line["auroc"] == pytest.approx(as_is["auroc"], abs=1e-4)  # a rising line changes no order
    assert line["brier"] != as_is["brier"]


def test_selected_rows_are_those_of_most_influence_by_class(local, toy, sent, tmp_path):
    found = ladder(local, replace(sent, real=toy[1]), tmp_path)
    sets, candidates = found.candidates("selected-alone", 3)
    label, counts = sets.rows["real"].label, np.bincount(sets.rows["real"].label)
    for candidate, share in zip(candidates, (1 / 3, 2 / 3), strict=True):
        chosen = np.frombuffer(candidate.learn[0].rows, np.int32)
        np.testing.assert_array_equal(np.bincount(label[chosen]), np.ceil(share * counts))
    first, second = (set(np.frombuffer(c.learn[0].rows, np.int32)) for c in candidates)
    assert first < second


def test_the_other_sites_own_rows_have_as_many_amounts_to_choose_from_and_all_of_them_is_one(local, toy, sent, tmp_path):
    found = ladder(local, replace(sent, real=toy[1]), tmp_path, replace(QUICK, ratios=(0.25, 0.5, 1.0)))
    sets, candidates = found.candidates("real-alone", 3)
    label = sets.rows["real"].label
    taken = [set(np.frombuffer(candidate.learn[0].rows, np.int32)) for candidate in candidates]
    assert len(taken) == len(found.candidates("unguided", 3)[1]) == 6
    assert all(fewer < more for fewer, more in pairwise(taken))
    assert taken[-1] == set(range(len(label)))
    share = [label[sorted(rows)].mean() for rows in taken]
    assert np.allclose(share, label.mean(), atol=0.02)


@pytest.mark.slow
def test_goes_on_where_it_stopped_and_ends_in_the_same(local, sent, tmp_path, monkeypatch):
    settings = replace(QUICK, methods="local,fine-tuned,adapted")
    whole = compare(local, tmp_path / "whole", settings, sent=sent, sites=SITES)
    ran = []

    def stop(line):
        ran.append(line)
        if len(ran) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare(local, tmp_path / "parts", settings, say=stop, sent=sent, sites=SITES)
    with pytest.raises(TardiffError, match="other settings or data"):
        compare(local, tmp_path / "parts", settings, sent=sent, sites=replace(SITES, rows=50))
    assert compare(local, tmp_path / "parts", settings, sent=sent, sites=SITES) == whole


def test_what_does_not_fit_is_one_line(local, toy, run, clf, sent, tmp_path):
    def refused(match, data=local, settings=QUICK, sites=SITES, of=sent):
        with pytest.raises(TardiffError, match=match) as error:
            compare(data, tmp_path / "out", settings, sent=of, sites=sites)
        assert "\n" not in str(error.value)
        assert not list(tmp_path.iterdir())

    refused("--local 300: DATA has 200 rows in train and validation", sites=SiteSettings(local=300))
    refused("--local 161: DATA has 160 rows", settings=replace(QUICK, on="validation"), sites=SiteSettings(local=161))
    refused("--from-data: a patient of its training split is in the test split of DATA", of=replace(sent, real=judging(local)))
    rare = local.train.take(np.concatenate([np.flatnonzero(local.train.label == 0), np.flatnonzero(local.train.label == 1)[:1]]))
    lonely = Dataset(local.manifest, {**local.splits, "train": rare}).completed()
    refused("--local .*: has 1 patients of the rarer class", lonely, replace(QUICK, on="validation"), SiteSettings())
    other = replace(clf[1], codec=make_codec())
    refused("--from-classifier: learnt from other rows", of=replace(sent, classifier=other))
    adapted = copy.copy(sent.run)
    adapted.card = msgspec.structs.replace(sent.run.card, adaptation={"from_hash": "x"})
    refused("--from: is adapted to local rows already", of=replace(sent, run=adapted))
    with pytest.raises(TardiffError, match=r"--methods adapted: unknown .*--from is needed for adapted"):
        CompareSettings(methods="none,adapted")
    with pytest.raises(TardiffError, match="the first one must be local"):
        replace(QUICK, methods="as-is,local").ways(LADDER)
    with pytest.raises(TardiffError, match="unknown objective 'likeness'"):
        SiteSettings(objective="likeness=1")


def judging(data):
    """A data set that learns from a row that judges another one."""
    train = Split.concatenate([data.train, data.split("test").take(slice(1))])
    return Dataset(data.manifest, {"train": train}).completed()


def make_codec():
    from tardiff.data.codec import Codec

    data = make_dataset(60)
    return Codec.fit(data.train, data.manifest)


def test_ways_that_a_receiver_lacks_are_no_reference():
    from tardiff.compare.verdict import ALONE, SYNTHETIC, WORDS, reference

    found = dict.fromkeys((*SYNTHETIC, *ALONE, *NOT_SENT), 1.0) | {"local": 0.1, "as-is": 0.2}
    assert reference(found) == "as-is"
    assert set(LADDER) <= set(WORDS)
    assert received.RATES[0] < received.RATES[1]
    assert Variant() == Variant(tuned=0)
