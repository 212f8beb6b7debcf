import copy
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tardiff.base.noise import normal, row_seeds
from tardiff.data.resolution import FIRST_GRID
from tardiff.refine.generator import Rollout, Scored
from tardiff.refine.ppo import LossWeights, approximate_kl, clipped_loss, explained_variance, loss_terms, ppo_update, whiten_by_class
from tardiff.refine.settings import PPOSettings
from tardiff.refine.trajectories import gaussian_kl, gaussian_log_prob

SPREAD = 0.5
EVERYWHERE = torch.full((1, 2, 4), FIRST_GRID)


class VAE(nn.Module):
    """A small VAE with linear maps: z given x is normal, x given z is W z + b + SPREAD * noise."""

    def __init__(self):
        super().__init__()
        self.encode = nn.Linear(2 * 4, 2 * 2)
        self.decode = nn.Linear(2, 2 * 4)

    def elbo(self, x):
        """Evidence lower bound, per row and up to a constant."""
        mean, log_std = self.encode(x).chunk(2, dim=1)
        z = mean + log_std.exp() * torch.randn_like(mean)
        divergence = 0.5 * (mean.square() + (2 * log_std).exp() - 1 - 2 * log_std).sum(1)
        return (-0.5 * ((x - self.decode(z)) / SPREAD).square().sum(1) - divergence).mean()


@cache
def trained_vae():
    """A VAE that knows sequences of two channels, each a level of its own times a ramp."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        vae = VAE()
        optimizer = torch.optim.Adam(vae.parameters(), 1e-2)
        ramp = torch.linspace(0.5, 1.5, 4)
        for _ in range(300):
            x = torch.randn(128, 2, 1) * ramp + SPREAD * torch.randn(128, 2, 4)
            loss = -vae.elbo(x.flatten(1))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        likeness = torch.corrcoef(vae.decode(torch.randn(1000, 2)).detach().T)
    assert likeness[0, 3] > 0.9  # steps of one channel
    assert abs(likeness[0, 4]) < 0.2  # channels
    return vae


class VAEGenerator:
    """All that PPO needs of a generator: the decoder is the policy, and knows z."""

    def __init__(self):
        self.module, self.base = (copy.deepcopy(trained_vae()) for _ in range(2))

    def mean(self, decode, z):
        return decode(z).unflatten(1, (2, 4))

    @torch.no_grad()
    def sample(self, label, seeds):
        z = normal("latent", seeds, 0, (2,))
        mean = self.mean(self.module.decode, z)
        x = mean + SPREAD * normal("noise", seeds, 0, (2, 4))
        log_prob = gaussian_log_prob(x, mean, torch.tensor(SPREAD), EVERYWHERE)
        chart, nobody = EVERYWHERE.expand(len(x), 2, 4), np.zeros((len(label), 0), np.float32)
        return Rollout(x, chart, nobody, torch.from_numpy(label), log_prob[:, None], {"z": z})

    def score(self, rollout, rows, steps):
        z = rollout.state["z"][rows]
        mean, std = self.mean(self.module.decode, z), torch.tensor(SPREAD)
        base = self.mean(self.base.decode, z).detach()
        return Scored(gaussian_log_prob(rollout.x0[rows], mean, std, EVERYWHERE), gaussian_kl(mean, base, std, EVERYWHERE))


def test_loss_on_hand_computed_numbers():
    ratio, advantage = torch.tensor([1.0, 1.5, 1.5, 0.5, 0.5]), torch.tensor([2.0, 1.0, -1.0, 1.0, -1.0])
    assert torch.allclose(clipped_loss(ratio, advantage, 0.2), torch.tensor([-2.0, -1.2, 1.5, -0.5, 0.8]))


def test_whole_loss_on_hand_computed_numbers():
    scored = Scored(torch.tensor([0.0, np.log(1.5)]), torch.tensor([0.1, 0.3]), torch.tensor([2.0, 4.0]), torch.tensor([1.0, 0.0]))
    weights = LossWeights(kl=0.5, vf_coef=0.25, ent_coef=0.1)
    loss, logged = loss_terms(scored, torch.zeros(2), torch.tensor([1.0, 1.0]), torch.tensor([0.0, 2.0]), 0.2, weights)
    assert float(loss) == pytest.approx(-(1 + 1.2) / 2 + 0.5 * 0.2 + 0.25 * (1 + 4) / 2 - 0.1 * 3)
    assert logged["clip_fraction"].tolist() == [0, 1]
    assert float(logged["approx_kl"][1]) == pytest.approx(0.5 - np.log(1.5))


@given(st.lists(st.tuples(st.floats(-1e3, 1e3), st.integers(0, 2)), min_size=2, max_size=40))
def test_advantages_are_white_within_each_class(rows):
    reward, label = np.array([r for r, _ in rows]), np.array([c for _, c in rows])
    white = whiten_by_class(reward, label)
    for c in np.unique(label):
        ours = white[label == c]
        assert abs(ours.mean()) < 1e-6
        assert ours.std() == pytest.approx(1, abs=1e-6) or not ours.any()
    changed = whiten_by_class(3 * reward + 5, label)
    for c in np.unique(label):
        assert np.allclose(changed[label == c], white[label == c], atol=1e-4) or reward[label == c].std() < 1e-9


def test_a_class_whose_rewards_do_not_differ_teaches_nothing():
    reward, label = np.array([1.0, 3.0, 5.0, 2.0, 2.0], np.float32), np.array([0, 0, 1, 2, 2])
    assert whiten_by_class(reward, label).tolist() == [-1, 1, 0, 0, 0]


def test_approximate_kl_and_explained_variance():
    assert approximate_kl(torch.zeros(3)).tolist() == [0, 0, 0]
    assert (approximate_kl(torch.linspace(-1, 1, 9)) >= 0).all()
    reward = np.array([0.0, 1.0, 2.0])
    assert explained_variance(reward, reward) == 1
    assert explained_variance(np.ones(3), reward) == 0
    assert explained_variance(np.ones(3), np.ones(3)) == 0


def run_toy(kl, iterations):
    """Reward is the mean of channel 0; returns how far its expectation moved, and the first rollout's spread of it."""
    generator = VAEGenerator()
    label = np.zeros(256, dtype=np.int64)
    optimizer = torch.optim.SGD(generator.module.decode.parameters(), 1.0)
    settings = PPOSettings(clip_coef=10.0, update_epochs=1, share=1.0, max_grad_norm=1e9)
    moved, spread = [], 0.0
    for iteration in range(iterations):
        rollout = generator.sample(label, row_seeds(iteration, range(256)))
        reward = rollout.x0[:, 0].mean(-1).numpy()
        spread = spread or reward.std()
        ppo_update(generator, optimizer, rollout, whiten_by_class(reward, label), settings, LossWeights(kl=kl), 0, iteration)
        moved.append(float((generator.module.decode.bias - generator.base.decode.bias).detach()[:4].mean()))
    return np.mean(moved[-12:]), spread


