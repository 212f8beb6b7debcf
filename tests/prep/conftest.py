"""Raw folders to fill."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prep_raw import Raw2012, RawMimic

from data_prep.engine import engine


@pytest.fixture
def raw2012(tmp_path: Path) -> Raw2012:
    """An empty 2012 folder to fill."""
    return Raw2012(tmp_path / "raw2012")


@pytest.fixture
def raw_mimic(tmp_path: Path) -> RawMimic:
    """A small MIMIC-IV folder."""
    return RawMimic(tmp_path / "raw_mimic")


@pytest.fixture(autouse=True)
def connection(tmp_path: Path) -> Iterator[None]:
    """Tables in memory live in a connection that is closed again; ibis's own stays open, and DuckDB complains at the end."""
    with engine(None, "4GB", 2, tmp_path / "spill"):
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of the bad inputs that one test refuses, the first is quick."""
    met: set[str] = set()
    for item in items:
        if isinstance(item, pytest.Function) and item.path.name == "test_prep_bad_input.py":
            if item.originalname in met:
                item.add_marker(pytest.mark.slow)
            met.add(item.originalname)
