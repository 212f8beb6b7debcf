"""The gate: rows that help pass, rows that do harm do not."""

from types import SimpleNamespace

import msgspec
import numpy as np
import pytest

from tardiff.augment import TarDiffSampler, gate
from tardiff.augment import run as run_module
from tardiff.augment import sampler as sampler_module
from tardiff.augment.gate import FOLDS, REPEATS, Gain, gain, gated, held_out_folds
from tardiff.augment.generate import Generated, generate
from tardiff.augment.records import dataset_of
from tardiff.base.threads import one_thread
from tardiff.data.dataset import Dataset, Split
from tardiff.errors import InputError
from tardiff.settings import AugmentSettings, GuidanceSettings
from tests.augment.toys import FAST, records

NAMES = ("well", "ill")
NOISY = {"channels": 24, "noise": 5.0}


def made_of(X, y):
    return Generated(Split.of_values(X, y, 60 * X.shape[2]), SimpleNamespace(), [], [], None)


def ward(rows, share, seed, channels=3, noise=2.5):
    """Records so noisy that few of them teach little."""
    X, y = records(rows, share, channels=channels, seed=seed)
    return X + noise * np.random.default_rng(seed).normal(size=X.shape), y


def data(rows=150, share=0.15, seed=0, **ward_options):
    return dataset_of(*ward(rows, share, seed, **ward_options), NAMES)


def planted(flip):
    """Six times as many rows as are wanted of patients like the real ones, or of such with the wrong label."""

    def make(rows, label, earlier):
        X, y = ward(6 * len(label), 0.5, 100, **NOISY)
        return made_of(X, 1 - y if flip else y)

    return make


def test_gain_is_the_corrected_error_of_resampled_folds():
    found = gain(np.array([0.0, 0.1, 0.2, 0.3, 0.1, 0.2]), 1 / 3)
    assert found.value == pytest.approx(0.15)
    assert found.error == pytest.approx((0.011 * (1 / 6 + 1 / 2)) ** 0.5)
    assert found.commits
    assert not Gain(0.1, 0.1).commits


@pytest.mark.parametrize(("effect", "low", "high"), [(2.5, 0.8, 1.0), (0.0, 0.0, 0.16), (-0.5, 0.0, 0.1), (-1.0, 0.0, 0.05)])
def test_the_rule_commits_gains_and_not_harm(effect, low, high):
    """Effects in standard errors of the mean over all rows: each row has its own difference, folds take rows apart, repeats anew."""
    random, rows, committed = np.random.default_rng(1), 90, 0
    for _ in range(1000):
        of_row = random.normal(size=rows) + effect / rows**0.5
        folds = [part.mean() for _ in range(REPEATS) for part in np.split(of_row[random.permutation(rows)], FOLDS)]
        committed += gain(np.array(folds), 1 / FOLDS).commits
    assert low <= committed / 1000 <= high


def test_patients_are_on_one_side_and_every_class_is_on_both():
    rows = data().train
    rows.subject_id[:] //= 2
    folds = list(held_out_folds(rows, 2, seed=0))
    assert len(folds) == FOLDS * REPEATS
    for inside, outside in folds:
        assert (inside ^ outside).all()
        assert not set(rows.subject_id[inside]) & set(rows.subject_id[outside])
        assert set(rows.label[inside]) == set(rows.label[outside]) == {0, 1}
    assert not all((a[0] == b[0]).all() for a, b in zip(folds[:FOLDS], folds[FOLDS:], strict=True))


def test_two_patients_of_a_class_are_too_few():
    with pytest.raises(InputError, match="the rarest class has 2: drop the gate"):
        gated(data(40, 0.05), np.ones(10, np.int64), planted(False), 1, seed=0, progress=False)


def test_rows_that_help_pass_and_rows_with_wrong_labels_do_not(monkeypatch):
    monkeypatch.setattr(gate, "LEARNERS", ("logistic",))  # the quicker one
    wanted, found = np.ones(200, np.int64), {}
    for flip in (False, True):
        found[flip] = [gated(data(240, 0.4, seed, **NOISY), wanted, planted(flip), 1, seed, progress=False) for seed in range(5)]
    assert sum(bool(one.made) for one in found[False]) >= 4  # ten of ten seeds
    assert not any(one.made for one in found[True])
    assert str(found[True][0]).startswith("the gate lets nothing through, no row is added: held-out AUPRC -")


