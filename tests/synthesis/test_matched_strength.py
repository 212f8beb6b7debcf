"""The strength at which a classifier tells samples' labels as well as those of rows that it has not learnt."""

import dataclasses
import shutil

import msgspec
import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm

from tardiff.classifier.folder import fit_classifier
from tardiff.classifier.networks import auroc
from tardiff.cli import main
from tardiff.data.dataset import Dataset
from tardiff.settings import ClassifierSettings, GuidanceSettings, SamplerSettings
from tardiff.synthesis.matched_strength import FEW, STRONGEST, match_strength
from tardiff.synthesis.run import synthesise

MATCHED = GuidanceSettings(pilot=64, cfg_scale=1.0)
LABEL = np.arange(1024) % 2


class Line:
    """A pilot whose classes lie `start` apart and 0.5 more with the place of the dose, each with noise of one; it counts its rows."""

    def __init__(self, start):
        self.start, self.noise = start, norm.ppf((np.arange(512).repeat(2) + 0.5) / 512)
        shuffled = np.random.default_rng(0)
        for c in (0, 1):
            self.noise[LABEL == c] = shuffled.permutation(self.noise[LABEL == c])
        self.asked = []

    def __call__(self, place, rows):
        self.asked.append((place, len(LABEL[rows])))
        positive = expit(self.noise[rows] + (self.start + 0.5 * place) * LABEL[rows])
        return np.stack([1 - positive, positive], axis=1)[None]


@pytest.mark.parametrize(
    ("start", "given", "strength", "scale"),
    [
        (0.6, None, 0.24, 2.0),
        (0.6, 1.5, 0.24, 1.5),
        (-0.5, None, STRONGEST, 2.0),
        (1.2, None, 0.0, 1.6),
        (1.2, 2.0, 0.0, 2.0),
        (2.0, None, 0.0, 1.0),
    ],
)
def test_finds_the_dose_on_the_line(start, given, strength, scale):
    line = Line(start)
    match = match_strength(line, LABEL, norm.cdf(1 / 2**0.5), given)
    assert (match.strength, match.cfg_scale) == (pytest.approx(strength, abs=0.02), pytest.approx(scale, abs=0.06))
    assert match.rows == sum(rows for _, rows in line.asked) <= 1024 + 4 * FEW
    assert len({place for place, _ in line.asked}) == len(match.aurocs) == len(match.strengths)
    assert list(match.aurocs) == sorted(match.aurocs)
    nothing, none = "the classifier adds nothing" in str(match), "without guidance, and there is none" in str(match)
    assert (nothing, none) == (match.strength == 0 and match.cfg_scale > 1, match.strength == 0 and match.cfg_scale == 1)


@pytest.mark.parametrize(("start", "given", "draws"), [(-1.0, None, 2), (2.5, None, 2), (2.5, 2.0, 1)])
def test_a_few_rows_settle_what_is_clear(start, given, draws):
    assert match_strength(Line(start), LABEL, 0.76, given).rows == draws * FEW


def test_a_classifier_that_knows_its_rows_by_heart_asks_for_no_clearer_cases(toy):
    """Labels without any meaning can be learnt by heart, and no more: the target must not say that they can be told."""
    data = toy[1]
    random = np.random.default_rng(0)
    splits = {name: dataclasses.replace(split, label=random.permutation(split.label)) for name, split in data.splits.items()}
    folder = fit_classifier(Dataset(data.manifest, splits), ClassifierSettings(epochs=10, learning_rate=0.003, dropout=0, weight_decay=0))

    def ranked(name):
        return auroc(splits[name].label, folder.classifier.probability(folder.codec.encode(splits[name])))

    assert folder.card.validation_auroc == pytest.approx(ranked("validation")[0])
    assert folder.card.validation_auroc < 0.5 + 3 * ranked("validation")[1]
    assert ranked("train")[0] > folder.card.validation_auroc + 0.1


def test_what_is_as_sure_of_each_label_on_the_mean_is_no_match():
    """Real rows are many hard cases and a few plain ones. Samples as sure on the mean, all of them a little, rank better: too clear."""
    real = np.where(LABEL == 1, 1.0, 0.0) * np.where(np.arange(len(LABEL)) % 8 < 2, 0.9, 0.0) + 0.05
    even = np.exp(np.where(LABEL == 1, np.log(real), np.log(1 - real)))
    each = np.array([even[LABEL == c].mean() for c in (0, 1)])
    samples = np.where(LABEL == 1, each[1], 1 - each[0])
    twins = [np.stack([1 - p, p], axis=1) for p in (real, samples)]
    target, samples_rank = (auroc(LABEL, p)[0] for p in twins)
    assert samples_rank > target + 0.2
    match = match_strength(lambda place, rows: twins[1 if place > -1 else 0][None, rows], LABEL, target)
    assert (match.strength, match.cfg_scale) == (0, 1)


def test_samples_are_those_of_the_strength_that_was_found(run, clf):
    surer = dataclasses.replace(clf[1], card=msgspec.structs.replace(clf[1].card, validation_auroc=1.0))
    options = {"sampler": SamplerSettings(steps=6), "progress": False}
    found = synthesise(run[1], 40, classifier=surer, guidance=MATCHED, **options)
    assert found.match.strength == STRONGEST
    given = synthesise(run[1], 40, classifier=surer, guidance=dataclasses.replace(MATCHED, strength=found.match.strength), **options)
    np.testing.assert_array_equal(found.dataset.train.values, given.dataset.train.values)
    less_sure = dataclasses.replace(clf[1], card=msgspec.structs.replace(clf[1].card, validation_auroc=0.0))
    alone = synthesise(run[1], 40, classifier=less_sure, guidance=MATCHED, **options)
    assert alone.match.strength == 0
    assert alone.movement.inert
    assert alone.dataset.manifest.settings["classifiers"]  # without which the command that made it could not be told
    unguided = synthesise(run[1], 40, guidance=GuidanceSettings(guidance="none"), **options)
    np.testing.assert_array_equal(alone.dataset.train.values, unguided.dataset.train.values)


def test_the_scale_is_lowered_where_it_alone_makes_samples_too_sure(run, clf):
    less_sure = dataclasses.replace(clf[1], card=msgspec.structs.replace(clf[1].card, validation_auroc=0.0))
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
