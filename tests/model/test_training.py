import subprocess
import sys

import numpy as np
import pytest
import torch

from tardiff.base.noise import row_seeds
from tardiff.data.dataset import Dataset
from tardiff.errors import TardiffError
from tardiff.model import training
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.model.training import train
from tardiff.settings import SamplerSettings, TrainSettings
from tests.conftest import make_dataset, tiny_training


def weights(pipeline):
    return torch.cat([p.flatten() for network in (pipeline.unet, pipeline.charting) for p in network.parameters()])


class KilledError(Exception):
    pass


def test_resumed_training_ends_in_the_same_weights(toy, run, tmp_path, monkeypatch):
    """Stopped between checkpoints, the next call goes on from the last one and gives the same pipeline, bit for bit."""
    loss = training.NoisyRows.loss

    def stop_at_45(self, unet, rows, step):
        if step == 45:
            raise KilledError
        return loss(self, unet, rows, step)

    monkeypatch.setattr(training.NoisyRows, "loss", stop_at_45)
    with pytest.raises(KilledError):
        training.train(toy[1], tmp_path / "run", tiny_training(TrainSettings), progress=False)
    assert not (tmp_path / "run").exists()
    assert (tmp_path / "run.partial").exists()
    monkeypatch.undo()

    resumed = training.train(toy[1], tmp_path / "run", tiny_training(TrainSettings), progress=False)
    straight = run[1]
    assert torch.equal(weights(resumed), weights(straight))
    assert resumed.card.history == straight.card.history
    assert not (tmp_path / "run.partial").exists()


def test_work_in_progress_of_other_settings_is_refused(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(TarDiffPipeline, "save_pretrained", lambda *a: (_ for _ in ()).throw(KilledError()))
    with pytest.raises(KilledError):
        training.train(toy[1], tmp_path / "run", tiny_training(TrainSettings, steps=4, validate_every=2), progress=False)
    monkeypatch.undo()
    with pytest.raises(TardiffError, match="other settings or data"):
        training.train(toy[1], tmp_path / "run", tiny_training(TrainSettings, steps=4, validate_every=2, seed=1), progress=False)
    checkpoint = tmp_path / "run.partial" / "checkpoint.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:500])
    with pytest.raises(TardiffError, match=r"checkpoint\.safetensors: damaged"):
        training.train(toy[1], tmp_path / "run", tiny_training(TrainSettings, steps=4, validate_every=2), progress=False)


def test_training_learns(run):
    history = run[1].card.history
    assert history[1]["validation_loss"] < history[0]["validation_loss"] < 2.0  # untrained: 1 of denoising and 1.2 of the chart


@pytest.mark.parametrize("broken", [1e6, float("nan")])
def test_a_loss_that_explodes_is_caught_at_its_step_and_its_channel_named(toy, tmp_path, monkeypatch, broken):
    """From step 6 on, one channel of the training rows is broken; the checkpoint of step 4 stays as it was."""
    predicted, settings = training.NoisyRows.predicted, tiny_training(TrainSettings, steps=8, validate_every=4)

    def breaking(self, unet, rows, step):
        v_hat, v, chart, unlikely = predicted(self, unet, rows, step)
        if 6 <= step < 100:
            v[:, 2] = broken
        return v_hat, v, chart, unlikely

    monkeypatch.setattr(training.NoisyRows, "predicted", breaking)
    with pytest.raises(TardiffError, match=r"at step 6, .* channel sbp.* last good checkpoint is kept in run\.partial"):
        training.train(toy[1], tmp_path / "run", settings, progress=False)
    assert not (tmp_path / "run").exists()
    monkeypatch.undo()
    resumed = training.train(toy[1], tmp_path / "run", settings, progress=False)
    assert np.isfinite(weights(resumed).detach().numpy()).all()


def test_existing_run_is_refused_before_work_starts(toy, run):
    with pytest.raises(TardiffError, match="exists already"):
        training.train(toy[1], run[0], TrainSettings())


def test_a_rows_loss_does_not_depend_on_the_batch(toy, run):
    pipeline = run[1]
    rows = training.NoisyRows(toy[1].train, pipeline.codec, pipeline.statics, tiny_training(TrainSettings))
    with torch.no_grad():
        networks = training.Networks(pipeline.unet, pipeline.charting)
        together = rows.loss(networks, torch.arange(20), 3)
        alone = rows.loss(networks, torch.tensor([7]), 3)
    torch.testing.assert_close(alone[0], together[7], atol=1e-5, rtol=1e-4)


def test_every_row_is_seen_once_an_epoch():
    settings = TrainSettings(batch_size=32)
    epoch = torch.cat([training._batch(96, settings, step) for step in range(3)])
    assert sorted(epoch.tolist()) == list(range(96))
    assert training._batch(96, settings, 3).tolist() != training._batch(96, settings, 0).tolist()


def test_learning_rate_warms_up_and_falls_to_zero():
    rates = [training._rate(step, 100) for step in range(100)]
    assert rates[4] == 1.0
    assert rates[:5] == sorted(rates[:5])
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert rates[-1] < 1e-2


def test_label_and_descriptors_are_dropped_independently(toy, run):
    rows = training.NoisyRows(toy[1].train, run[1].codec, run[1].statics, TrainSettings(dropout=0.5))
    dropped = []

    def networks(x_t, timestep, label, static, chart, keep):
        dropped.append(torch.stack([label == rows.unconditional, ~static.any(dim=1)]))
        return torch.zeros_like(x_t), torch.zeros(len(x_t))

    networks.parameters = lambda: iter([torch.zeros(1)])
    for step in range(40):
        rows.predicted(networks, torch.arange(len(rows)), step)
    no_label, no_static = torch.cat(dropped, dim=1).double()
    assert float(no_label.mean()) == pytest.approx(0.5, abs=0.03)
    assert float((no_label * no_static).mean()) == pytest.approx(float(no_label.mean() * no_static.mean()), abs=0.02)


def test_half_of_the_timesteps_are_of_little_noise():
    timestep = training.training_timesteps(torch.linspace(0, 1, 10_001)[:-1]).numpy()
    assert timestep.min() == 0
    assert timestep.max() == 999
    assert (timestep < 400).mean() == pytest.approx(0.7, abs=0.01)


def test_samples_are_charted_as_often_as_training_rows(toy, run):
    pipeline = run[1]
    label = np.random.default_rng(0).choice(toy[1].train.label, 400)
    samples = pipeline(label, row_seeds(7, range(400)), SamplerSettings(steps=2))
    np.testing.assert_allclose(samples.mask.mean(axis=(0, 2)), toy[1].train.mask.mean(axis=(0, 2)), atol=0.06)


def test_a_new_process_gives_the_same_samples(run):
    """Loaded from its folder elsewhere, the pipeline draws what the training process draws, bit for bit."""
    path, pipeline = run
    label = np.arange(70) % 2
    here = pipeline(label, row_seeds(0, range(70)), SamplerSettings(steps=6)).x0
    script = (
        "import sys, numpy as np, torch; torch.set_num_threads(1)\n"
        "from tardiff.base.extras import hide; hide()\n"
        "from tardiff import TarDiffPipeline\n"
        "from tardiff.base.noise import row_seeds\n"
        "from tardiff.settings import SamplerSettings\n"
        "steps, seeds = SamplerSettings(steps=6), row_seeds(0, range(70))\n"
        "x = TarDiffPipeline.from_pretrained(sys.argv[1])(np.arange(70) % 2, seeds, steps).x0\n"
        "sys.stdout.buffer.write(x.numpy().tobytes())"
    )
    there = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, check=True).stdout
    assert here.numpy().tobytes() == there