def test_batches_stop_at_the_first_that_does_not_help(monkeypatch):
    """Each fold sees its own earlier rows, the rows it learns from alone, and its share of the labels."""
    calls = []

    def make(rows, label, earlier):
        calls.append((int(rows.sum()), len(label), len(earlier)))
        return made_of(*ward(4, 0.5, len(calls)))

    ends = iter([*[0.1] * 6, *[0.2, 0.21] * 3, *[0.1, 0.11] * 3])
    monkeypatch.setattr(gate, "utility", lambda *arguments: next(ends))
    found = gated(data(120, 0.2), np.ones(90, np.int64), make, 3, seed=0, progress=False)
    assert [one.commits for one in found.gains] == [True, False]
    assert len(found.made) == 1
    assert calls[:6] == [(80, 20, 0)] * 6
    assert calls[6] == (120, 30, 0)
    assert calls[7:] == [(80, 20, 1)] * 6


class TestSampler:
    @pytest.mark.parametrize("flip", [False, True])
    def test_gate_returns_the_rows_as_they_were_or_the_counts_of_classes(self, flip, monkeypatch, capsys):
        def fake(fold, label, **options):
            return made_of(ward(len(label), 0.5, 7)[0], label)

        ends = iter([*[0.1] * 6, *([0.0, 0.01] if flip else [0.2, 0.21]) * 3])
        monkeypatch.setattr(gate, "utility", lambda *arguments: next(ends))
        monkeypatch.setattr(sampler_module, "generate", fake)
        X, y = ward(150, 0.15, 0)
        tool = TarDiffSampler(gate=True, random_state=0)
        X2, y2 = tool.fit_resample(X, y)
        assert tool.gate_.gains[0].commits is not flip
        if flip:
            np.testing.assert_array_equal(X2, X)
            np.testing.assert_array_equal(y2, y)
            assert not tool.synthetic_.any()
            assert "no row is added" in capsys.readouterr().err
        else:
            assert np.bincount(y2).tolist() == [128, 128]

    def test_through_a_generator(self, monkeypatch):
        monkeypatch.setattr(gate, "LEARNERS", ("logistic",))
        X, y = records()
        tool = TarDiffSampler(**{**FAST, "model": "summary", "gate": True, "guidance": GuidanceSettings(guidance="none")})
        y2 = tool.fit_resample(X, y)[1]
        assert np.bincount(y2)[1] == (48 if tool.gate_.gains[0].commits else 12)


def test_later_batches_have_the_generator_and_other_noise():
    fold, options = data(60, 0.3), {**FAST, "seed": 3, "model": "summary"}
    del options["random_state"]
    first = generate(fold, np.ones(6, np.int64), **options)
    second = generate(fold, np.ones(6, np.int64), **options, earlier=[first])
    assert second.pipeline is first.pipeline
    assert not np.array_equal(first.rows.values, second.rows.values, equal_nan=True)


def test_synthetic_rows_are_not_augmented():
    real = data(60)
    with pytest.raises(InputError, match="the data set is synthetic; augment the real one"):
        run_module.augment(Dataset(msgspec.structs.replace(real.manifest, synthetic=True), real.splits), AugmentSettings(gate=False))


def test_augment_tells_what_the_gate_found(monkeypatch):
    monkeypatch.setattr(gate, "LEARNERS", ("logistic",))
    monkeypatch.setattr(run_module, "generate", lambda fold, label, **options: made_of(*ward(len(label), 0.5, 9)))
    real = data()
    result = run_module.augment(Dataset(real.manifest, real.splits), AugmentSettings(ratio=2))
    assert result.gate.gains[0].commits is bool(result.made)
    assert result.data.train.synthetic is not None or not result.made
    with one_thread():
        plain = run_module.augment(real, AugmentSettings(gate=False))
    assert plain.gate is None
    assert plain.data.train.synthetic.sum() == 106
