"""What a user chooses for `tardiff prepare` and `tardiff simulate`. Imports nothing heavy, so that --help is instant."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from tardiff.settings import ANY, MAX_SEED, check_range


@dataclass(frozen=True)
class PrepareSettings:
    """Choices that turn raw records into a dataset folder."""

    source: Annotated[Positional[str], arg(metavar="SOURCE")]
    """Where the records come from: physionet2012, physionet2019, mimic-iv or simulate."""
    out: str | Path
    """The dataset folder to make; it must not exist."""
    raw: str | Path | None = None
    """The publisher's folder (not needed by simulate)."""
    hours: int = 24
    """Length of the observation window from admission to the unit."""
    step_hours: float = 1.0
    """Width of one step of the grid; it must divide the window."""
    variables: str = "vitals"
    """vitals, all, or names separated by commas."""
    task: str = "in_hospital_death"
    """What the label means."""
    split: Literal["random", "by-set"] = "random"
    """random: 70/15/15 of the patients, stratified; by-set: the last set is the test split (physionet2012, physionet2019)."""
    sets: str | None = None
    """Which of the publisher's sets to read, separated by commas (a,b); all that are there if not given."""
    seed: int = 0
    """Seed of the split, and of the simulation."""
    stays: int = 3000
    """How many stays to simulate."""

    def __post_init__(self) -> None:
        check_range(self, 0, MAX_SEED, "seed")
        check_range(self, 1, ANY, "stays", "hours")


@dataclass(frozen=True)
class SimulateSettings:
    """Choices for raw tables of made-up patients."""

    out: str | Path
    """The raw folder to make, with hosp and icu in it; it must not exist."""
    stays: int = 3000
    """How many stays in intensive care; one has about 550 rows of chartevents and 200 of labevents."""
    seed: int = 0
    """Seed of everything that is drawn."""
    ballast: int = 0
    """Rows of chartevents that no variable is made of, for each row that is; the real table has about 5."""

    def __post_init__(self) -> None:
        check_range(self, 0, MAX_SEED, "seed")
        check_range(self, 1, ANY, "stays")
        check_range(self, 0, 1000, "ballast")
