"""Membership by reference models: closed forms, what it costs, and whether it finds what was learnt by heart and nothing else."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from data_prep import PrepareSettings, prepare
from tardiff.base.noise import row_seeds
from tardiff.data.codec import Codec
from tardiff.data.dataset import UNLABELLED, Dataset
from tardiff.data.statics import StaticModel
from tardiff.evaluate.cache import Cache
from tardiff.evaluate.privacy import privacy
from tardiff.evaluate.privacy.denoising import denoising
from tardiff.evaluate.privacy.references import BACKWARD, Effort, calibrated, likelihood_ratio
from tardiff.evaluate.privacy.trial import Trial
from tardiff.model.diffusion import noise_schedule
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.model.training import new_networks, train, training_card
from tardiff.model.unet import TemporalUNet
from tardiff.settings import EvaluateSettings, TrainSettings
from tests.conftest import make_dataset, tiny_training

QUICK = EvaluateSettings(quick=True, attack_rows=500)


def gaussian(seed, rows=4000, references=8, spread=1.0, learnt=1.0):
    """Log losses of rows of very different difficulty, the first half of which the model has learnt; the references none."""
    random = np.random.default_rng(seed)
    difficulty, scale = random.normal(0, 20, (rows, 1)), spread * np.exp(random.normal(0, 1, (rows, 1)))
    own = difficulty + scale * random.normal(size=(rows, 1))
    own[: rows // 2] += learnt * scale[: rows // 2]
    return own, difficulty + scale * random.normal(size=(references, rows, 1)), np.repeat([1, 0], rows // 2)


def test_references_take_the_difficulty_away():
    own, references, learnt = gaussian(0)
    blind, difference, ratio = (
        roc_auc_score(learnt, score) for score in (own[:, 0], calibrated(own, references[:1]), likelihood_ratio(own, references))
    )
    assert blind < 0.55
    assert difference > 0.65
    assert ratio > difference + 0.03
    # With the row's own mean and spread known, members are N(1, 1) in its units and others N(0, 1); eight references tell them nearly.
    assert ratio == pytest.approx(norm.cdf(1 / np.sqrt(2 + 1 / 8)), abs=0.05)


@given(st.integers(0, 10**6))
def test_scores_do_not_depend_on_what_all_models_say_alike(seed):
    own, references, _ = gaussian(seed, rows=30)
    shift = np.random.default_rng(seed + 1).normal(0, 5, own.shape)
    for score in (calibrated, likelihood_ratio):
        np.testing.assert_allclose(score(own + shift, references + shift), score(own, references), rtol=1e-6, atol=1e-9)


def test_references_that_agree_in_all_leave_a_finite_score():
    same = np.zeros((8, 5, 1))
    assert np.isfinite(likelihood_ratio(np.arange(5.0)[:, None], same)).all()
    assert np.isfinite(calibrated(np.zeros((5, 1)), same)).all()


def test_a_row_says_the_same_in_any_company(toy, run):
    rows = toy[1].train.take(slice(12))
    whole = denoising(rows, run[1], 2, 0)
    assert whole.shape == (12, 5)
    np.testing.assert_array_equal(denoising(rows.take(slice(4)), run[1], 2, 0), whole[:4])


def test_a_quick_attack_costs_a_quarter_of_the_training(tmp_path, monkeypatch):
    """Rows that the U-Net evaluates, three times as dear where gradients are taken."""
    data, spent, forward = make_dataset(120).completed(), [0], TemporalUNet.forward

    def counted(self, x_t, *arguments):
        spent[0] += len(x_t) * (BACKWARD if torch.is_grad_enabled() else 1)
        return forward(self, x_t, *arguments)

    monkeypatch.setattr(TemporalUNet, "forward", counted)
    pipeline = train(data, tmp_path / "run", tiny_training(TrainSettings, steps=90, batch_size=64), progress=False)
    training, spent[0] = spent[0], 0
    synthetic = Dataset(data.manifest, {"train": data.split("test")})
    found = privacy(data, {"a": synthetic}, pipeline.codec, replace(QUICK, attack_rows=20), pipeline)
    assert found["references"]["models"] == 1
    assert 0.15 < spent[0] / training <= 0.25


@pytest.mark.parametrize("quick", [True, False])
def test_the_effort_fits_the_training(quick):
    trial = Trial.draw(make_dataset(400), "train", "train", 500, 0, ("validation", "test"))
    effort = Effort.of(TrainSettings(steps=2000, batch_size=64), trial, quick)
    assert (effort.references, effort.batch_size) == ((1, 64) if quick else (8, 64))
    assert effort.steps == (250 if quick else 80 * len(trial.reference) // 64)
    shared = Effort.of(TrainSettings(steps=2000, batch_size=64), trial, quick, sets=4)
    assert shared == (replace(effort, samples=effort.samples // 4) if quick else effort)  # a quarter of the training, however many sets


@pytest.fixture(scope="module")
def attack(toy, run, tmp_path_factory):
    """The sets that references attack, where what they say is kept, what was found, and the seeds that they drew with."""
    sets, kept = {"a": Dataset(toy[1].manifest, {"train": toy[1].split("test")})}, Cache(tmp_path_factory.mktemp("kept") / "kept")
    drawn, plain = [], TarDiffPipeline.__call__

    def noted(self, label, seeds, *arguments, **options):
        drawn.extend(seed >> 32 for seed in seeds)
        return plain(self, label, seeds, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TarDiffPipeline, "__call__", noted)
        return sets, kept, privacy(toy[1], sets, run[1].codec, QUICK, run[1], kept=kept), drawn


def test_what_references_said_is_kept(toy, run, attack, monkeypatch):
    sets, kept, first, _ = attack
    monkeypatch.setattr("tardiff.evaluate.privacy.references.train", None)  # would fail if it were called
    assert privacy(toy[1], sets, run[1].codec, QUICK, run[1], kept=kept) == first
    blind = msgspec.structs.replace(run[1].card, task=UNLABELLED, class_counts=(sum(run[1].card.class_counts),))
    unlabelled = TarDiffPipeline(run[1].unet, run[1].charting, run[1].scheduler, run[1].codec, run[1].statics, blind)
    with pytest.raises(TypeError, match="not callable"):  # references of a generator without labels are others
        privacy(toy[1], sets, run[1].codec, QUICK, unlabelled, kept=kept)


def test_references_do_not_draw_with_the_noise_of_a_users_samples(attack):
    """Whatever seed a set was drawn with: the same noise would make its samples likelier to be alike."""
    *_, drawn = attack
    assert len(set(drawn)) == 1
    assert drawn[0] > 1000


def test_too_few_held_out_rows_are_said(toy, run):
    few = {name: split if name == "train" else split.take(slice(40)) for name, split in toy[1].splits.items()}
    data = Dataset(toy[1].manifest, few)
    found = privacy(data, {"a": Dataset(data.manifest, {"train": data.train})}, run[1].codec, QUICK, run[1])
    assert found["generator"] == []
    reason = "too few held-out rows for reference models: half of the patients have 40 rows to learn, 50 are needed"
    assert found["references"] == {"models": 0, "steps": 0, "rows": 40, "others": 40, "reason": reason}


@pytest.fixture(scope="module")
def patients(tmp_path_factory):
    """240 training stays, and others: real ones where there are any, or simulated."""
    import os

    path = tmp_path_factory.mktemp("patients") / "data"
    if folder := os.environ.get("TARDIFF_DATA"):
        whole = prepare(PrepareSettings("physionet2012", out=path, raw=f"{folder}/physionet2012", split="by-set"))
    else:
        whole = prepare(PrepareSettings("simulate", out=path, stays=1600))
    few = {name: whole.split(name).take(slice(n)) for name, n in (("train", 240), ("validation", 400), ("test", 800))}
    return Dataset(whole.manifest, few).completed()


SMALL = TrainSettings(steps=700, batch_size=64, widths=(32, 64), blocks=1, ema_decay=0.98, validate_every=700)


def attacked(data, pipeline, settings=QUICK):
    """Every attack on a generator and on twice as many samples as it learnt rows."""
    label = np.tile(data.train.label, 2)
    samples = pipeline.dataset(pipeline(label, row_seeds(7, range(len(label)))), {})
    found = privacy(data, {"drawn": samples}, pipeline.codec, settings, pipeline)
    return {attack["attack"]: attack for attack in found["generator"]} | {
        f"{attack['attack']} of samples": attack for attack in found["sets"]["drawn"]["attacks"]
    }


@pytest.mark.slow
def test_a_generator_that_learnt_by_heart_is_found(real_data, patients, tmp_path):
    """Of real patients; simulated ones are too few for a rate at 1 %."""
    by_heart = replace(SMALL, steps=1100, weight_decay=0.0)
    found = attacked(patients, train(patients, tmp_path / "run", by_heart, progress=False))
    for name in ("calibrated denoising", "calibrated charting"):
        assert found[name]["auc"]["low"] > max(0.75, found[name]["control"]["high"]), name
        assert found[name]["tpr"]["0.01"]["low"] > 0.1, name
    assert found["calibrated distance of samples"]["auc"]["value"] > 0.53


@pytest.mark.slow
def test_a_fresh_generator_is_not_accused(patients):
    codec, statics = Codec.fit(patients.train, patients.manifest), StaticModel.fit(patients.train, patients.manifest)
    networks = new_networks(codec, statics, SMALL).eval()
    card = training_card(patients, SMALL, [])
    fresh = TarDiffPipeline(networks.unet, networks.charting, noise_schedule(), codec, statics, card)
    assert_unknown(attacked(patients, fresh))


@pytest.mark.slow
def test_a_private_generator_is_not_accused(patients, tmp_path):
    private = replace(SMALL, epsilon=4.0, delta=1e-3, steps=100)
    assert_unknown(attacked(patients, train(patients, tmp_path / "run", private, progress=False)))


def assert_unknown(found):
    """No attack by reference models tells members from strangers better than strangers of one split from those of another."""
    calibrated = {name: attack for name, attack in found.items() if name.startswith("calibrated")}
    assert len(calibrated) == 3
    for name, attack in calibrated.items():
        assert attack["auc"]["low"] <= max(0.5, attack["control"]["value"]), (name, attack["auc"], attack["control"])
        assert attack["auc"]["value"] < 0.57, (name, attack["auc"])
        assert attack["tpr"]["0.01"]["low"] <= 0.01, (name, attack["tpr"])
