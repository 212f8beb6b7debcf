import math

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler

from tardiff.base.device import chunk_rows
from tardiff.base.noise import normal, row_seeds
from tardiff.data.resolution import ABSENT, FIRST_GRID
from tardiff.errors import TardiffError
from tardiff.model.diffusion import PROCESS, denoising_loss, diffuse, noise_schedule
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.model.sampling import dpm_solver, in_chunks, sample
from tardiff.settings import SamplerSettings

MEAN, SD = 1.5, 0.4
ALPHA_BAR = noise_schedule().alphas_cumprod.double()


def everywhere(rows, shape=(2, 5)):
    """Charts on which every entry is charted."""
    return torch.full((rows, *shape), FIRST_GRID)


def gaussian(x_t, timestep, label, static=None, chart=None):
    """The exact denoiser of N(+-MEAN, SD^2), the sign by label: v = (alpha x - E[x0 | x]) / sigma."""
    position = timestep.double()
    low = position.long().clamp(max=998)
    alpha_bar = torch.cos(torch.lerp(ALPHA_BAR[low].sqrt().acos(), ALPHA_BAR[low + 1].sqrt().acos(), position - low)) ** 2
    alpha, sigma = alpha_bar.sqrt()[:, None, None], (1 - alpha_bar).sqrt()[:, None, None]
    mean = MEAN * (2.0 * label.double()[:, None, None] - 1)
    x0 = mean + alpha * SD**2 / (alpha**2 * SD**2 + sigma**2) * (x_t.double() - alpha * mean)
    return ((alpha * x_t - x0) / sigma).float()


class Push:
    """A guide that moves every entry by a constant."""

    through_denoiser = False

    def __init__(self, size, window=1.0):
        self.size, self.window = size, window

    def acts(self, step):
        return step.index < self.window * step.count

    def __call__(self, x0_hat, chart, label, step, x_t):
        return torch.full_like(x0_hat, self.size)


SCHEDULERS = {
    "ddim": noise_schedule,
    "dpm": lambda: dpm_solver(0),
    "dpm stochastic": lambda: dpm_solver(1),
    "euler": lambda: EulerDiscreteScheduler(**PROCESS),
    "ode": lambda: "ode",
}


@pytest.mark.parametrize("name", SCHEDULERS)
class TestEveryScheduler:
    """What each way of running the reverse process must keep."""

    def draw(self, name, rows=range(100), seed=0, steps=20, **options):
        label = torch.tensor([row % 2 for row in rows])
        return sample(gaussian, SCHEDULERS[name](), label, everywhere(len(label)), seeds=row_seeds(seed, rows), steps=steps, **options)

    def test_gives_the_known_distribution(self, name):
        x = self.draw(name, rows=range(600), steps=40)
        for label in (0, 1):
            part = x[label::2]
            assert float(part.mean()) == pytest.approx(MEAN * (2 * label - 1), abs=0.04)
            assert float(part.std()) == pytest.approx(SD, rel=0.15)

    def test_a_row_depends_on_its_seed_alone(self, name):
        together = self.draw(name)
        assert torch.equal(self.draw(name, batch_size=17), together)
        assert torch.equal(self.draw(name, rows=range(60, 80)), together[60:80])
        assert torch.equal(self.draw(name, rows=[3]), together[3:4])
        assert not torch.equal(self.draw(name, seed=1), together)

    def test_a_guide_that_changes_nothing_changes_nothing(self, name):
        guided = self.draw(name, guide=Push(0.0))
        assert torch.equal(guided, self.draw(name))

    def test_a_guide_is_applied(self, name):
        guided = self.draw(name, guide=Push(0.1))
        assert float((guided - self.draw(name)).mean()) > 0.05

    def test_projection_holds(self, name):
        assert float(self.draw(name, project=lambda x, chart: x.clamp(-1, 1)).abs().max()) < 1.1

    def test_callback_sees_every_step_of_every_row(self, name):
        seen = []
        self.draw(name, batch_size=30, callback=lambda step, x, x_next, change: seen.append((step, len(x))))
        assert sum(rows for step, rows in seen) == 100 * 20
        assert {step.index for step, _ in seen} == set(range(20))
        for step, _ in seen:
            assert step.alpha**2 + step.sigma**2 == pytest.approx(1)


