"""Raw intensive-care records to dataset folders.

`prepare(PrepareSettings(...))` makes a folder from a source. `data_prep.simulate.simulate(raw, stays, seed)` writes
raw tables in the shape of MIMIC-IV.
"""

from typing import TYPE_CHECKING

from tardiff.base.lazy import lazy

if TYPE_CHECKING:
    from data_prep.build import prepare
    from data_prep.settings import PrepareSettings

__getattr__ = lazy(__name__, {"PrepareSettings": "settings", "prepare": "build"})
__all__ = ["PrepareSettings", "prepare"]
