"""What a user chooses for `tardiff prepare` and `tardiff simulate`. Imports nothing heavy, so that --help is instant."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from tardiff.errors import TardiffError
from tardiff.settings import ANY, MAX_SEED, check_range

PathText = Annotated[str | Path, arg(metavar="PATH")]
OptionalPath = Annotated[str | Path | None, arg(metavar="PATH")]
OptionalNumber = Annotated[float | None, arg(metavar="NUMBER")]
How = Literal["random", "by-set", "by-id", "publisher"]


@dataclass(frozen=True)
class PrepareSettings:
    """Choices that turn raw records into a dataset folder."""

    source: Annotated[Positional[str], arg(metavar="SOURCE")]
    """Where the records come from: mimic-iv, eicu, physionet2012, physionet2019, meds, yaib, table or simulate."""
    out: PathText
    """The dataset folder to make; it must not exist."""
    raw: OptionalPath = None
    """The publisher's folder (not needed by simulate); for table, the folder with table.yaml."""
    connection: Annotated[str | None, arg(metavar="URL")] = None
    """Read the tables of a database instead: postgres://USER@HOST/DATABASE, or spark://MASTER."""
    schemas: str = "mimiciv_hosp,mimiciv_icu"
    """Schemas of the hospital's and of the units' tables in the database."""
    hours: int = 24
    """Length of the observation window from admission to the unit."""
    before_hours: int = 0
    """Hours before admission to the unit to put in front of the window (laboratory results are often older than the stay)."""
    step_hours: float = 1.0
    """Width of one step of the grid; it must divide the window."""
    lab_time: Literal["storetime", "charttime"] = "storetime"
    """storetime: a result counts only if it was known before the window's end; charttime: when the sample was taken."""
    variables: str = "vitals"
    """vitals (seven; of physionet2012 urine in place of SpO2), tardiff (the same; with 24 hourly steps, the default, TarDiff's published
    setting), benchmark17 (the 17 of mimic3-benchmarks), all, or names separated by commas; `tardiff variables SOURCE` lists them."""
    concepts: OptionalPath = None
    """A YAML of your own, merged over the built-in dictionary of variables; `tardiff variables --help` shows one."""
    gcs_intubated: Literal["keep", "normal", "missing"] = "keep"
    """The verbal score of intubated patients: keep 1 as charted, take it as normal, or leave it out (docs/reference/variables.md)."""
    task: str = "in_hospital_death"
    """What the label means: a task's name (in_hospital_death, los_3d, los_7d, hospital_los_3d, hospital_los_7d, readmission_30d,
    decompensation, aki, aki_creatinine, sepsis3, sepsis_later, given), or a YAML file with a task of your own
    (see docs/reference/tasks.md)."""
    onset: OptionalPath = None
    """Table of onsets for sepsis3 or sepsis_later, .csv or .parquet: stay_id and onset_minute or onset_time."""
    allow_loss: bool = False
    """Drop entries whose value or time cannot be read, with a warning; otherwise the first one stops the work."""
    labels: Literal["first", "last", "all"] = "last"
    """If a stay has several labels (meds), which of them has a row, in order of the prediction's time, when the window ends; with all,
    each row counts as a stay of its own."""
    stays_of_patient: Literal["all", "first"] = "all"
    """Which of a patient's stays may have a row."""
    min_age: float = 18
    """Youngest age, in years; unknown ages are kept."""
    max_age: OptionalNumber = None
    """Oldest age, in years; unknown ages are kept."""
    min_stay_hours: OptionalNumber = None
    """Shortest stay. The table of attrition says that such a rule looks ahead."""
    max_stay_hours: OptionalNumber = None
    """Longest stay. The table of attrition says that such a rule looks ahead."""
    min_coverage: float = 0.0
    """Least share of the window's steps in which a selected variable is observed, 0 to 1."""
    split: How = "random"
    """random: 70/15/15 of the patients, stratified; by-set: the last set is the test split (physionet2012, physionet2019);
    by-id: so are patients with an id above --test-after; publisher: the split that comes with the records (meds, table)."""
    test_after: Annotated[int | None, arg(metavar="ID")] = None
    """Last patient id of training and validation, with --split by-id."""
    sets: Annotated[str | None, arg(metavar="NAMES")] = None
    """Which of the publisher's sets to read, separated by commas (a,b); all that are there if not given."""
    seed: int = 0
    """Seed of the split, and of the simulation."""
    stays: int = 3000
    """How many stays to simulate."""
    memory: str = "2GB"
    """What the process may hold in memory (called from Python: on top of what it held before); more spills to OUT.partial."""
    threads: Annotated[int | None, arg(metavar="N")] = None
    """Threads to read and aggregate with; one per core if not given."""

    def __post_init__(self) -> None:
        check_range(self, 0, MAX_SEED, "seed")
        check_range(self, 1, ANY, "stays", "hours", "threads")
        check_range(self, 0, ANY, "before_hours", "min_age", "max_age", "min_stay_hours", "max_stay_hours")
        check_range(self, 0, 1, "min_coverage")
        if (self.split == "by-id") != (self.test_after is not None):
            raise TardiffError("--split by-id and --test-after go together: patients with a higher id are the test split")


@dataclass(frozen=True)
class SimulateSettings:
    """Choices for raw tables of made-up patients."""

    out: PathText
    """The raw folder to make, with hosp and icu in it; it must not exist."""
    stays: int = 3000
    """How many stays in intensive care; one has about 520 rows of chartevents and 250 of labevents."""
    seed: int = 0
    """Seed of everything that is drawn."""
    ballast: int = 0
    """Rows of chartevents that no variable uses, for each row that one uses; the real table has about 5."""

    def __post_init__(self) -> None:
        check_range(self, 0, MAX_SEED, "seed")
        check_range(self, 1, ANY, "stays")
        check_range(self, 0, 1000, "ballast")
