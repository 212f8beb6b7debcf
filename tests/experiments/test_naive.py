"""The benchmarks' naive implementation computes what the package does; only then is a ratio of their times about speed."""

import pytest
import torch
from diffusers import DDIMScheduler
from torch import nn
from torch.nn import functional as F

from experiments.benchmarks import convolution, naive
from tardiff.classifier.networks import build
from tardiff.guidance.gradient_guide import GradientGuide, gradient_over_x
from tardiff.guidance.influence import InfluenceObjective, raw_influence
from tardiff.model.sampling import Step
from tardiff.model.unet import conv
from tardiff.settings import ClassifierSettings

VALUES, BITS = 3, 3


@pytest.fixture
def task():
    """A classifier, a direction for its last layer (none for the other weights), records and labels."""
    generator = torch.Generator().manual_seed(0)
    classifier = build(ClassifierSettings("committee", width=8), VALUES + BITS, 2).eval()
    v = {name: torch.zeros_like(p) for name, p in classifier.named_parameters()}
    for name in ("head.weight", "head.bias"):
        v[name] = torch.randn(v[name].shape, generator=generator)
    return classifier, v, torch.randn(5, VALUES + BITS, 8, generator=generator), torch.arange(5) % 2


def objective(classifier, v):
    """The package's raw influence along the same direction, in closed form."""
    head = torch.cat([v["head.weight"], v["head.bias"][:, None]], dim=1)
    return InfluenceObjective([classifier], [head.expand(2, *head.shape)], raw_influence)


def see(x):
    return torch.cat([x[:, :VALUES], x[:, VALUES:].sigmoid()], dim=1)


def test_guidance_gradient_is_the_packages(task):
    classifier, v, x, label = task
    ours = gradient_over_x(objective(classifier, v), lambda x, chart: see(x), x, x, label)
    torch.testing.assert_close(naive.influence_gradient(classifier, v, see, x, label), ours, rtol=1e-4, atol=1e-6)
    assert ours.abs().max() > 0.01


def test_convolution_is_the_packages():
    layer = conv(8, 6).to(memory_format=torch.channels_last)
    plain = nn.Conv1d(8, 6, 3, padding=1)
    plain.load_state_dict({"weight": layer.weight[:, :, 0], "bias": layer.bias})
    x = torch.randn(4, 8, 10, generator=torch.Generator().manual_seed(1))
    ours = layer(x[:, :, None].contiguous(memory_format=torch.channels_last))[:, :, 0]
    torch.testing.assert_close(plain(x), ours, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", convolution.LAYOUTS)
@torch.no_grad()
def test_every_layout_is_the_same_convolution(name):
    generator = torch.Generator().manual_seed(2)
    x, weight, bias = (torch.randn(shape, generator=generator) for shape in ((4, 8, 10), (6, 8, 3), (6,)))
    run, back = convolution.LAYOUTS[name](x, weight, bias)
    torch.testing.assert_close(back(run()), F.conv1d(x, weight, bias, padding=1), rtol=1e-5, atol=1e-5)


class Linear(nn.Module):
    """A denoiser whose answer can be written down."""

    def forward(self, x_t, timestep, label):
        return 0.3 * x_t + 0.001 * timestep[:, None, None]


def test_reverse_loop_is_stochastic_ddim():
    torch.manual_seed(3)
    ours = naive.reverse(Linear(), torch.arange(4) % 2, (VALUES, 8), steps=naive.DIFFUSION_STEPS)
    scheduler = DDIMScheduler(naive.DIFFUSION_STEPS, beta_start=5e-4, beta_end=0.1, clip_sample=False)
    scheduler.set_timesteps(naive.DIFFUSION_STEPS)
    torch.manual_seed(3)
    x = torch.randn(4, VALUES, 8)
    for t in scheduler.timesteps:
        eps = Linear()(x, torch.full((4,), int(t)), None)
        x = scheduler.step(eps, t, x, eta=1.0, variance_noise=torch.randn_like(x)).prev_sample
    torch.testing.assert_close(ours, x, rtol=1e-3, atol=1e-3)


def test_change_of_the_clean_estimate_is_the_packages(task, monkeypatch):
    """One step from pure noise; the guided loop differs from the unguided one by the change, whatever way it takes to x."""
    classifier, v, x, label = task
    bar = naive.ALPHA_BAR[-1]
    step = Step(0, 1, naive.DIFFUSION_STEPS - 1, float(bar.sqrt()), float((1 - bar).sqrt()))
    guidance = lambda x0_hat, label: naive.influence_gradient(classifier, v, see, x0_hat, label)  # noqa: E731
    drawn = []
    for options in ({}, {"guidance": guidance, "strength": 0.1}):
        torch.manual_seed(4)
        drawn.append(naive.reverse(Linear(), label, x.shape[1:], steps=1, **options))
    guide = GradientGuide(((1.0, objective(classifier, v)),), lambda x, chart: see(x), strength=0.1, window=1.0, clip=3.0)
    change = guide(drawn[0], drawn[0], label, step, drawn[0])  # the last step is noiseless, so it ends in the clean estimate
    torch.testing.assert_close(drawn[1] - drawn[0], change, rtol=1e-3, atol=1e-4)


def test_published_size():
    with torch.device("meta"):
        unet = naive.NaiveUNet(7, 2)
    assert sum(p.numel() for p in unet.parameters()) == 21_722_375


def test_training_learns():
    torch.manual_seed(5)
    training = naive.Training(naive.NaiveUNet(VALUES, 2, width=32, multiples=(1, 2), blocks=1))
    x0, label = torch.zeros(8, VALUES, 8), torch.arange(8) % 2
    losses = [training.step(x0, label) for _ in range(60)]
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])
