"""Raw folders to fill."""

from pathlib import Path

import pytest
from prep_raw import Raw2012, RawMimic


@pytest.fixture
def raw2012(tmp_path: Path) -> Raw2012:
    """An empty 2012 folder to fill."""
    return Raw2012(tmp_path / "raw2012")


@pytest.fixture
def raw_mimic(tmp_path: Path) -> RawMimic:
    """A small MIMIC-IV folder."""
    return RawMimic(tmp_path / "raw_mimic")
