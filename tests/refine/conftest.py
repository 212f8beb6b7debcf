import json
from contextlib import contextmanager

import pytest

from tardiff.data.dataset import Dataset
from tardiff.model.training import train
from tardiff.refine.loop import Loop
from tardiff.settings import TrainSettings
from tests.conftest import make_dataset

TINY = TrainSettings(steps=120, batch_size=32, widths=(16,), blocks=1, learning_rate=5e-3, ema_decay=0.95, validate_every=1000)


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """A tiny diffusion pipeline, its folder, and the data that it learnt."""
    path = tmp_path_factory.mktemp("base")
    make_dataset().save(path / "data")
    data = Dataset.load(path / "data")
    return train(data, path / "run", TINY, progress=False), path / "run", data


class KilledError(Exception):
    pass


@pytest.fixture
def killed_before(monkeypatch):
    """`with killed_before(n):` a loop dies before iteration n."""

    @contextmanager
    def killed(number):
        iterate = Loop._iterate

        def stop(self, iteration):
            if iteration == number:
                raise KilledError
            return iterate(self, iteration)

        with monkeypatch.context() as patch, pytest.raises(KilledError):
            patch.setattr(Loop, "_iterate", stop)
            yield

    return killed


def logged(folder):
    """The log's lines without what a clock says."""
    timed = ("seconds", "sampling_seconds")
    records = [json.loads(line) for line in (folder / "refinement.jsonl").read_text().splitlines()]
    return [{name: value for name, value in record.items() if name not in timed} for record in records]
