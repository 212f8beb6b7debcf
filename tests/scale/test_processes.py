"""One process or several: the same samples bit for bit, the same training within rounding, one voice."""

import json
import os
import subprocess
import sys
from contextlib import chdir

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from tardiff.base.distributed import gather, main_process, minibatch_shard, rank, shard, world_size
from tardiff.cli import main
from tardiff.data.dataset import Dataset
from tardiff.errors import TardiffError
from tardiff.model.training import train
from tardiff.settings import TrainSettings
from tests.conftest import tiny_training

TRAIN = ("--steps", "12", "--batch-size", "32", "--widths", "16", "16", "--blocks", "1", "--validate-every", "6")
SHORT = ("--iterations", "2", "--rows", "64", "--steps", "4", "--check-every", "2", "--check-rows", "64")
REFINE = (*SHORT, "--share", "0.5", "--allow-worse")


def alone(folder, *arguments):
    """Run one command in this process."""
    with chdir(folder):
        main([str(argument) for argument in arguments])


def together(folder, processes, *arguments):
    """Run one command in so many processes that work as one, as `accelerate launch` starts them; returns what they printed."""
    settings = ("--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0")
    launcher = ("accelerate.commands.launch", "--multi_gpu", "--num_processes", str(processes), *settings)
    command = [sys.executable, "-m", *launcher, "-m", "tardiff"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, *map(str, arguments)], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def work(toy, run, clf, tmp_path_factory):
    folder = tmp_path_factory.mktemp("together")
    for name, (path, *_) in {"data": toy, "run": run, "clf": clf}.items():
        (folder / name).symlink_to(path)
    return folder


@pytest.mark.parametrize("processes", [2, 4])
@pytest.mark.slow
def test_samples_are_the_same_numbers(work, processes):
    options = ("sample", "run", "--classifier", "clf", "--n", 150, "--strength", "0.3")
    if not (work / "one").exists():
        alone(work, *options, "--out", "one")
    printed = together(work, processes, *options, "--out", f"of-{processes}")
    assert (work / f"of-{processes}" / "train.safetensors").read_bytes() == (work / "one" / "train.safetensors").read_bytes()
    assert (work / f"of-{processes}" / "manifest.json").read_bytes() == (work / "one" / "manifest.json").read_bytes()
    assert printed.count("guidance moved") == 1


@pytest.mark.slow
def test_two_processes_train_like_one(work):
    alone(work, "train", "data", *TRAIN, "--out", "trained-1")
    together(work, 2, "train", "data", *TRAIN, "--out", "trained-2")
    one, two = (load_file(work / f"trained-{n}" / "unet" / "diffusion_pytorch_model.safetensors") for n in (1, 2))
    assert max(float(np.abs(one[name] - two[name]).max()) for name in one) < 2e-4
    assert not list(work.glob("*.partial"))


def test_a_step_in_parts_is_the_same_step(toy, tmp_path):
    weights = []
    for parts in (1, 4):
        settings = tiny_training(TrainSettings, steps=6, validate_every=6, accumulate=parts)
        pipeline = train(toy[1], tmp_path / str(parts), settings, progress=False)
        weights.append(torch.cat([parameter.flatten() for parameter in pipeline.unet.parameters()]))
    assert float((weights[0] - weights[1]).detach().abs().max()) < 2e-4


@pytest.mark.slow
def test_two_processes_refine_like_one(work):
    options = ("refine", "run", "--data", "data", *REFINE, "--rewards", "discriminator=1")
    alone(work, *options, "--out", "refined-1")
    together(work, 2, *options, "--out", "refined-2")
    one, two = (load_file(work / f"refined-{n}" / "unet" / "diffusion_pytorch_model.safetensors") for n in (1, 2))
    assert max(float(np.abs(one[name] - two[name]).max()) for name in one) < 5e-4
    logs = [[json.loads(line) for line in (work / f"refined-{n}" / "refinement.jsonl").read_text().splitlines()] for n in (1, 2)]
    assert logs[0][0]["kl"] == pytest.approx(logs[1][0]["kl"], rel=0.05, abs=1e-6)


@pytest.mark.slow
def test_two_processes_evaluate_like_one(work):
    alone(work, "sample", "run", "--guidance", "none", "--n", 240, "--out", "synthetic")
    options = ("evaluate", "--real", "data", "--synthetic", "synthetic", "--quick", "--bootstrap", 20)
    alone(work, *options, "--out", "judged-1")
    together(work, 2, *options, "--out", "judged-2")
    assert (work / "judged-1" / "metrics.json").read_bytes() == (work / "judged-2" / "metrics.json").read_bytes()
    assert not list(work.glob("*.partial"))


def test_a_batch_that_cannot_be_shared_is_refused(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(TardiffError, match="--batch-size 128: 3 processes"):
        train(Dataset.load(toy[0]), tmp_path / "out", TrainSettings(), progress=False)


@pytest.mark.parametrize(("rows", "processes"), [(10, 1), (10, 3), (2, 4), (0, 2)])
def test_shares_are_all_rows_once_and_in_order(monkeypatch, rows, processes):
    monkeypatch.setenv("WORLD_SIZE", str(processes))
    taken, weights = [], []
    for number in range(processes):
        monkeypatch.setenv("RANK", str(number))
        taken += list(range(rows))[shard(rows)]
        if rows:
            part, weight = minibatch_shard(torch.arange(float(rows)))
            weights.append(weight * float(part.mean()))
    assert taken == list(range(rows))
    if rows:
        assert np.mean(weights) == pytest.approx((rows - 1) / 2)


def test_alone_by_default():
    assert (rank(), world_size(), main_process()) == (0, 1, True)
    x = torch.ones(3)
    assert gather(x, 3) is x
