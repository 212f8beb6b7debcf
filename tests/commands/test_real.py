"""The main job on real patients, from the shell, with a model too small to be good."""

import json

import numpy as np
import pytest

from tardiff.data.dataset import Dataset
from tests.commands.test_cli import call

pytestmark = pytest.mark.slow

TINY = ("--steps", 30, "--batch-size", 64, "--widths", 16, 16, "--validate-every", 15)


def test_physionet2012_from_the_shell(real_data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    raw = real_data / "physionet2012"
    # Whatever ran before in this process counts as its memory.
    assert call("prepare", "physionet2012", "--raw", raw, "--split", "by-set", "--out", "data", "--memory", "4GB") == 0
    data = Dataset.load(tmp_path / "data")
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 3140, "validation": 784, "test": 3923}
    assert call("train", "data", "--out", "run", *TINY) == 0
    assert call("fit-classifier", "data", "--out", "clf", "--width", 16, "--epochs", 3) == 0
    assert call("sample", "run", "--guidance", "none", "--n", 600, "--out", "unguided", "--steps", 5) == 0
    assert call("sample", "run", "--classifier", "clf", "--n", 600, "--out", "guided", "--steps", 5, "--pilot", 128) == 0
    synthetic = Dataset.load(tmp_path / "guided")
    for c, channel in enumerate(synthetic.manifest.channels):
        observed = synthetic.train.values[:, c][synthetic.train.mask[:, c] == 1]
        assert channel.limits[0] <= observed.min() <= observed.max() <= channel.limits[1]
    names = ["--synthetic", "unguided=unguided", "--synthetic", "guided=guided"]
    assert call("evaluate", "--real", "data", *names, "--out", "evaluation", "--quick", "--bootstrap", 100, "--workers", 1) == 0
    metrics = json.loads((tmp_path / "evaluation" / "metrics.json").read_text())
    ceiling = next(c for c in metrics["utility"]["cells"] if c["model"] == "trees" and c["protocol"] == "TRTR")
    assert 0.28 < ceiling["metrics"]["auprc"]["value"] < 0.40  # what the field reaches with a day of vitals
    assert (tmp_path / "evaluation" / "trajectories.png").stat().st_size > 10_000
    capsys.readouterr()


@pytest.mark.parametrize("source", ["physionet2012", "mimic-iv"])
def test_another_tasks_variables_train_and_sample(real_data, tmp_path, monkeypatch, source):
    """All channels of one source, two days; few patients of the other: any length and channel count goes through."""
    monkeypatch.chdir(tmp_path)
    folder = {"physionet2012": "physionet2012", "mimic-iv": "mimic-iv-demo-2.2"}[source]
    options = ("--variables", "all", "--hours", 48, "--sets", "a") if source == "physionet2012" else ()
    room = ("--memory", "4GB")  # which counts what this process holds already, from the tests before
    assert call("prepare", source, "--raw", real_data / folder, "--out", "data", *options, *room) == 0
    assert call("train", "data", "--out", "run", *TINY) == 0
    assert call("sample", "run", "--guidance", "none", "--n", 20, "--out", "synthetic", "--steps", 4, "--label-ratio", "0.5") == 0
    data, synthetic = Dataset.load(tmp_path / "data"), Dataset.load(tmp_path / "synthetic")
    assert synthetic.manifest.channels == data.manifest.channels
    assert synthetic.train.values.shape == (20, len(data.manifest.channels), data.manifest.steps)
    assert synthetic.train.label.sum() == 10
    assert np.isfinite(synthetic.train.values[synthetic.train.mask == 1]).all()
