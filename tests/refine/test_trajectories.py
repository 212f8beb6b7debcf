import copy

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from tardiff.base.noise import row_seeds
from tardiff.data.resolution import ABSENT, FIRST_GRID
from tardiff.refine.awm import MatchingGenerator
from tardiff.refine.ppo import LossWeights, ppo_update, probability_ratio
from tardiff.refine.settings import PPOSettings
from tardiff.refine.trajectories import DiffusionGenerator, Places, gaussian_kl, gaussian_log_prob
from tardiff.settings import SamplerSettings

STEPS = 8
LABEL = np.arange(70) % 2
SEEDS = row_seeds(0, range(70))


@pytest.fixture
def generator(base):
    from tardiff.refine.run import _copy

    return DiffusionGenerator(_copy(base[0]), STEPS)


@pytest.mark.parametrize("steps", [2, 3, STEPS, 20])
def test_the_policy_is_the_default_sampler(base, steps):
    """So a user's samples are such as the rewards have read."""
    generator = DiffusionGenerator(base[0], steps)
    sampled = base[0](LABEL, SEEDS, SamplerSettings(steps=steps)).x0
    assert torch.allclose(generator.sample(LABEL, SEEDS).x0, sampled, atol=2e-4)


def test_a_row_does_not_depend_on_its_batch(generator):
    many, few = generator.sample(LABEL, SEEDS), generator.sample(LABEL[:3], SEEDS[:3])
    assert torch.equal(many.x0[:3], few.x0)
    assert torch.equal(many.log_prob[:3], few.log_prob)


def test_spread_of_a_step_is_that_of_the_posterior():
    """The step's variance is that of q(x_s | x_t, x0), its mean is exact where the clean estimate is, and the last step has no spread."""
    places = Places.of(STEPS, torch.device("cpu"))
    bar, after = (places.alpha.double() ** 2).unfold(0, 2, 1).unbind(1)
    assert torch.allclose(places.std[:-1].double() ** 2, (1 - after) / (1 - bar) * (1 - bar / after), atol=1e-6)
    assert torch.allclose((places.keep * places.alpha + places.gain)[:-1], places.alpha[1:], atol=1e-6)
    assert places.keep[-1] == places.std[-1] == 0
    assert places.gain[-1] == 1
    assert (places.std[:-1] > 0).all()


@pytest.mark.parametrize("kind", [DiffusionGenerator, MatchingGenerator])
def test_first_ratio_is_exactly_1(generator, kind):
    """Scored again in any order and mix of steps, before any update, decisions have the very probability that was stored."""
    policy = kind(generator.pipeline, STEPS)
    rollout = policy.sample(LABEL, SEEDS)
    order = torch.randperm(rollout.log_prob.numel(), generator=torch.Generator().manual_seed(0))[:150]
    rows, steps = order // rollout.decisions, order % rollout.decisions
    scored = policy.score(rollout, rows, steps)
    assert torch.equal(probability_ratio(scored.log_prob, rollout.log_prob[rows, steps]), torch.ones(150))
    assert torch.equal(scored.kl, torch.zeros(150))


def test_first_minibatch_has_ratio_1_and_later_ones_do_not(generator):
    rollout = generator.sample(LABEL, SEEDS)
    reward = np.random.default_rng(0).normal(size=70)

    def ratio_spread(minibatches):
        optimizer = torch.optim.Adam(generator.module.parameters(), 1e-3)
        settings = PPOSettings(minibatch_size=64, update_epochs=1, share=minibatches * 64 / rollout.log_prob.numel())
        return ppo_update(generator, optimizer, rollout, reward, settings, LossWeights(), 0, iteration=0)["ratio_spread"]

    before = copy.deepcopy(generator.module.state_dict())
    assert ratio_spread(1) == 0
    generator.module.load_state_dict(before)
    assert ratio_spread(2) > 0


def test_log_probability_and_divergence_in_closed_form():
    x, mean, other = torch.randn(3, 4, 2, 5, generator=torch.Generator().manual_seed(0)).unbind(0)
    std = torch.tensor(0.3).expand(4, 1, 1)
    chart = torch.full(x.shape, FIRST_GRID)
    assert torch.allclose(gaussian_log_prob(x, mean, std, chart), Normal(mean, std).log_prob(x).mean((1, 2)), atol=1e-4)
    apart = kl_divergence(Normal(mean, std), Normal(other, std))
    assert torch.allclose(gaussian_kl(mean, other, std, chart), apart.mean((1, 2)), atol=1e-4)
    chart[:, 1] = ABSENT
    assert torch.allclose(gaussian_kl(mean, other, std, chart), apart[:, 0].mean(1), atol=1e-4)


def test_gradient_of_the_log_probability_against_finite_differences(generator):
    """Over the last layer's bias, in which it is quadratic, so that a central difference has no error but rounding."""
    rollout = generator.sample(LABEL, SEEDS)
    rows, steps = torch.arange(64), torch.full((64,), 2)
    bias = generator.unet.leave[2].bias
    gradient = torch.autograd.grad(generator.score(rollout, rows, steps).log_prob.mean(), bias)[0]
    for channel in (0, 3):
        values = []
        for change in (0.02, -0.04):
            with torch.no_grad():
                bias[channel] += change
            values.append(float(generator.score(rollout, rows, steps).log_prob.detach().double().mean()))
        with torch.no_grad():
            bias[channel] += 0.02
        assert (values[0] - values[1]) / 0.04 == pytest.approx(float(gradient[channel]), rel=0.02, abs=1e-4)
