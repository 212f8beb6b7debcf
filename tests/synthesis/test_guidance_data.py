"""Guidance that serves rows of another data set than the classifier's."""

import dataclasses

import msgspec
import numpy as np
import pytest

from tardiff.cli import main
from tardiff.data.contract import Form, arranged
from tardiff.data.dataset import Dataset
from tardiff.errors import TardiffError
from tardiff.settings import GuidanceSettings, SamplerSettings, SelectionSettings
from tardiff.synthesis import synthesise
from tests.conftest import make_dataset

COSINE = GuidanceSettings(objective="cosine=1", strength=0.5, cfg_scale=1.0)


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """Rows of another hospital: made as the toy is, but fewer of them and from another source."""
    made = make_dataset(120)
    manifest = msgspec.structs.replace(made.manifest, source="elsewhere")
    return Dataset(manifest, made.splits).completed()


def draw(run, clf, guidance=COSINE, n=40, **options):
    return synthesise(run[1], n, classifier=clf[1], guidance=guidance, sampler=SamplerSettings(steps=6), progress=False, **options).dataset


def test_the_classifiers_own_rows_are_what_it_serves_without(run, clf, toy):
    plain, same = draw(run, clf), draw(run, clf, guidance_data=toy[1])
    np.testing.assert_array_equal(plain.train.values, same.train.values)
    assert plain.manifest.settings["serves"] == same.manifest.settings["serves"]


def test_other_rows_steer_elsewhere_and_the_manifest_says_whose_they_are(run, clf, local):
    served = draw(run, clf, guidance_data=local, guidance_rows="age>=60")
    assert not np.array_equal(served.train.values, draw(run, clf).train.values, equal_nan=True)
    old = local.train.label[local.train.static[:, 0] >= 60]
    assert served.manifest.settings["serves"] == [
        {
            "source": "elsewhere",
            "data": local.manifest.content_hash,
            "split": "train",
            "rule": "age>=60",
            "rows": dict(zip(local.manifest.task.classes, np.bincount(old).tolist(), strict=True)),
        }
    ]


def test_the_rules_are_those_of_fitting(clf, local):
    folder, train = clf[1], local.train
    seen = folder.codec.encode(train)
    share = np.array(folder.card.class_counts) / sum(folder.card.class_counts)
    wrong = (folder.classifier.probability(seen) / share).argmax(1) != train.label
    for rule, rows in (("all", np.ones(len(train), bool)), ("minority", train.label == 1), ("wrong", wrong)):
        assert folder.aimed(local, rows=rule).card.guidance_counts == tuple(np.bincount(train.label[rows], minlength=2).tolist())
    with pytest.raises(TardiffError, match="must never see test rows"):
        folder.aimed(local, "test")


def test_channels_and_classes_are_matched_by_name(run, clf, local):
    form = Form.of_manifest(local.manifest)
    turned = dataclasses.replace(form, channels=form.channels[::-1], classes=form.classes[::-1])
    mixed, plain = (draw(run, clf, guidance_data=data) for data in (arranged(local, turned, "DATA"), local))
    np.testing.assert_array_equal(mixed.train.values, plain.train.values)


def changed(local, **changes):
    return Dataset(msgspec.structs.replace(local.manifest, **changes), local.splits)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (lambda m: {"steps": m.steps + 1}, "--guidance-data: has 11 steps, --classifier has 10"),
        (lambda m: {"step_hours": 2 * m.step_hours}, "--guidance-data: a step is"),
        (lambda m: {"task": msgspec.structs.replace(m.task, name="sepsis3")}, "--guidance-data: has the task 'sepsis3'"),
        (lambda m: {"task": msgspec.structs.replace(m.task, classes=("lives", "dies"))}, "--guidance-data: class"),
    ],
)
def test_rows_that_do_not_fit_are_one_line(run, clf, local, changes, message):
    with pytest.raises(TardiffError, match=message) as error:
        draw(run, clf, guidance_data=changed(local, **changes(local.manifest)))
    assert "\n" not in str(error.value)


def test_a_channel_that_is_not_there_counts_as_never_charted(run, clf, local, capsys):
    """Another hospital need not chart the same; what is not shared is named."""
    first, *others = local.manifest.channels
    renamed = changed(local, channels=(msgspec.structs.replace(first, name="icp"), *others))
    found = draw(run, clf, guidance_data=renamed)
    said = capsys.readouterr().err
    assert f"warning: {first.name} has no value in --guidance-data" in said
    assert "warning: icp is unknown to --classifier and left out of --guidance-data" in said
    hidden = {name: dataclasses.replace(s, values=s.values.copy(), mask=s.mask.copy()) for name, s in local.splits.items()}
    for split in hidden.values():
        split.values[:, 0], split.mask[:, 0] = np.nan, 0
    same = draw(run, clf, guidance_data=Dataset(local.manifest, hidden))
    np.testing.assert_array_equal(found.train.values, same.train.values)


def test_rows_that_nothing_reads_are_refused(run, clf, local):
    with pytest.raises(TardiffError, match="--guidance-data would not be read"):
        draw(run, clf, GuidanceSettings(strength=0.1), guidance_data=local)
    with pytest.raises(TardiffError, match="--guidance-rows age>=500: no row is chosen"):
        draw(run, clf, guidance_data=local, guidance_rows="age>=500")
    none = GuidanceSettings(guidance="none")
    selected = draw(run, clf, none, selection=SelectionSettings("influence", 2), guidance_data=local)
    assert selected.manifest.settings["serves"][0]["source"] == "elsewhere"


def test_from_the_command_line(run, clf, local, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    local.save(tmp_path / "local")
    options = ["--objective", "cosine=1,label=0.5", "--strength", "0.3", "--guidance-data", "local", "--guidance-rows", "sex=female"]
    main(["sample", str(run[0]), "--classifier", str(clf[0]), "--n", "20", "--steps", "4", *options, "--out", "aimed"])
    settings = Dataset.load(tmp_path / "aimed").manifest.settings
    assert settings["serves"][0]["rule"] == "sex=female"
    assert settings["guidance"]["objective"] == "cosine=1,label=0.5"
    assert sum(settings["serves"][0]["rows"].values()) == int((local.train.static[:, 1] == 0).sum())