def test_ppo_moves_the_reward_as_predicted_and_kl_holds_it():
    """The pull E[A eps] / s balances the divergence's kl * shift / s^2 at shift = s^2 / (kl * entries * sd of the reward).

    Any generator with `sample` and `score` will do; this one is a small VAE.
    """
    for kl in (2.0, 0.5):
        moved, spread = run_toy(kl, 30)
        assert moved == pytest.approx(SPREAD**2 / (kl * 4 * spread), rel=0.25)
    free, _ = run_toy(0.0, 30)
    assert free > 2 * moved


@pytest.mark.parametrize("clip_coef", [0.02, 10.0])
def test_clip_holds_the_ratio_over_several_epochs(clip_coef):
    """Where the clip binds, later epochs push no decision further; where it does not, they do. How far, on average over noises."""
    label, spreads = np.zeros(256, dtype=np.int64), []
    for seed in range(8):
        generator, seeds = VAEGenerator(), row_seeds(seed, range(256))
        optimizer = torch.optim.SGD(generator.module.decode.parameters(), 0.5)
        settings = PPOSettings(clip_coef=clip_coef, update_epochs=6, minibatch_size=64, share=1.0, max_grad_norm=1e9)
        rollout = generator.sample(label, seeds)
        reward = rollout.x0[:, 0].mean(-1).numpy()
        stats = ppo_update(generator, optimizer, rollout, whiten_by_class(reward, label), settings, LossWeights(), 0, 0)
        again = generator.sample(label, seeds)  # of the same noise
        assert again.x0[:, 0].mean() > rollout.x0[:, 0].mean() + 0.01
        assert stats["clip_fraction"] == 0 if clip_coef == 10.0 else 0.1 < stats["clip_fraction"] < 0.9
        spreads.append(stats["ratio_spread"])
    assert np.mean(spreads) > 0.3 if clip_coef == 10.0 else np.mean(spreads) < 0.2
