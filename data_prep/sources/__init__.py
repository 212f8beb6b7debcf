"""Where records come from. A source gives stays and events; everything after that is the same for every source."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import ClassVar, Protocol

import ibis
import pandas as pd

from data_prep.concepts import Place
from tardiff.errors import TardiffError

SOURCES = {"mimic_iv": "MimicIV", "physionet2012": "PhysioNet2012", "physionet2019": "PhysioNet2019"}
"""Every source: its module in this package, which is also its name in `concepts.yaml`, and its class there."""


class Source(Protocol):
    """What the rest of the package asks of a source."""

    name: ClassVar[str]
    """Its key in `concepts.yaml`."""
    sets: tuple[str, ...]
    """The publisher's sets that are read, in order; empty if the source has none."""

    @property
    def version(self) -> str:
        """The release of the data."""

    def stays(self) -> pd.DataFrame:
        """One row a stay, in any order.

        Columns: stay_id, subject_id (int64); minutes (float64, how long the stay is recorded); age (float64, years, NaN
        unknown); died (float64, 1 or 0, NaN unknown); set (str, where there are sets); and each descriptor of
        `concepts.yaml` under the source's own column name, numbers as float64 and codes as str.

        Raises:
            TardiffError: a file is missing or malformed.
        """

    def events(self, places: Sequence[Place], minutes: float) -> ibis.Table:
        """What was charted in these places in the first `minutes` of every stay.

        Columns: stay_id (int64); item (string); minute (float64, since the start of the stay); available_minute
        (float64, when it could be known); value (float64, as charted). Evaluated late: malformed content may surface
        as a DuckDB error when the table is used, which `explain` turns into a message.

        Raises:
            TardiffError: a file is missing or malformed.
        """

    def explain(self, error: Exception) -> TardiffError:
        """The file and row behind an error that DuckDB raised while the events were used."""


def open_source(name: str, raw: str | Path | None, sets: tuple[str, ...]) -> Source:
    """Open a source by name ("-" and "_" are the same).

    Args:
        name: a key of `SOURCES`.
        raw: the publisher's folder.
        sets: which of the publisher's sets to read; empty means all that are there.

    Raises:
        TardiffError: unknown source, or no such folder.
    """
    key = name.replace("-", "_")
    if key not in SOURCES:
        raise TardiffError(f"source: {name!r} is not known; choose {', '.join(SOURCES)} or simulate")
    if raw is None:
        raise TardiffError(f"raw: {name} needs the publisher's folder; give --raw")
    raw = Path(raw)
    if not raw.is_dir():
        raise TardiffError(f"{raw}: no such folder; --raw takes the publisher's folder of {name}")
    source: Source = getattr(import_module(f"data_prep.sources.{key}"), SOURCES[key])(raw, sets)
    return source
