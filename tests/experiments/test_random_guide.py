"""The control that moves samples as far as a guide does, and means nothing."""

import numpy as np
import pytest
import torch

from experiments.harness.random_guide import RandomGuide, moved_at_random, strength_of
from tardiff.model.sampling import Step
from tardiff.settings import GuidanceSettings
from tardiff.synthesis.run import synthesise


def test_a_change_is_strength_times_sigma_along_the_classs_direction():
    guide = RandomGuide.draw(2, 3, 8, 0.4, 0)
    guide = RandomGuide(guide.direction, 0.2, 0.4)
    step = Step(index=1, count=10, timestep=900.0, alpha=0.3, sigma=0.5)
    x = torch.randn(4, 3, 8)
    change = guide(x, x, torch.tensor([0, 1, 0, 1]), step, x)
    torch.testing.assert_close(change.square().mean((1, 2)).sqrt(), torch.full((4,), 0.1))
    assert torch.equal(change[0], change[2])
    assert not torch.equal(change[0], change[1])
    assert [guide.acts(Step(i, 10, 0.0, 1.0, 0.0)) for i in (0, 3, 4)] == [True, True, False]
    assert torch.equal(RandomGuide.draw(2, 3, 8, 0.4, 0).direction, guide.direction)


def test_a_strength_is_found_by_halving():
    assert strength_of(lambda strength: 0.1 + 0.3 * strength, 0.4) == pytest.approx(1.0, abs=0.05)
    assert strength_of(lambda strength: 0.5 + strength, 0.4) == 0.0


def test_samples_move_as_far_as_the_guides(run, clf):
    label = np.arange(80) % 2
    guidance = GuidanceSettings(objective="cosine=1", strength=0.3)
    wanted = synthesise(run[1], 80, classifier=clf[1], guidance=guidance, label=label, progress=False).movement.value
    samples, moved = moved_at_random(run[1], clf[1], guidance, label, 0)
    assert moved == pytest.approx(wanted, rel=0.1)
    assert samples.label.tolist() == label.tolist()
