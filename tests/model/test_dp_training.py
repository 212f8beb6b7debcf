"""Differentially private training: the closed form of a step, its noise, its accountant, its secret."""

import json

import numpy as np
import pytest
import torch
from opacus.accountants import RDPAccountant

from tardiff.data.codec import Codec
from tardiff.data.statics import StaticModel
from tardiff.errors import TardiffError
from tardiff.model import dp_training as private
from tardiff.model import training
from tardiff.model.dp_training import PrivateSteps, noise_multiplier
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.settings import TrainSettings
from tests.conftest import tiny_training


def private_training(**changes):
    return tiny_training(TrainSettings, **{"epsilon": 4.0, "delta": 1e-4, "steps": 6, "validate_every": 2, **changes})


def stepped(toy, folder, **changes):
    data, settings = toy[1], private_training(**changes)
    codec, statics = Codec.fit(data.train, data.manifest), StaticModel.fit(data.train, data.manifest)
    rows = training.NoisyRows(data.train, codec, statics, settings)
    networks = training.new_networks(codec, statics, settings)
    with torch.no_grad():  # a new network's last layer is zero, which stops every gradient but its own
        for parameter in networks.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    return PrivateSteps(networks, torch.optim.SGD(networks.parameters(), 0.1), rows, settings, folder), rows, networks


def test_without_noise_a_step_is_the_sum_of_clipped_gradients(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(private, "noise_multiplier", lambda *a: 0.0)
    steps, rows, networks = stepped(toy, tmp_path, gradient_clip=0.5, batch_size=16)
    chosen = steps.chosen(3)
    steps.gradients(3)
    got = {name: parameter.grad.clone() for name, parameter in networks.named_parameters()}
    wanted = {name: torch.zeros_like(gradient) for name, gradient in got.items()}
    clipped = 0
    for row in chosen.tolist():
        gradients = torch.autograd.grad(rows.loss(networks, torch.tensor([row]), 3).sum(), list(networks.parameters()))
        norm = torch.cat([g.flatten() for g in gradients]).norm()
        clipped += float(norm) > 0.5
        for name, gradient in zip(wanted, gradients, strict=True):
            wanted[name] += gradient * min(1.0, 0.5 / float(norm))
    assert clipped > 0
    for name in wanted:
        torch.testing.assert_close(got[name], wanted[name] / 16, rtol=1e-3, atol=1e-6)


def test_noise_has_the_size_that_the_accountant_asks_for(toy, tmp_path):
    steps, *_, networks = stepped(toy, tmp_path, gradient_clip=1e-9)
    steps.gradients(0)
    noise = torch.cat([parameter.grad.flatten() for parameter in networks.parameters()])
    assert float(noise.std()) == pytest.approx(steps.noise * 1e-9 / 32, rel=0.05)


def test_accountant_keeps_its_word():
    noise, accountant = noise_multiplier(4.0, 1e-4, 0.1, 60), RDPAccountant()
    for _ in range(60):
        accountant.step(noise_multiplier=noise, sample_rate=0.1)
    assert 3.9 < accountant.get_epsilon(1e-4) <= 4.01
    assert noise_multiplier(1.0, 1e-4, 0.1, 60) > noise


def test_rows_come_and_go_independently(toy, tmp_path):
    steps, rows, _ = stepped(toy, tmp_path)
    sizes = [len(steps.chosen(step)) for step in range(400)]
    assert np.mean(sizes) == pytest.approx(32, abs=1.5)
    assert np.std(sizes) == pytest.approx(np.sqrt(len(rows) * steps.sample_rate * (1 - steps.sample_rate)), rel=0.2)


def test_a_run_resumes_with_its_secret_and_then_forgets_it(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(private.secrets, "randbits", lambda bits: 776655443322)
    straight = training.train(toy[1], tmp_path / "straight", private_training(), progress=False)
    assert all(entry.keys() <= {"step", "validation_loss"} for entry in straight.card.history)  # no loss of training rows
    assert '"loss"' not in (tmp_path / "straight" / "card.json").read_text()
    gradients = PrivateSteps.gradients

    def dying(self, step):
        if step == 5:
            raise KeyboardInterrupt
        return gradients(self, step)

    monkeypatch.setattr(PrivateSteps, "gradients", dying)
    with pytest.raises(KeyboardInterrupt):
        training.train(toy[1], tmp_path / "run", private_training(), progress=False)
    assert json.loads((tmp_path / "run.partial" / "secret.json").read_text()) == {"key": 776655443322}
    monkeypatch.undo()  # another secret would be drawn now
    resumed = training.train(toy[1], tmp_path / "run", private_training(), progress=False)
    for one, other in zip(straight.unet.parameters(), resumed.unet.parameters(), strict=True):
        assert torch.equal(one, other)
    assert not list(tmp_path.rglob("secret.json"))
    card = TarDiffPipeline.from_pretrained(tmp_path / "run").card
    assert card.privacy["epsilon"] == 4.0
    assert "epsilon 4 at delta 0.0001" in (tmp_path / "run" / "README.md").read_text()
    assert "776655443322" not in "".join(path.read_text(errors="ignore") for path in (tmp_path / "run").rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 500}, "--batch-size 500"),
        ({"delta": 0.01}, "--delta 0.01 protects nobody"),
        ({"epsilon": 0.011, "steps": 10**7}, "out of reach"),
    ],
)
def test_what_cannot_be_private_is_refused(toy, tmp_path, changes, message):
    with pytest.raises(TardiffError, match=message):
        training.train(toy[1], tmp_path / "run", private_training(**changes), progress=False)


def test_without_epsilon_the_card_says_so(run):
    assert run[1].card.privacy == {}
    assert "without differential privacy" in (run[0] / "README.md").read_text()
