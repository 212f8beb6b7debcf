"""A ward of made-up stays as a long table, and each way in which such tables go wrong as a change of it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from data_prep import PrepareSettings, prepare
from tardiff.data.dataset import Dataset

STAYS = 24


@dataclass
class Ward:
    """Stays of 30 h with a pulse and a temperature every two hours; every fourth patient dies."""

    stays: pd.DataFrame
    events: pd.DataFrame
    layout: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path, ending: str = ".csv", encoding: str = "utf-8") -> Path:
        """Write the tables, and a `table.yaml` that names them."""
        folder.mkdir()
        layout = {**self.layout, "events": {**self.layout["events"], "file": f"charted{ending}"}}
        layout["stays"] = {**layout["stays"], "file": f"stays{ending}"}
        (folder / "table.yaml").write_text(yaml.safe_dump(layout, allow_unicode=True, sort_keys=False))
        for name, frame in (("stays", self.stays), ("charted", self.events)):
            if ending == ".parquet":
                frame.to_parquet(folder / f"{name}.parquet", index=False)
            else:
                frame.to_csv(folder / f"{name}{ending}", index=False, encoding=encoding)
        return folder

    def prepare(self, folder: Path, ending: str = ".csv", encoding: str = "utf-8", **choices: Any) -> Dataset:
        """Write and prepare."""
        raw = self.write(folder, ending, encoding)
        return prepare(PrepareSettings("table", folder.with_name(f"{folder.name}-out"), raw, **{"variables": "all", **choices}))


def ward(stays: int = STAYS) -> Ward:
    """Whole, with timestamps."""
    number = np.arange(1, stays + 1)
    start = pd.Timestamp("2024-03-01 10:05:00") + pd.to_timedelta(37 * number, unit="min")
    listed = pd.DataFrame(
        {
            "case": number,
            "patient": 1000 + number,
            "admitted": start,
            "left": start + pd.Timedelta(hours=30),
            "age": 50,
            "sex": np.where(number % 2, "f", "m"),
            "died": (number % 4 == 0).astype(int),
        }
    )
    entries = [
        {"case": case, "at": begun + pd.Timedelta(minutes=10 + 60 * hour), "item": item, "value": value + hour}
        for case, begun in zip(number, start, strict=True)
        for hour in range(0, 30, 2)
        for item, value in (("Pulse", 60.0 + case), ("Temp", 30.5))
        if item == "Pulse" or hour < 10
    ]
    layout = {
        "times": "timestamps",
        "events": {"stay": "case", "time": "at", "variable": "item", "value": "value"},
        "stays": {"stay": "case", "patient": "patient", "start": "admitted", "end": "left", "age": "age", "died": "died"},
        "variables": {"Pulse": {"concept": "hr"}, "Temp": {"concept": "temp"}},
        "descriptors": [{"name": "sex", "kind": "categorical", "categories": {"f": "female", "m": "male"}}],
    }
    return Ward(listed, pd.DataFrame(entries), layout)


def same(one: Dataset, other: Dataset) -> None:
    """Two data sets have the same rows, to the bit."""
    for name, split in one.splits.items():
        for key, array in split.arrays().items():
            np.testing.assert_array_equal(array, other.splits[name].arrays()[key], err_msg=f"{name}.{key}")


def lost(dataset: Dataset) -> dict[str, int]:
    """Why entries of the one table of events are not in the data set; checks that the account adds up."""
    (account,) = (each for each in dataset.manifest.account or () if each.table.startswith("charted"))
    assert account.read == account.kept + sum(account.lost.values())
    return account.lost
