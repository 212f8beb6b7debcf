"""Raw intensive-care records to dataset folders.

`prepare(PrepareSettings(...))` makes a folder from a source. `data_prep.simulate.simulate(raw, stays, seed)` writes
raw tables in the shape of MIMIC-IV.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from data_prep.build import prepare
    from data_prep.settings import PrepareSettings

__all__ = ["PrepareSettings", "prepare"]


def __getattr__(name: str) -> Any:
    """Import an export when it is first asked for: `tardiff prepare --help` must not wait for DuckDB."""
    if name == "prepare":
        from data_prep.build import prepare

        return prepare
    if name == "PrepareSettings":
        from data_prep.settings import PrepareSettings

        return PrepareSettings
    raise AttributeError(f"module 'data_prep' has no attribute {name!r}")
