import copy

import msgspec
import numpy as np
import pytest
import torch

from tardiff.cli import main
from tardiff.data.dataset import Dataset
from tardiff.errors import TardiffError
from tardiff.settings import GuidanceSettings, SamplerSettings, SelectionSettings
from tardiff.synthesis.diagnosis import RATE, diagnose, influence_agreement, label_traces
from tardiff.synthesis.run import synthesise

GUIDE = GuidanceSettings(strength=0.5)
STEPS = SamplerSettings(steps=10)


@pytest.fixture(scope="module")
def guided(run, clf):
    return synthesise(run[1], 120, classifier=clf[1], guidance=GUIDE, sampler=STEPS, label_ratio="balanced", progress=False).dataset


def test_influence_predicts_what_a_step_on_held_out_samples_does(run, clf, toy, guided):
    codec = clf[1].codec
    judge = codec.encode(toy[1].train), torch.from_numpy(toy[1].train.label)
    seen, label = codec.encode(guided.train), torch.from_numpy(guided.train.label)
    agreement = influence_agreement(clf[1], judge, seen[:50], label[:50])
    value, low, high = agreement.spearman
    assert value > 0.5
    assert low < value < high
    assert len(agreement.realised) == len(agreement.predicted) == 50


def test_realised_is_what_torchs_own_step_does_to_the_loss(clf, toy):
    folder, train = clf[1], toy[1].train.take(np.arange(30))
    seen, label = folder.codec.encode(train), torch.from_numpy(train.label)
    realised = influence_agreement(folder, (seen, label), seen[:5], label[:5]).realised
    for row, value in enumerate(realised):
        classifier = copy.deepcopy(folder.classifier).double()
        before = float(classifier.loss(seen.double(), label).mean().detach())
        classifier.loss(seen[row : row + 1].double(), label[row : row + 1]).sum().backward()
        torch.optim.SGD(classifier.parameters(), lr=RATE).step()
        assert (before - float(classifier.loss(seen.double(), label).mean().detach())) / RATE == pytest.approx(value, rel=1e-6)


class TestTraces:
    """Two hundred samples in three strong and five faint directions."""

    @pytest.fixture(scope="class")
    def unguided(self):
        rng = np.random.default_rng(0)
        mixed = rng.normal(size=(200, 3)) @ rng.normal(size=(3, 8)) * 5
        return mixed + 0.05 * rng.normal(size=(200, 8)), np.arange(200) % 2

    def test_nothing_changed_leaves_no_trace(self, unguided):
        x, label = unguided
        for trace in label_traces(x, x, label, seed=0):
            assert trace.difference == (0.5, 0.5, 0.5)
            assert trace.guided == trace.unguided
            assert trace.shift == 0

    def test_a_faint_label_is_found_where_patients_hardly_vary(self, unguided):
        x, label = unguided
        noise = np.random.default_rng(1).normal(size=8)
        faint = noise - np.linalg.svd(x - x.mean(0), full_matrices=False)[2][:3].T @ (
            np.linalg.svd(x - x.mean(0), full_matrices=False)[2][:3] @ noise
        )
        most, little = label_traces(x + 0.3 * label[:, None] * faint, x, label, seed=0)
        assert little.guided[0] > 0.95 > 0.65 > little.unguided[0]
        assert most.guided[0] < 0.65
        assert little.shift > 1

    def test_noise_that_knows_no_label_draws_nothing_apart(self, unguided):
        x, label = unguided
        noisy = x + 0.05 * np.random.default_rng(2).normal(size=x.shape)
        for trace in label_traces(noisy, x, label, seed=0):
            assert trace.shift < 0.3
            assert trace.difference[1] < 0.55


def test_the_command_writes_numbers_and_a_picture(run, clf, toy, guided, tmp_path, capsys):
    guided.save(tmp_path / "guided")
    paths = {"--run": run[0], "--classifier": clf[0], "--data": toy[0], "--out": tmp_path / "diagnosis"}
    main(["diagnose", str(tmp_path / "guided"), *(str(part) for pair in paths.items() for part in pair)])
    assert "Spearman" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "diagnosis").iterdir()) == ["diagnosis.json", "diagnosis.png"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"guidance": GuidanceSettings(guidance="none")}, "was not guided"), ({"selection": SelectionSettings("influence", 2)}, "selected")],
)
def test_what_cannot_be_diagnosed_says_so(changes, message, run, clf, toy):
    made = synthesise(run[1], 40, classifier=clf[1], sampler=STEPS, **{"guidance": GUIDE, **changes}, progress=False).dataset
    with pytest.raises(TardiffError, match=message):
        diagnose(made, run[1], clf[1], toy[1])


def test_another_generator_is_refused(run, clf, toy, guided):
    other = Dataset(msgspec.structs.replace(guided.manifest, settings={**guided.manifest.settings, "generator": "sha256:0"}), guided.splits)
    with pytest.raises(TardiffError, match="another generator"):
        diagnose(other, run[1], clf[1], toy[1])
