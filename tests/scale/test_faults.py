"""Faults of the machine: a full disk, Ctrl-C twice, files that change; one clear line, nothing by halves, and the same command goes on."""

import dataclasses
import os
import resource
import shutil
import signal
import subprocess
import sys
import time

import msgspec
import numpy as np
import pytest
import torch

from tardiff.classifier.folder import fit_classifier
from tardiff.data.dataset import Dataset
from tardiff.errors import TardiffError
from tardiff.model.training import train
from tardiff.settings import ClassifierSettings, GuidanceSettings, TrainSettings
from tardiff.synthesis.run import synthesise
from tests.conftest import make_dataset, tiny_training

TRAIN = ("train", "data", "--steps", "40", "--widths", "16", "32", "--blocks", "1", "--validate-every", "10", "--out", "out")
REFINE = ("--iterations", "1", "--rows", "64", "--steps", "4", "--check-rows", "64")
COMMANDS = {
    "prepare": ("prepare", "simulate", "--stays", "60", "--out", "out"),
    "fit-classifier": ("fit-classifier", "data", "--architecture", "gru", "--epochs", "1", "--out", "out"),
    "sample": ("sample", "run", "--guidance", "none", "--n", "100", "--out", "out"),
    "refine": ("refine", "run", "--data", "data", *REFINE, "--out", "out"),
    "evaluate": ("evaluate", "--real", "data", "--synthetic", "data", "--quick", "--bootstrap", "20", "--workers", "1", "--out", "out"),
    "export": ("export", "data", "--out", "out.csv"),
}


def start(folder, *arguments, room=None):
    """A command in a process of its own, which can write files of `room` bytes and no larger."""

    def prepare():
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # which a shell lets its background jobs, and so this one, ignore
        if room:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    return subprocess.Popen(
        [sys.executable, "-m", "tardiff", *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1", "PYTHONWARNINGS": "ignore"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=prepare,
        start_new_session=True,
    )


@pytest.fixture
def work(toy, run, tmp_path):
    (tmp_path / "data").symlink_to(toy[0])
    (tmp_path / "run").symlink_to(run[0])
    return tmp_path


def assert_one_line_and_nothing_by_halves(work, process):
    _, errors = process.communicate()
    assert process.returncode == 2, errors
    assert errors.startswith("tardiff: error: ")
    assert errors.count("\n") == 1
    assert not list(work.glob("out*[!l]")), list(work.iterdir())  # nothing but `out.partial`
    assert not list(work.glob(".out*"))
    return errors


@pytest.mark.parametrize(
    "name", [name if name in ("prepare", "export") else pytest.param(name, marks=pytest.mark.slow) for name in COMMANDS]
)
def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(work, name):
    """A limit on the size of files stands for the full disk: both fail in the midst of writing."""
    assert_one_line_and_nothing_by_halves(work, start(work, *COMMANDS[name], room=9000))


@pytest.mark.slow
def test_training_goes_on_when_there_is_room_again(work):
    errors = assert_one_line_and_nothing_by_halves(work, start(work, *TRAIN, room=9000))
    assert "make room, and the same command goes on" in errors
    again = start(work, *TRAIN)
    assert again.communicate()[1] == ""
    assert again.returncode == 0
    assert (work / "out").exists()
    assert not (work / "out.partial").exists()


@pytest.mark.slow
def test_ctrl_c_twice(work):
    process = start(work, *(word if word != "40" else "4000" for word in TRAIN))
    for _ in range(600):  # until it is at work
        time.sleep(0.1)
        if (work / "out.partial" / "checkpoint.safetensors").exists():
            break
    for _ in range(2):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.02)
    _, errors = process.communicate()
    assert process.returncode in (130, -signal.SIGINT), errors
    assert "Traceback" not in errors
    assert not (work / "out").exists()
    assert (work / "out.partial" / "checkpoint.safetensors").exists()


@pytest.mark.parametrize("command", ["train", "train without labels", "fit-classifier"])
def test_files_that_are_overwritten_under_a_run_are_noticed_before_a_result_claims_them(toy, tmp_path, command):
    data = Dataset.load(shutil.copytree(toy[0], tmp_path / "data"))
    data = data.unlabelled() if "without" in command else data
    file = tmp_path / "data" / "train.safetensors"
    with file.open("r+b") as mapped:  # in place: what has it mapped sees the new numbers
        mapped.seek(-1, os.SEEK_END)
        last = mapped.read(1)
        mapped.seek(-1, os.SEEK_END)
        mapped.write(bytes([last[0] ^ 1]))
    with pytest.raises(TardiffError, match="overwritten while this command read it"):
        if command.startswith("train"):
            train(data, tmp_path / "out", tiny_training(TrainSettings, steps=2), progress=False)
        else:
            fit_classifier(data, ClassifierSettings("gru", width=8, epochs=1))
    assert not (tmp_path / "out").exists()


def test_a_clock_that_jumps_changes_no_bit(toy, tmp_path, monkeypatch):
    def weights(name):
        pipeline = train(toy[1], tmp_path / name, tiny_training(TrainSettings, steps=4, validate_every=2), progress=True)
        return torch.cat([parameter.detach().flatten() for parameter in pipeline.unet.parameters()])

    straight = weights("straight")
    jumps = np.random.default_rng(0)
    for clock in ("time", "monotonic", "perf_counter"):
        monkeypatch.setattr(time, clock, lambda: float(jumps.normal(0, 1e9)))
    assert torch.equal(weights("jumping"), straight)


def test_odd_channels_train_and_sample(tmp_path):
    """A constant channel, one never observed, one of wild outliers, one patient in a class, and a length that no stride divides."""
    data = make_dataset(90)
    rng = np.random.default_rng(0)

    def odd(split):
        values, mask, label = split.values[:, :, :7].copy(), split.mask[:, :, :7].copy(), np.zeros_like(split.label)
        values[:, 0][mask[:, 0] == 1] = 80.0
        mask[:, 1], values[:, 1] = 0, np.nan
        wild = (rng.random(mask[:, 2].shape) < 0.02) & (mask[:, 2] == 1)
        values[:, 2][wild] = 399.0
        label[0] = 1
        return dataclasses.replace(split, values=values, mask=mask, label=label, length=np.full(len(split), 7, np.int32))

    splits = {name: odd(split) for name, split in data.splits.items()}
    data = Dataset(msgspec.structs.replace(data.manifest, steps=7), splits).completed()
    pipeline = train(data, tmp_path / "run", tiny_training(TrainSettings, steps=8, widths=(16, 16, 16)), progress=False)
    folder = fit_classifier(data, ClassifierSettings("gru", width=8, epochs=1))
    guidance = GuidanceSettings(strength=0.3)
    made = synthesise(pipeline, 40, classifier=folder, guidance=guidance, label_ratio="balanced", progress=False).dataset.train
    assert np.isfinite(made.values[made.mask == 1]).all()
    assert np.allclose(made.values[:, 0][made.mask[:, 0] == 1], 80.0, atol=0.01)
    assert not made.mask[:, 1].any()
    assert made.values.shape == (40, 4, 7)
