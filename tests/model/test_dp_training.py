"""Differentially private training: the closed form of a step, its noise, its accountant, its secret."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from opacus.accountants import RDPAccountant
from safetensors import safe_open

from tardiff.audit.run import fitted_on_train
from tardiff.compare.run import opened
from tardiff.data.codec import Codec
from tardiff.data.dataset import Dataset
from tardiff.data.statics import StaticModel
from tardiff.errors import TardiffError
from tardiff.evaluate.opening import check_made_from
from tardiff.model import dp_training as private
from tardiff.model import training
from tardiff.model.dp_training import PrivateSteps, noise_multiplier
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.refine.run import _check_match
from tardiff.settings import CompareSettings, TrainSettings
from tests.conftest import make_split, tiny_training


def private_training(**changes):
    return tiny_training(TrainSettings, **{"epsilon": 4.0, "delta": 1e-4, "steps": 6, "validate_every": 2, **changes})


SECRET = 776655443322


@pytest.fixture(scope="module")
def straight(toy, tmp_path_factory):
    """A private run and its folder, whose secret is known."""
    path = tmp_path_factory.mktemp("private") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(private.secrets, "randbits", lambda bits: SECRET)
        return training.train(toy[1], path, private_training(), progress=False), path


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


def test_a_run_resumes_with_its_secret_and_then_forgets_it(toy, straight, tmp_path, monkeypatch):
    monkeypatch.setattr(private.secrets, "randbits", lambda bits: SECRET)
    whole, folder = straight
    assert all(entry.keys() <= {"step", "validation_loss"} for entry in whole.card.history)  # no loss of training rows
    assert '"loss"' not in (folder / "card.json").read_text()
    gradients = PrivateSteps.gradients

    def dying(self, step):
        if step == 5:
            raise KeyboardInterrupt
        return gradients(self, step)

    monkeypatch.setattr(PrivateSteps, "gradients", dying)
    with pytest.raises(KeyboardInterrupt):
        training.train(toy[1], tmp_path / "run", private_training(), progress=False)
    assert json.loads((tmp_path / "run.partial" / "secret.json").read_text()) == {"key": SECRET}
    with safe_open(tmp_path / "run.partial" / "checkpoint.safetensors", "pt") as kept:
        assert [set(entry) for entry in json.loads(kept.metadata()["progress"])["history"]] == [{"step", "validation_loss"}] * 2
    monkeypatch.undo()  # another secret would be drawn now
    resumed = training.train(toy[1], tmp_path / "run", private_training(), progress=False)
    for one, other in zip(whole.unet.parameters(), resumed.unet.parameters(), strict=True):
        assert torch.equal(one, other)
    assert not [file for path in (tmp_path, folder.parent) for file in path.rglob("secret.json")]
    card = TarDiffPipeline.from_pretrained(tmp_path / "run").card
    assert card.privacy["epsilon"] == 4.0
    assert "epsilon 4 at delta 0.0001" in (tmp_path / "run" / "README.md").read_text()
    assert str(SECRET) not in "".join(path.read_text(errors="ignore") for path in (tmp_path / "run").rglob("*") if path.is_file())


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


def other_rows(data):
    """The data set with other training patients: other values, charting, descriptors and labels, and as many."""
    rows = make_split(len(data.train), 77, 50_000)
    values = np.where(rows.mask == 1, rows.values * np.float32(1.1) + np.float32(0.25), np.nan)
    changed = replace(rows, values=values, static=rows.static + 3, label=1 - rows.label)
    return Dataset(data.manifest, {**data.splits, "train": changed}).completed()


def public(folder):
    """Every file of a folder as text or bytes, but weights, which carry the noise, and what follows from them: validation losses."""
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        if path.name == "card.json":
            content = json.dumps(json.loads(content) | {"history": []}).encode()
        if path.name == "README.md":
            content = re.sub(rb"### Losses.*?## Evaluation", b"", content, flags=re.DOTALL)
        found[str(path.relative_to(folder))] = content
    weights = {name for name in found if name.endswith(".safetensors")}
    assert weights == {"unet/diffusion_pytorch_model.safetensors", "charting/diffusion_pytorch_model.safetensors"}
    return {name: content for name, content in found.items() if name not in weights}


def test_no_other_file_depends_on_training_rows(toy, tmp_path, capfd):
    """Two trainings on quite different patients leave the same files, but for the weights: nothing else was taken from the rows."""
    data, other = toy[1].completed(), other_rows(toy[1])
    assert Codec.fit(data.train, data.manifest) != Codec.fit(other.train, other.manifest)
    assert data.manifest.splits["train"].classes != other.manifest.splits["train"].classes
    for name, rows in (("one", data), ("other", other)):
        training.train(rows, tmp_path / name, private_training(steps=2))
    one, two = public(tmp_path / "one"), public(tmp_path / "other")
    assert {"README.md", "card.json", "codec.json", "statics.json", "charting/config.json", "unet/config.json"} <= one.keys()
    assert one == two
    assert not list(tmp_path.glob("*.partial"))
    assert "loss=" not in capfd.readouterr().err
    card = TarDiffPipeline.from_pretrained(tmp_path / "one").card
    assert card.class_counts == data.manifest.splits["validation"].classes
    assert [set(entry) for entry in card.history] == [{"step", "validation_loss"}]
    check_made_from("--run", card.data_hash, data)
    check_made_from("--run", card.data_hash, other)
    assert fitted_on_train(data, tmp_path / "one").status == "pass"


def test_a_private_generator_can_be_compared_and_refined(toy, straight, tmp_path):
    """Its codec is of validation rows; its data are the same."""
    pipeline = straight[0]
    settings = CompareSettings("logistic", "none,unguided", seeds=1, bootstrap=10)
    assert opened(toy[1], settings, tmp_path / "out", pipeline).run is pipeline
    _check_match(pipeline, toy[1].manifest.content_hash, toy[1], None)
    fewer = Dataset(toy[1].manifest, {**toy[1].splits, "validation": toy[1].split("validation").take(slice(60))}).completed()
    with pytest.raises(TardiffError, match="--run: the generator was trained on other rows"):
        opened(fewer, settings, tmp_path / "out", pipeline)
    with pytest.raises(TardiffError, match="its codec differs"):
        _check_match(pipeline, fewer.manifest.content_hash, fewer, None)


def test_validation_rows_are_needed(toy, tmp_path):
    with pytest.raises(TardiffError, match="--epsilon needs 50 validation rows, there are 0"):
        training.train(Dataset(toy[1].manifest, {"train": toy[1].train}).completed(), tmp_path / "run", private_training(), progress=False)


def test_without_epsilon_the_card_says_so(run):
    assert run[1].card.privacy == {}
    assert "without differential privacy" in (run[0] / "README.md").read_text()
