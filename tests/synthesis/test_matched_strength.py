"""The strength at which samples are as typical of their labels as training rows."""

import dataclasses
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
import torch

from tardiff.classifier.folder import certainty
from tardiff.settings import GuidanceSettings, SamplerSettings
from tardiff.synthesis.matched_strength import CANDIDATES, match_strength
from tardiff.synthesis.run import synthesise

MATCHED = GuidanceSettings(pilot=64, cfg_scale=1.0)


class Surer:
    """A classifier folder that reads a certainty off the samples: strength s gives log-probability s - 1."""

    def __init__(self, target):
        self.card = SimpleNamespace(certainty=target)
        self.codec = self

    def seen(self, x):
        return x

    @property
    def classifier(self):
        return self

    def eval(self):
        return self

    def logits(self, seen):
        p = torch.exp(seen[:, 0, 0] - 1)
        return torch.stack([p, 1 - p], dim=1).log()


def drawn(strength):
    return torch.full((8, 2, 3), strength), torch.zeros(8, dtype=torch.int64)


@pytest.mark.parametrize(("target", "strength"), [(-0.85, 0.15), (-0.72, 0.28), (-1.2, 0.0), (-0.1, max(CANDIDATES))])
def test_interpolates_between_strengths_and_stops_at_the_ends(target, strength):
    match = match_strength(drawn, [Surer(target)])
    assert match.strength == pytest.approx(strength, abs=0.011)
    assert all(c < target for c in match.certainties[:-1])  # nothing is measured beyond the match
    assert ("adds nothing" in str(match)) == (strength == 0)


def test_certainty_counts_classes_alike(clf, toy):
    folder, train = clf[1], toy[1].train
    seen = folder.codec.encode(train)
    with torch.no_grad():
        loss = folder.classifier.loss(seen, torch.from_numpy(train.label)).double().numpy()
    assert certainty(folder.classifier, seen, torch.from_numpy(train.label)) == pytest.approx(
        -np.mean([loss[train.label == c].mean() for c in (0, 1)]), rel=1e-4
    )
    assert folder.card.certainty == pytest.approx(certainty(folder.classifier, seen, torch.from_numpy(train.label)), rel=1e-6)


def test_samples_are_those_of_the_strength_that_was_found(run, clf):
    surer = dataclasses.replace(clf[1], card=msgspec.structs.replace(clf[1].card, certainty=-0.01))
    options = {"sampler": SamplerSettings(steps=6), "progress": False}
    found = synthesise(run[1], 40, classifier=surer, guidance=MATCHED, **options)
    assert found.match.strength == max(CANDIDATES)
    given = synthesise(run[1], 40, classifier=surer, guidance=dataclasses.replace(MATCHED, strength=found.match.strength), **options)
    np.testing.assert_array_equal(found.dataset.train.values, given.dataset.train.values)
    less_sure = dataclasses.replace(clf[1], card=msgspec.structs.replace(clf[1].card, certainty=-9.0))
    alone = synthesise(run[1], 40, classifier=less_sure, guidance=MATCHED, **options)
    assert alone.match.strength == 0
    assert alone.movement.inert
    assert alone.dataset.manifest.settings["classifiers"]  # without which the command that made it could not be told
    unguided = synthesise(run[1], 40, guidance=GuidanceSettings(guidance="none"), **options)
    np.testing.assert_array_equal(alone.dataset.train.values, unguided.dataset.train.values)
