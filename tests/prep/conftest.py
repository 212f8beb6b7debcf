"""Raw folders to fill, and the real data that TARDIFF_DATA names."""

import os
from pathlib import Path

import pytest
from prep_raw import Raw2012, RawMimic


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of openly licensed real data."""
    if "TARDIFF_DATA" not in os.environ:
        pytest.skip("TARDIFF_DATA does not name the folder with the real data")
    return Path(os.environ["TARDIFF_DATA"])


@pytest.fixture
def raw2012(tmp_path: Path) -> Raw2012:
    """An empty 2012 folder to fill."""
    return Raw2012(tmp_path / "raw2012")


@pytest.fixture
def raw_mimic(tmp_path: Path) -> RawMimic:
    """A small MIMIC-IV folder."""
    return RawMimic(tmp_path / "raw_mimic")
