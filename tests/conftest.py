import os
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

from tardiff.data.dataset import Channel, Dataset, Manifest, Split, Static, Task

torch.set_num_threads(1)
settings.register_profile("no clock", deadline=None)  # other work may run on the machine
settings.load_profile("no clock")

CHANNELS = (
    Channel("hr", "bpm", (0, 300), "mean", 86.0),
    Channel("dbp", "mmHg", (0, 300), "mean", 59.0),
    Channel("sbp", "mmHg", (0, 400), "mean", 118.0),
    Channel("gcs", "", (3, 15), "last", 15.0, kind="ordinal"),
)
STATICS = (Static("age", "years", limits=(0, 120)), Static("sex", kind="categorical", categories=("female", "male")))
STEPS = 10


def make_split(rows: int, seed: int, first_id: int, steps: int = STEPS) -> Split:
    """Records in which the dying have faster hearts and fewer gaps; nobody's data."""
    rng = np.random.default_rng(seed)
    label = (rng.random(rows) < 0.3).astype(np.int64)
    drift = np.cumsum(rng.normal(0, 2, (rows, steps)), axis=1)
    hr = 80 + 25 * label[:, None] + drift + rng.normal(0, 5, (rows, 1))
    dbp = 65 - 8 * label[:, None] + rng.normal(0, 4, (rows, steps))
    values = np.stack([hr, dbp, dbp + rng.uniform(20, 60, (rows, steps)), rng.integers(3, 16, (rows, steps))], axis=1)
    mask = rng.random(values.shape) < (0.6 + 0.2 * label)[:, None, None]
    static = np.stack([rng.normal(60 + 8 * label, 10), rng.integers(0, 2, rows)], axis=1)
    static[rng.random(static.shape) < 0.1] = np.nan
    ids = np.arange(first_id, first_id + rows, dtype=np.int64)
    return Split(
        np.where(mask, values, np.nan).astype(np.float32),
        mask.astype(np.uint8),
        static.astype(np.float32),
        label,
        ids,
        ids,
        np.full(rows, steps, np.int32),
        np.full(rows, 60 * steps),
    )


def make_dataset(rows: int = 240, steps: int = STEPS) -> Dataset:
    manifest = Manifest(
        source="toy",
        source_version="1",
        channels=CHANNELS,
        statics=STATICS,
        step_hours=1.0,
        steps=steps,
        task=Task("death", "died", ("survived", "died")),
        orderings=(("dbp", "sbp"),),
    )
    sizes = {"train": rows, "validation": rows // 2, "test": rows // 2}
    splits = {name: make_split(n, seed, 1000 * seed, steps) for seed, (name, n) in enumerate(sizes.items(), start=1)}
    return Dataset(manifest, splits)


def samples_of(codec, split):
    """Real rows as a generator would give them."""
    from tardiff.model.pipeline import Samples

    entries = codec.entries(split)
    return Samples(codec.scores(entries), entries.chart, split.values, split.mask, split.static, split.label)


@pytest.fixture(scope="session")
def toy(tmp_path_factory):
    """A data set folder of made-up records and the data set."""
    path = tmp_path_factory.mktemp("toy") / "data"
    make_dataset().save(path)
    return path, Dataset.load(path)


@pytest.fixture(scope="session")
def run(toy, tmp_path_factory):
    """A pipeline folder trained for a moment, and the pipeline as training returned it."""
    from tardiff.model.training import train
    from tardiff.settings import TrainSettings

    path = tmp_path_factory.mktemp("run") / "run"
    return path, train(toy[1], path, tiny_training(TrainSettings), progress=False)


def tiny_training(settings, **changes):
    return settings(
        **{
            "steps": 60,
            "batch_size": 32,
            "widths": (16, 16),
            "blocks": 1,
            "validate_every": 30,
            "learning_rate": 3e-3,
            "ema_decay": 0.9,
            **changes,
        }
    )


@pytest.fixture(scope="session")
def clf(toy, tmp_path_factory):
    """A classifier folder and what fitting returned."""
    from tardiff.classifier.folder import fit_classifier
    from tardiff.settings import ClassifierSettings

    path = tmp_path_factory.mktemp("clf") / "clf"
    folder = fit_classifier(toy[1], ClassifierSettings("gru", width=16, epochs=6))
    folder.save(path)
    return path, folder


def call(*arguments) -> int:
    """Exit status of a command in this process."""
    from tardiff.cli import main

    try:
        main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return stop.code
    return 0


@contextmanager
def light_evaluation():
    """Evaluations with few trees and short training, where a test asks what flows where and not what is found."""
    from tardiff.evaluate import forecast, judges
    from tardiff.evaluate.privacy import knowledge
    from tardiff.evaluate.realism import discriminators

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(discriminators, "ROUNDS", 5)
        patch.setattr(knowledge, "TREES", 10)
        patch.setattr(judges, "ROUNDS", 30)
        patch.setattr(forecast, "STEPS", 60)
        yield


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real, openly licensed records."""
    if not os.environ.get("TARDIFF_DATA"):
        pytest.skip("TARDIFF_DATA is not set: it names the folder of real, openly licensed records (see README)")
    return Path(os.environ["TARDIFF_DATA"]).resolve()


def forbidden_skips(config: pytest.Config) -> int:
    """How many tests were skipped where none may be: in CI, with the real records at hand."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    everything = os.environ.get("CI") == "true" and os.environ.get("TARDIFF_DATA")
    return len(reporter.stats.get("skipped", [])) if reporter and everything else 0


def pytest_sessionfinish(session: pytest.Session) -> None:
    if forbidden_skips(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if count := forbidden_skips(config):
        terminalreporter.write_line(f"CI with the real records: no test may skip, {count} did (listed below)", red=True)
