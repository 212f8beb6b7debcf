"""Where records come from. A source gives stays and events; everything after that is the same for every source."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import ClassVar, Protocol

import ibis
import pandas as pd

from data_prep.account import AS_IS, Scans
from data_prep.concepts import Concepts, Place
from data_prep.tasks import Value
from tardiff.errors import TardiffError

SOURCES = {
    "mimic_iv": "MimicIV",
    "eicu": "EICU",
    "physionet2012": "PhysioNet2012",
    "physionet2019": "PhysioNet2019",
    "meds": "Meds",
    "yaib": "Yaib",
    "table": "Table",
}
"""Every source: its module in this package, which is also its name in `concepts.yaml`, and its class there."""
MINUTE = 1 / 60
"""Hours: the narrowest step of all."""
DATABASES = ("mimic_iv",)
"""The sources that can also be read from a database."""


class Source(Protocol):
    """What the rest of the package asks of a source; what has a body here is how most are.

    A source makes its expressions on the default backend of ibis, which the caller has chosen.
    """

    name: ClassVar[str]
    """Its key in `concepts.yaml`."""
    sets: tuple[str, ...] = ()
    """The publisher's sets that are read, in order; empty if the source has none."""
    shortest_step: ClassVar[float]
    """The narrowest step that the times of the records support, in hours."""
    table: ClassVar[str] = ""
    """The raw table that holds every place, whatever the dictionary says, if there is only one."""

    @property
    def silent(self) -> bool:
        """Whether a stay of which no chosen variable is observed is a record all the same."""
        return False

    @property
    def classes(self) -> tuple[Value, ...]:
        """The values of `given` in order, if the source says so; empty means 0 and 1."""
        return ()

    @property
    def given_at(self) -> str:
        """Where `given` comes from, for messages."""
        return ""

    @property
    def version(self) -> str:
        """The release of the data."""

    def dictionary(self, concepts: Concepts) -> Concepts:
        """The dictionary as this source can serve it: without places that are not there, with variables that only it knows.

        Raises:
            TardiffError: the source names a variable that cannot be.
        """
        return concepts

    def stays(self) -> pd.DataFrame:
        """One row a stay, in any order; of a stay to which several labels came, one row a label.

        Columns: stay_id, subject_id (int64); minutes (float64, how long the stay is recorded, NaN unknown); age (float64, years, NaN
        unknown); set (str, where there are sets); and each descriptor of `concepts.yaml` under the source's own column name,
        numbers as float64 and codes as str.

        Outcomes, where the source can know them (float64, NaN where it did not happen or is unknown; minutes count from the
        start of the stay): died (1 or 0, in hospital); unit_minutes (length of the stay in the unit, even if only a part is
        recorded); death_minute; death_day_minute (end of the day of death, for a death that may be known to the day only);
        discharge_minute (end of the hospital stay); next_minute (start of the patient's next stay in intensive care); order
        (0 for a patient's first stay in time, then 1, ...); stays_in_admission (how many such stays the hospital admission
        has); onset_minute (an event that the source itself stamps); given_minute (of the prediction that a label belongs to).
        And given (str, a label that comes with the records as it is written, empty unknown); split (str: train, validation or test),
        where the publisher has one; start (a time), where the source has times of day. What a source cannot know has no column.

        Raises:
            TardiffError: a file is missing or malformed.
        """

    def events(self, places: Sequence[Place], minutes: float, before: float = 0.0, scans: Scans = AS_IS) -> ibis.Table:
        """What was charted in these places in the first `minutes` of every stay, and in the time `before` it.

        Columns: stay_id (int64); item (string); minute (float64, since the start of the stay); available_minute
        (float64, when it could be known); value (float64, as charted). Where the source has them: text (string, as
        charted; only if a place asks for it), unit (string), specimen (string), order (int64, which of two entries of
        the same minutes is the later one; if there is `own`, a number of the entry's own), and own (boolean, false where an entry
        serves a stay beside the one to which it belongs). Evaluated late: malformed content may surface as an error of the
        database when the table is used, which `explain` turns into a message.

        Every row of a raw table is either in the events or lost to a reason, of which `scans` is told.

        Raises:
            TardiffError: a file is missing or malformed.
        """

    def table_of(self, place: Place) -> str:
        """The raw table that holds a place."""
        return self.table or place.table

    def first(self, table: str, fault: str) -> str:
        """Where the first entry of a raw table with a fault of `data_prep.account` stands, and what is wrong with it."""

    def explain(self, error: Exception) -> TardiffError:
        """The file and row behind an error that the database raised while the events were used."""

    def remarks(self) -> list[str]:
        """What the user should know of the raw records; a line each."""
        return []

    def refuse_sets(self, sets: tuple[str, ...]) -> None:
        """Refuse to choose among sets where there are none."""
        if sets:
            raise TardiffError(f"sets: {self.name} has none; leave --sets out")


def open_source(name: str, raw: str | Path | None, sets: tuple[str, ...], schemas: tuple[str, ...] = ()) -> Source:
    """Open a source by name ("-" and "_" are the same).

    Args:
        name: a key of `SOURCES`.
        raw: the publisher's folder; None to read the tables of a database, the default backend of ibis.
        sets: which of the publisher's sets to read; empty means all that are there.
        schemas: the schemas of the database that hold the tables; empty means that `raw` is read.

    Raises:
        TardiffError: unknown source, or no such folder.
    """
    key = name.replace("-", "_")
    if key not in SOURCES:
        raise TardiffError(f"source: {name!r} is not known; choose {', '.join(SOURCES).replace('_', '-')} or simulate")
    if schemas and raw is None and key not in DATABASES:
        raise TardiffError(f"connection: {name} is not read from a database; give --raw")
    if raw is None and not schemas:
        raise TardiffError(f"raw: {name} needs the publisher's folder; give --raw")
    if raw is not None and not (raw := Path(raw)).is_dir():
        raise TardiffError(f"{raw}: no such folder; --raw takes the publisher's folder of {name}")
    kind = getattr(import_module(f"data_prep.sources.{key}"), SOURCES[key])
    return kind(raw, sets) if raw is not None else kind.of_database(schemas, sets)