def test_scheduler_with_noise_of_its_own_is_refused():
    label = torch.zeros(3, dtype=torch.long)
    with pytest.raises(TardiffError, match="DDPMScheduler draws its own noise"):
        sample(gaussian, DDPMScheduler(**PROCESS), label, everywhere(3), seeds=[1, 2, 3], steps=5)


def test_dpm_takes_no_share_between():
    with pytest.raises(TardiffError, match=r"--eta 0\.5"):
        dpm_solver(0.5)


def test_library_scheduler_agrees_when_left_alone():
    """Turning x0_hat back into v must not move a sample: against the scheduler's own loop without it."""
    scheduler, label = DPMSolverMultistepScheduler(**PROCESS, lambda_min_clipped=-5.1), torch.ones(8, dtype=torch.long)
    scheduler.set_timesteps(20)
    x = normal("start", row_seeds(0, range(8)), 0, (2, 5))
    for t in scheduler.timesteps:
        x = scheduler.step(gaussian(x, t.expand(8), label), t, x, return_dict=False)[0]
    ours = sample(gaussian, dpm_solver(0), label, everywhere(8), seeds=row_seeds(0, range(8)), steps=20)
    torch.testing.assert_close(ours, x, atol=1e-4, rtol=0)


def test_probability_flow_maps_noise_as_the_closed_form_says():
    """For Gaussian data the flow is x0 = mean + sd * noise."""
    seeds, label = row_seeds(0, range(20)), torch.ones(20, dtype=torch.long)
    x0 = sample(gaussian, "ode", label, everywhere(20), seeds=seeds, steps=100)
    torch.testing.assert_close(x0, MEAN + SD * normal("start", seeds, 0, (2, 5)), atol=0.02, rtol=0)


def test_chunks_are_padded_to_one_size():
    sizes = []

    def function(x, missing, y):
        assert missing is None
        sizes.append(len(x))
        return (x + y,)

    x = torch.arange(150.0)
    assert torch.equal(in_chunks(function, x, None, 2 * x)[0], 3 * x)
    assert sizes == [chunk_rows(x.device)] * 3


def test_what_left_the_finite_numbers_is_refused(run):
    broken = TarDiffPipeline.from_pretrained(run[0])
    with torch.no_grad():
        broken.unet.leave[2].bias.fill_(math.nan)
    with pytest.raises(TardiffError, match="--sampler ddim --steps 3 gave numbers that are not finite; choose another number of steps"):
        broken(np.zeros(2, dtype=np.int64), row_seeds(0, range(2)), SamplerSettings(sampler="ddim", steps=3))


def test_no_rows_give_no_samples():
    assert sample(gaussian, noise_schedule(), torch.zeros(0, dtype=torch.long), everywhere(0), seeds=[]).shape == (0, 2, 5)


def test_velocity_target_is_consistent():
    x0, eps = torch.randn(4, 2, 5), torch.randn(4, 2, 5)
    alpha_bar = torch.tensor([0.9, 0.5, 0.1, 0.001])
    x_t, v = diffuse(x0, eps, alpha_bar)
    alpha, sigma = alpha_bar.sqrt()[:, None, None], (1 - alpha_bar).sqrt()[:, None, None]
    torch.testing.assert_close(alpha * x_t - sigma * v, x0)
    torch.testing.assert_close(sigma * x_t + alpha * v, eps)


def test_loss_is_over_what_is_charted():
    chart = torch.tensor([[[FIRST_GRID, ABSENT], [FIRST_GRID, FIRST_GRID]], [[ABSENT, ABSENT], [ABSENT, ABSENT]]])
    error = torch.tensor([[[1.0, 2.0], [3.0, 0.0]], [[1.0, 1.0], [1.0, 1.0]]])
    assert denoising_loss(error, torch.zeros_like(error), chart).tolist() == pytest.approx([(1 + 9) / 3, 0])


def test_what_is_not_charted_is_zero():
    chart = everywhere(40)
    chart[:, 0, 2:] = ABSENT
    label = torch.ones(40, dtype=torch.long)
    x0 = sample(gaussian, dpm_solver(1), label, chart, seeds=row_seeds(0, range(40)))
    assert not x0[chart == ABSENT].any()
    assert (x0[chart != ABSENT] != 0).all()
