import pytest

from tardiff.dataset import Dataset
from tardiff.settings import TrainSettings
from tardiff.training import train
from tests.conftest import make_dataset

TINY = TrainSettings(steps=120, batch_size=32, widths=(16,), blocks=1, learning_rate=5e-3, ema_decay=0.95, validate_every=1000)


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """A tiny diffusion pipeline, its folder, and the data that it learnt."""
    path = tmp_path_factory.mktemp("base")
    make_dataset().save(path / "data")
    data = Dataset.load(path / "data")
    return train(data, path / "run", TINY, progress=False), path / "run", data
