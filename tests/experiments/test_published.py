"""The rule of TarDiff's released code, as the harness compares it."""

import numpy as np
import pytest
import torch

from experiments.harness.published import published_guide
from tardiff.base.noise import row_seeds
from tardiff.model.sampling import UNGUIDED, Step

STEP = Step(index=0, count=10, timestep=900.0, alpha=0.3, sigma=0.95)


@pytest.fixture(scope="module")
def guide(clf, toy):
    return published_guide(clf[1], toy[1].train)


def test_follows_the_release_step_by_step(guide, clf, toy):
    """alpha g with g = alpha grad <normalised gradient of the batch-mean loss, normalised v>, and x shrunk by 1 - alpha."""
    codec, classifier, train = clf[1].codec, clf[1].classifier, toy[1].train
    x, label = torch.randn(6, 4, 10, generator=torch.Generator().manual_seed(0)), torch.arange(6) % 2
    chart = codec.entries(train.take(np.arange(6))).chart
    parameters = list(classifier.parameters())
    guidance_loss = classifier.loss(codec.encode(train), torch.from_numpy(train.label)).sum()
    v = torch.cat([t.flatten() for t in torch.autograd.grad(guidance_loss, parameters)])
    inputs = x.clone().requires_grad_(True)
    loss = classifier.loss(codec.seen(inputs, chart), label).mean()
    g = torch.cat([t.flatten() for t in torch.autograd.grad(loss, parameters, create_graph=True)])
    gradient = 1e-5 * torch.autograd.grad((g / (g.norm() + 1e-6) * (v / v.norm())).sum(), inputs)[0]
    by_hand = (1 - 1e-5) * x + 1e-5 * gradient
    torch.testing.assert_close(x + guide(x, chart, label, STEP, x), by_hand, atol=1e-9, rtol=1e-6)
    # a sample's guidance depends on its neighbours, which is one of its faults
    assert not torch.allclose(guide.gradient(x, chart, label)[:2], guide.gradient(x[:2], chart[:2], label[:2]), rtol=1e-2)


def test_changes_nothing(guide, run):
    label, seeds = np.arange(64) % 2, row_seeds(0, range(64))
    guided, unguided = (run[1](label, seeds, guide=steer).x0 for steer in (guide, UNGUIDED))
    assert not torch.equal(guided, unguided)
    assert (guided - unguided).square().mean().sqrt() < 1e-3
