"""The strength at which samples are as typical of their labels as rows that the classifier has not learnt."""

import dataclasses
import shutil

import msgspec
import numpy as np
import pytest
import torch

from tardiff.classifier.folder import certainty, fit_classifier
from tardiff.cli import main
from tardiff.data.dataset import Dataset
from tardiff.settings import ClassifierSettings, GuidanceSettings, SamplerSettings
from tardiff.synthesis.matched_strength import FEW, STRONGEST, match_strength
from tardiff.synthesis.run import synthesise

MATCHED = GuidanceSettings(pilot=64, cfg_scale=1.0)
LABEL = np.arange(1024) % 2


class Line:
    """A pilot whose certainty rises by 0.5 with the place of the dose, with noise that every dose shares; it counts its rows."""

    def __init__(self, start):
        self.noise = start + 0.3 * np.random.default_rng(0).normal(size=len(LABEL))
        self.asked = []

    def __call__(self, place, rows):
        self.asked.append((place, len(LABEL[rows])))
        return self.noise[rows] + 0.5 * place


@pytest.mark.parametrize(
    ("start", "given", "strength", "scale"),
    [
        (-0.9, None, 0.24, 2.0),
        (-0.9, 1.5, 0.24, 1.5),
        (-2.0, None, STRONGEST, 2.0),
        (-0.3, None, 0.0, 1.6),
        (-0.3, 2.0, 0.0, 2.0),
        (0.5, None, 0.0, 1.0),
    ],
)
def test_finds_the_dose_on_the_line(start, given, strength, scale):
    line = Line(start)
    match = match_strength(line, LABEL, -0.5, given)
    assert (match.strength, match.cfg_scale) == (pytest.approx(strength, abs=0.02), pytest.approx(scale, abs=0.06))
    assert match.rows == sum(rows for _, rows in line.asked) <= 1024 + 4 * FEW
    assert len({place for place, _ in line.asked}) == len(match.certainties) == len(match.strengths)
    assert list(match.certainties) == sorted(match.certainties)
    nothing, none = "the classifier adds nothing" in str(match), "without guidance, and there is none" in str(match)
    assert (nothing, none) == (match.strength == 0 and match.cfg_scale > 1, match.strength == 0 and match.cfg_scale == 1)


@pytest.mark.parametrize(("start", "given", "draws"), [(-2.0, None, 2), (0.5, None, 2), (0.5, 2.0, 1)])
def test_a_few_rows_settle_what_is_clear(start, given, draws):
    assert match_strength(Line(start), LABEL, -0.5, given).rows == draws * FEW


def test_certainty_counts_classes_alike(clf, toy):
    folder, held = clf[1], toy[1].split("validation")
    seen = folder.codec.encode(held)
    with torch.no_grad():
        loss = folder.classifier.loss(seen, torch.from_numpy(held.label)).double().numpy()
    assert certainty(folder.classifier, seen, torch.from_numpy(held.label)) == pytest.approx(
        -np.mean([loss[held.label == c].mean() for c in (0, 1)]), rel=1e-4
    )
    assert folder.card.certainty == pytest.approx(certainty(folder.classifier, seen, torch.from_numpy(held.label)), rel=1e-6)


def test_a_classifier_that_knows_its_rows_by_heart_asks_for_no_clearer_cases(toy):
    """Labels without any meaning can be learnt by heart, and no more: the target must not say that they are certain."""
    data = toy[1]
    random = np.random.default_rng(0)
    splits = {name: dataclasses.replace(split, label=random.permutation(split.label)) for name, split in data.splits.items()}
    folder = fit_classifier(Dataset(data.manifest, splits), ClassifierSettings(epochs=10, learning_rate=0.003, dropout=0, weight_decay=0))
    seen, label = folder.codec.encode(splits["train"]), torch.from_numpy(splits["train"].label)
    assert certainty(folder.classifier, seen, label) > folder.card.certainty + 0.03
    assert folder.card.certainty < np.log(0.5) + 0.05


def test_samples_are_those_of_the_strength_that_was_found(run, clf):
    surer = dataclasses.replace(clf[1], card=msgspec.structs.replace(clf[1].card, certainty=-0.01))
    options = {"sampler": SamplerSettings(steps=6), "progress": False}
    found = synthesise(run[1], 40, classifier=surer, guidance=MATCHED, **options)
    assert found.match.strength == STRONGEST
    given = synthesise(run[1], 40, classifier=surer, guidance=dataclasses.replace(MATCHED, strength=found.match.strength), **options)
    np.testing.assert_array_equal(found.dataset.train.values, given.dataset.train.values)
    less_sure = dataclasses.replace(clf[1], card=msgspec.structs.replace(clf[1].card, certainty=-9.0))
    alone = synthesise(run[1], 40, classifier=less_sure, guidance=MATCHED, **options)
    assert alone.match.strength == 0
    assert alone.movement.inert
    assert alone.dataset.manifest.settings["classifiers"]  # without which the command that made it could not be told
    unguided = synthesise(run[1], 40, guidance=GuidanceSettings(guidance="none"), **options)
    np.testing.assert_array_equal(alone.dataset.train.values, unguided.dataset.train.values)


def test_the_scale_is_lowered_where_it_alone_makes_samples_too_sure(run, clf):
    less_sure = dataclasses.replace(clf[1], card=msgspec.structs.replace(clf[1].card, certainty=-9.0))
    options = {"sampler": SamplerSettings(steps=6), "progress": False}
    found = synthesise(run[1], 40, classifier=less_sure, guidance=GuidanceSettings(pilot=64), **options)
    assert (found.match.strength, found.match.cfg_scale) == (0, 1)
    assert found.dataset.manifest.settings["strength"]["cfg_scale"] == 1
    unguided = synthesise(run[1], 40, guidance=GuidanceSettings(guidance="none"), **options)
    np.testing.assert_array_equal(found.dataset.train.values, unguided.dataset.train.values)


def test_the_match_is_the_same_for_every_seed_and_batch(run, clf):
    found = {
        str(
            synthesise(
                run[1], 8, classifier=clf[1], guidance=MATCHED, sampler=SamplerSettings(steps=6, batch_size=b), seed=s, progress=False
            ).match
        )
        for s, b in ((0, 256), (1, 40))
    }
    assert len(found) == 1


def test_the_second_command_does_not_measure_again(run, clf, tmp_path, capsys, monkeypatch):
    folder = shutil.copytree(run[0], tmp_path / "run")

    def sample(out, *options):
        main(
            [
                "sample",
                str(folder),
                "--classifier",
                str(clf[0]),
                "--n",
                "8",
                "--steps",
                "5",
                "--pilot",
                "64",
                "--out",
                str(tmp_path / out),
                *options,
            ]
        )
        return capsys.readouterr().out

    first = sample("a")
    assert "kept in" in first
    (kept,) = (folder / "kept").iterdir()
    monkeypatch.setattr("tardiff.synthesis.guide.matched", None)
    again = sample("b", "--seed", "1")
    assert "measured before" in again
    assert first.partition("matched: ")[2].splitlines()[0] == again.partition("matched: ")[2].splitlines()[0]
    with pytest.raises(TypeError):  # other settings are measured
        sample("c", "--window", "0.5")
    kept.write_text("{}")
    with pytest.raises(SystemExit):
        sample("d")
    assert kept.name in capsys.readouterr().err
