import dataclasses

import numpy as np
import pytest
import torch

from tardiff.base.noise import row_seeds
from tardiff.data.dataset import Dataset
from tardiff.data.labels import draw_labels
from tardiff.errors import TardiffError
from tardiff.settings import OBJECTIVES, ClassifierSettings, GuidanceSettings, SamplerSettings, SelectionSettings
from tardiff.synthesis.guide import steer
from tardiff.synthesis.plan import Plan
from tardiff.synthesis.run import synthesise

NONE = GuidanceSettings(guidance="none")


def draw(run, clf, guidance, sampler=SamplerSettings(steps=5), **options):
    """Sixty samples: the network is asked about 64 rows at once, however few are wanted."""
    return synthesise(run[1], 60, classifier=clf[1] if clf else (), guidance=guidance, sampler=sampler, progress=False, **options)


@pytest.fixture(scope="module")
def unguided(run):
    return draw(run, None, NONE)


def settings_of(**changes):
    return GuidanceSettings(**{"objective": "raw=1", "pilot": 64, "strength": 0.3, "cfg_scale": 1.0, **changes})


ALL = [
    *(settings_of(objective=f"{name}=1") for name in OBJECTIVES),
    settings_of(curvature="last-layer"),
    settings_of(objective="cosine=1,label=0.5,repulsion=0.2", through_denoiser=True),
]


def guide_of(run, clf, guidance):
    plan = Plan(run[1], 1, [clf[1]], guidance, SamplerSettings(steps=5), SelectionSettings())
    return steer(plan, progress=False).guide


def test_strength_0_is_unguided_whatever_else_the_default_does(run, clf, unguided):
    zero = draw(run, clf, GuidanceSettings(strength=0.0))
    np.testing.assert_array_equal(zero.dataset.train.values, unguided.dataset.train.values)
    assert zero.movement.inert
    assert draw(run, clf, GuidanceSettings(strength=0.001)).movement.value > 0.01  # classifier-free guidance acts beside it


@pytest.mark.parametrize(
    "guidance", ALL, ids=lambda g: f"{g.objective}{'-curved' * (g.curvature != 'none')}{'-through' * g.through_denoiser}"
)
class TestEveryGuide:
    def test_strength_0_is_unguided_bit_for_bit(self, guidance, run, clf, unguided):
        zero = draw(run, clf, dataclasses.replace(guidance, strength=0.0))
        for name, array in unguided.dataset.train.arrays().items():
            np.testing.assert_array_equal(array, zero.dataset.train.arrays()[name])
        assert zero.movement.inert
        assert zero.movement.value == 0

    def test_guidance_moves_the_samples_by_a_measured_amount_and_further_if_stronger(self, guidance, run, clf, unguided):
        weak, strong = (draw(run, clf, dataclasses.replace(guidance, strength=s)) for s in (0.05, 0.5))
        assert strong.movement.value > max(0.01, 1.5 * weak.movement.value)
        assert not strong.movement.inert
        ratios = [record["ratio"] for record in strong.movement.steps]
        assert all(ratio > 0 for ratio in ratios[:2])
        assert not any(ratios[2:])  # the window is 40 % of 5 steps
        assert (strong.dataset.train.label == unguided.dataset.train.label).all()

    def test_a_guided_sample_does_not_depend_on_the_batch(self, guidance, run, clf):
        guide = guide_of(run, clf, guidance)
        label, seeds = np.arange(100) % 2, row_seeds(0, range(100))
        whole = run[1](label, seeds, SamplerSettings(steps=3), guide).x0
        assert torch.equal(run[1](label, seeds, SamplerSettings(steps=3, batch_size=40), guide).x0, whole)
        assert torch.equal(run[1](label[70:73], seeds[70:73], SamplerSettings(steps=3), guide).x0, whole[70:73])

    def test_every_sampler_can_be_guided(self, guidance, run, clf):
        for sampler, steps in (("ddim", 6), ("ode", 2)):
            assert draw(run, clf, guidance, SamplerSettings(sampler, steps=steps)).movement.value > 0.005


def test_classifier_guidance_makes_samples_more_typical_of_their_label(run, clf):
    def surprise(guidance):
        result = draw(run, clf, guidance)
        split = result.dataset.train
        seen = run[1].codec.encode(split)
        return float(clf[1].classifier.loss(seen, torch.from_numpy(split.label)).detach().mean())

    assert surprise(settings_of(objective="label=1", strength=0.5, window=1.0)) < surprise(NONE)


def test_synthetic_folder_is_a_dataset_folder(run, clf, tmp_path):
    saved = draw(run, clf, settings_of()).dataset.save(tmp_path / "synthetic")
    loaded = Dataset.load(tmp_path / "synthetic")
    assert loaded.manifest == saved.manifest
    assert loaded.manifest.synthetic
    assert loaded.manifest.settings["movement"]["value"] > 0
    assert list(loaded.splits) == ["train"]


def test_same_seed_same_folder(run, clf, tmp_path):
    for name in "ab":
        draw(run, clf, settings_of()).dataset.save(tmp_path / name)
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()
    assert (draw(run, None, NONE, seed=1).dataset.train.values != draw(run, None, NONE).dataset.train.values).any()


def test_a_folder_does_not_depend_on_the_batch_size(run, clf):
    hashes = {draw(run, clf, settings_of(), SamplerSettings(steps=6, batch_size=b)).dataset.manifest.content_hash for b in (25, 64, 256)}
    assert len(hashes) == 1


@pytest.mark.parametrize(("ratio", "expected"), [("train", 25), ("balanced", 50), ("0.1", 10), ("0", 0), ("1", 100)])
def test_label_ratio(ratio, expected):
    label = draw_labels(ratio, (75, 25), 100, 0)
    assert len(label) == 100
    assert label.sum() == expected


def test_label_ratio_of_three_classes():
    assert np.bincount(draw_labels("0.5", (60, 20, 20), 80, 0)).tolist() == [30, 10, 40]


@pytest.mark.parametrize("ratio", ["half", "1.5", "-0.1", "nan", ""])
def test_label_ratio_that_makes_no_sense(ratio):
    with pytest.raises(TardiffError, match="--label-ratio"):
        draw_labels(ratio, (75, 25), 10, 0)


def test_a_folder_may_lack_a_class(run, tmp_path):
    synthesise(run[1], 20, guidance=NONE, label_ratio="1", progress=False).dataset.save(tmp_path / "died")
    assert Dataset.load(tmp_path / "died").manifest.splits["train"].classes == (0, 20)


def test_guidance_needs_a_classifier(run):
    with pytest.raises(TardiffError, match="needs --classifier"):
        draw(run, None, settings_of())


def test_a_classifier_of_other_data_is_refused(run, tmp_path):
    from tardiff.classifier.folder import fit_classifier
    from tests.conftest import make_dataset

    other = fit_classifier(make_dataset(100).save(tmp_path / "data"), ClassifierSettings("gru", width=8, epochs=1))
    with pytest.raises(TardiffError, match="reads another space"):
        draw(run, (None, other), settings_of())


def test_no_rows_are_refused(run):
    with pytest.raises(TardiffError, match="at least one row"):
        synthesise(run[1], 0, guidance=NONE, progress=False)