@pytest.mark.parametrize("sampler", ["ddim", "dpm", "ode"])
def test_samples_do_not_depend_on_the_batch_size(run, sampler):
    label = np.arange(100) % 2
    seeds = row_seeds(0, range(100))
    whole = run[1](label, seeds, SamplerSettings(sampler, steps=6))
    for batch_size in (33, 1000):
        assert torch.equal(run[1](label, seeds, SamplerSettings(sampler, steps=6, batch_size=batch_size)).x0, whole.x0)
    assert torch.equal(run[1](label[40:41], seeds[40:41], SamplerSettings(sampler, steps=6)).x0, whole.x0[40:41])


def test_labels_steer_the_samples(run):
    """The toy's dying have faster hearts: so have the samples."""
    heart = [np.nanmean(run[1](np.full(128, label), row_seeds(0, range(128))).values[:, 0]) for label in (0, 1)]
    assert heart[1] > heart[0] + 8


@pytest.mark.parametrize(
    "name",
    [
        "model_index.json",
        "unet/diffusion_pytorch_model.safetensors",
        "charting/config.json",
        "scheduler/scheduler_config.json",
        "codec.json",
        "card.json",
    ],
)
def test_damaged_pipeline_folder_is_named(run, tmp_path, name):
    run[1].save_pretrained(tmp_path / "run")
    (tmp_path / "run" / name).unlink()
    with pytest.raises(TardiffError, match=str(tmp_path / "run")):
        TarDiffPipeline.from_pretrained(tmp_path / "run")


def test_card_that_says_nothing_is_named(run, tmp_path):
    run[1].save_pretrained(tmp_path / "run")
    (tmp_path / "run" / "card.json").write_text('{"format": 2}')
    with pytest.raises(TardiffError, match=r"card\.json: .*`source`"):
        TarDiffPipeline.from_pretrained(tmp_path / "run")


@pytest.mark.parametrize("card", ["{}", '{"format": 1}', '{"format": 3}'])
def test_folders_of_another_format_are_refused_in_one_line(run, tmp_path, card):
    run[1].save_pretrained(tmp_path / "run")
    (tmp_path / "run" / "card.json").write_text(card)
    with pytest.raises(TardiffError, match=r"format [13], this version of tardiff reads 2; train again"):
        TarDiffPipeline.from_pretrained(tmp_path / "run")


def test_statics_and_validation_are_optional(tmp_path):
    import msgspec

    dataset = make_dataset(64)
    bare = Dataset(
        msgspec.structs.replace(dataset.manifest, statics=()),
        {"train": type(dataset.train)(**{**dataset.train.arrays(), "static": np.zeros((64, 0), np.float32)})},
    ).save(tmp_path / "data")
    pipeline = training.train(bare, tmp_path / "run", tiny_training(TrainSettings, steps=2, validate_every=2), progress=False)
    assert "validation_loss" not in pipeline.card.history[-1]
    asked = np.zeros(3, np.int64), row_seeds(0, range(3)), SamplerSettings(steps=2)
    samples = TarDiffPipeline.from_pretrained(tmp_path / "run")(*asked)
    assert samples.static.shape == (3, 0)
    assert torch.equal(samples.x0, pipeline(*asked).x0)


@pytest.mark.parametrize("steps", [1, 2, 3, 7, pytest.param(517, marks=pytest.mark.slow), pytest.param(1000, marks=pytest.mark.slow)])
def test_records_of_any_length(steps, tmp_path):
    data = make_dataset(24, steps=steps).completed()
    pipeline = train(data, tmp_path / "run", TrainSettings(steps=2, batch_size=8, widths=(8, 8, 8), blocks=1), progress=False)
    samples = pipeline(np.array([0, 1]), row_seeds(0, range(2)), SamplerSettings(steps=2))
    assert samples.values.shape == (2, 4, steps)
