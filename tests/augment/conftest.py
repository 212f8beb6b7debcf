import pytest

from tardiff.model import training


@pytest.fixture(autouse=True)
def _few_pilot_rows(monkeypatch):
    """Thresholds from 32 samples instead of 1024: nothing here is about how well they fit."""
    monkeypatch.setattr(training, "THRESHOLD_ROWS", 32)
