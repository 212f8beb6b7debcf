"""Memory does not grow with what is asked for."""

import os
import subprocess
import sys

import pytest

from experiments.benchmarks.made_up import made_up
from tardiff.model.training import train
from tardiff.settings import TrainSettings


@pytest.mark.slow
def test_many_samples_take_no_more_memory_than_some(tmp_path):
    """Twenty parts of samples and one: held in memory, the twenty would be 60 MB more."""
    train(made_up(64).completed(), tmp_path / "run", TrainSettings(steps=1, batch_size=8, widths=(8,), blocks=1), progress=False)

    def peak_mb(n):
        options = ["--guidance", "none", "--n", n, "--steps", 2, "--threads", 1, "--out", tmp_path / f"out-{n}"]
        command = [sys.executable, "-m", "tardiff", "sample", tmp_path / "run", *options]
        child = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        assert status == 0
        return usage.ru_maxrss / 1024

    assert peak_mb(20_480) < peak_mb(1024) + 30
