import numpy as np
import pytest
import torch

from tardiff.refine.discriminator import DiscriminatorRows, DiscriminatorTrainer
from tardiff.refine.settings import DiscriminatorSettings

SETTINGS = DiscriminatorSettings(width=16, ratio=1.0, batch_size=32)


def rows(count, shift=0.0, seed=0, by_label=0.0):
    random = np.random.default_rng(seed)
    label = torch.from_numpy(random.integers(2, size=count))
    x = torch.from_numpy(random.standard_normal((count, 4, 8)).astype(np.float32)) + shift
    x[:, 0] += by_label * (2 * label[:, None] - 1)
    return DiscriminatorRows(x, torch.zeros(count, 1), label)


def trainer(real, held=None, **changes):
    from dataclasses import replace

    return DiscriminatorTrainer(real, held, 2, replace(SETTINGS, **changes), 5e-3, 0)


def test_tells_shifted_samples_from_real_rows_and_not_equal_ones():
    real, held = rows(200), rows(100, seed=1)
    taught = trainer(real, held)
    told = taught.learn(rows(200, 0.7, seed=2), 60)
    assert min(told["discriminator_fake"], told["discriminator_held"]) > 0.85
    assert float(taught.logit(held).mean()) > 0.5 > -0.5 > float(taught.logit(rows(100, 0.7, seed=3)).mean())


def test_label_counts():
    """Samples of the right kind under the wrong label are told."""
    real = rows(300, by_label=1.5)
    fake = rows(300, by_label=-1.5, seed=1)
    assert trainer(real).learn(fake, 80)["discriminator_fake"] > 0.8


def test_r1_flattens_it_at_real_rows():
    def slope(r1):
        taught = trainer(rows(200), r1=r1)
        taught.learn(rows(200, 0.7, seed=2), 60)
        x = rows(100, seed=1).x.requires_grad_(True)
        slopes = torch.autograd.grad(taught.network(x, torch.zeros(100, 1), torch.zeros(100, dtype=torch.int64)).sum(), x)[0]
        return float(slopes.flatten(1).norm(dim=1).mean())

    assert slope(10.0) < 0.7 * slope(0.0)


def test_pseudo_real_rows_appear_when_it_is_sure_and_hold_it_back():
    few, fake = rows(20), rows(200, 1.0, seed=2)
    held_back, free = trainer(few, pseudo=0.3), trainer(few, pseudo=1.0)
    assert held_back.learn(fake, 60)["pseudo"] > 0
    assert free.learn(fake, 60)["pseudo"] == 0
    assert float(held_back.logit(few).mean()) < float(free.logit(few).mean())


def test_learning_rate_is_a_ratio_and_weights_come_from_the_seed():
    first, second = trainer(rows(20), ratio=0.25), trainer(rows(20), ratio=0.25)
    assert first.optimizer.param_groups[0]["lr"] == pytest.approx(0.25 * 5e-3)
    torch.randn(3)
    for taught in (first, second):
        taught.learn(rows(20, seed=1), 3)
    assert all(torch.equal(a, b) for a, b in zip(first.network.parameters(), second.network.parameters(), strict=True))
