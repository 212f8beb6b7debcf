"""What is run: data sets, regimes, rows, seeds, and the order of cells, as `protocol.yaml` has them.

A *study* asks one question: one data set, one regime, some rows of a table, some seeds. A *cell* is one row with one seed.
"""

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml

from experiments.harness.knock_outs import KNOCK_OUTS
from tardiff.compare.ladder import ALONE, CURVE
from tardiff.errors import InputError
from tardiff.settings import LADDER, METHODS, GuidanceSettings, TrainSettings

HERE = Path(__file__).parent
PROTOCOL = HERE / "protocol.yaml"
RESULTS, OPENINGS, CHOSEN = HERE / "results.jsonl", HERE / "openings.jsonl", HERE / "chosen.json"
"""Ledger of finished cells, openings of test rows, and what screening chose."""
REAL_ROWS = tuple(method for method in METHODS if method not in ("unguided", "guided", "refined"))
"""Rows that only change, weigh or tune real records: those of `tardiff compare`."""
SENT_ROWS = tuple(way for way in LADDER if way.startswith(("local", "as-is", "recal", "fine", "real", "selected")))
"""Rows of `tardiff compare --from` that read no samples; those that do are recipes, with `ALONE` behind the name without local rows."""


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of the protocol's records."""


class Data(_Strict, frozen=True):
    """A data set.

    Attributes:
        prepare: settings of `tardiff prepare`; `raw` is a folder of the one that TARDIFF_DATA names, `task` may be a file beside the
            protocol. Or `folder`, which is prepared already.
        split: `as prepared`, or rows by the last digit of their patient's number: digits by split.
        most: rows by split, the lowest numbers first; all if it is not named.
        without: channel and limit: rows whose last charted value lies below it are left out, from every split.
        test_for: studies that may read its test rows; no other cell is ever shown them.
        note: what is known of the test rows beforehand.
    """

    prepare: dict[str, Any]
    test_for: tuple[str, ...]
    note: str
    split: Literal["as prepared"] | dict[str, tuple[int, ...]] = "as prepared"
    most: dict[str, int] = {}
    without: tuple[str, float] | None = None


class Regime(_Strict, frozen=True):
    """Which training and validation rows a cell may read, and which of their labels; what is drawn depends on the seed.

    Attributes:
        train, validation: rows; None is all of them.
        share: of the last class in both; None is that of the training rows.
        local: rows to learn from and choose by where another site sends a generator; the others only draw the learning curve.
        rows: most synthetic rows beside them.
        unlabelled: the generator reads all training rows, and no label of any.
        collapsed: a record is one step, the mean of each channel and the descriptors (RLSyn's setting).
    """

    train: int | None = None
    validation: int | None = None
    share: float | None = None
    local: int | None = None
    rows: int = 3000
    unlabelled: bool = False
    collapsed: bool = False


class Recipe(_Strict, frozen=True):
    """How the synthetic rows of a row of the table are made.

    Attributes:
        guidance: fields of `GuidanceSettings`; none of them is the default guide.
        generator: `base`, one of `generators.OTHERS`, `adapted`, another site's, adapted to the local rows, or `gated`: one for each fold
            of the gate of `tardiff augment`, and one for all rows if it lets samples through.
        guide: that of the settings; TarDiff's published rule; what this study's screening chose (`chosen.json`); or a random direction
            that moves samples as far as that one does.
        aim: where there are rows of two sites, whose the guide serves.
        without: a part of the generator that is left out, one of `knock_outs.KNOCK_OUTS`.
        steps: of its training, as a multiple of the base's.
        select: choose by influence among four times as many; then nothing is added to real rows.
        relabel: classifiers rank unguided samples and give the labels.
        samples: file of samples made elsewhere, in the work folder; `{data}` and `{seed}` are filled in.
    """

    guidance: dict[str, Any] = msgspec.field(default_factory=lambda: {"guidance": "none"})
    generator: str = "base"
    guide: Literal["settings", "published", "chosen", "random"] = "settings"
    aim: Literal["local", "sender"] = "local"
    without: str | None = None
    steps: float = 1.0
    select: bool = False
    relabel: bool = False
    samples: str | None = None

    @property
    def settings(self) -> GuidanceSettings:
        """Of guidance."""
        return GuidanceSettings(**self.guidance)


class Study(_Strict, frozen=True):
    """A question.

    Attributes:
        asks: the question, in words.
        data, regime, generator: names in the protocol.
        reads: rows that judge: `test`, or `validation` (training rows outside the budget where there is one) to screen.
        rows: names of `REAL_ROWS` and of recipes.
        control: row with which the others are compared.
        judges: keys of `judges.JUDGES`.
        adds: also judge real and synthetic rows together; validation rows choose how many.
        tuned_first: to a model with the settings that `tuned` chose. Studies with a sender always do so.
        sizes: synthetic rows alone, so many; 0 is as many as training rows, or `fewest`.
        fewest: fewest synthetic rows where `sizes` is 0.
        records: rows whose records are looked at, and how closely: `light` (trees, one attack), `close` (all discriminators and distances)
            or `full` (attacks by a reference model as well).
        minutes: of a cell by row, measured or estimated on one core; `others` stands for what is not named.
        sender: a data set whose training rows teach the generator and the classifier that another site sends; None: there is none.
        screen: the study that chooses its row `chosen`.
    """

    asks: str
    data: str
    regime: str
    generator: str
    reads: Literal["test", "validation"]
    rows: tuple[str, ...]
    control: str
    minutes: dict[str, float]
    judges: tuple[str, ...] = ("gru", "trees", "logistic")
    adds: bool = True
    tuned_first: bool = False
    sizes: tuple[int, ...] = (0,)
    fewest: int = 0
    records: dict[str, Literal["light", "close", "full"]] = {}
    sender: str | None = None
    screen: str | None = None

    def knows(self, row: str, recipes: Collection[str]) -> bool:
        """Whether it can have a row of this name."""
        if self.sender is None:
            return row in REAL_ROWS or row in recipes
        return row in SENT_ROWS or on_curve(row) or row.removesuffix(ALONE) in recipes


def on_curve(row: str) -> bool:
    """Whether a row is a point of the learning curve of local rows."""
    return row == "local" or row.startswith(CURVE)


class Stage(_Strict, frozen=True):
    """Cells that are run before those of later stages, seed by seed.

    Attributes:
        study: its name.
        seeds: their numbers.
        rows: some of its rows; all if none is named.
    """

    study: str
    seeds: tuple[int, ...]
    rows: tuple[str, ...] = ()


class Margin(_Strict, frozen=True):
    """Two rows are equally good if the 95 % interval of their difference lies within the margin; stated before the run."""

    study: str
    row: str
    against: str
    column: str
    auprc: float


@dataclass(frozen=True)
class Cell:
    """One row of a study's table with one seed."""

    study: str
    row: str
    seed: int

    @property
    def key(self) -> dict[str, Any]:
        """How the ledger knows it."""
        return {"study": self.study, "row": self.row, "seed": self.seed}

    def __str__(self) -> str:
        return f"{self.study}, {self.row}, seed {self.seed}"


class Protocol(_Strict, frozen=True):
    """All of it.

    Attributes:
        data, regimes, recipes, studies: by name.
        generators: fields of `TrainSettings` by size.
        pieces: minutes of what cells share and is made once a study and seed: `generator/SIZE`, `guide`.
        iterations: of `ppo`, `policy` and `gan`.
        order: stages, the most important first.
        margins: of equivalence, by claim.
        ratios: of `CompareSettings`: rows that validation rows choose from.
        resamples: of judged patients.
    """

    data: dict[str, Data]
    regimes: dict[str, Regime]
    generators: dict[str, dict[str, Any]]
    pieces: dict[str, float]
    recipes: dict[str, Recipe]
    studies: dict[str, Study]
    iterations: dict[str, int]
    order: tuple[Stage, ...]
    margins: dict[str, Margin] = {}
    ratios: tuple[float, ...] = (0.25, 0.5, 1.0)
    resamples: int = 200

    def __post_init__(self) -> None:
        for name, study in self.studies.items():
            for what, known in (("data", self.data), ("regime", self.regimes), ("generator", self.generators)):
                if getattr(study, what) not in known:
                    raise InputError(f"study {name}: {what} {getattr(study, what)!r} is not in the protocol")
            if study.sender is not None and study.sender not in self.data:
                raise InputError(f"study {name}: sender {study.sender!r} is not in the protocol")
            if "chosen" in study.rows and (study.screen not in self.studies or self.studies[study.screen].reads != "validation"):
                raise InputError(f"study {name}: has a row `chosen`; `screen` must name a study that reads validation rows")
            for row in (study.control, *study.rows, *study.records):
                if not study.knows(row, self.recipes):
                    raise InputError(f"study {name}: row {row!r} is neither a row of compare nor a recipe")
            if missing := [row for row in study.rows if row not in study.minutes and "others" not in study.minutes]:
                raise InputError(f"study {name}: how many minutes does {missing[0]!r} take?")
            if study.reads == "test" and name not in self.data[study.data].test_for:
                raise InputError(
                    f"study {name}: may not read the test rows of {study.data}, which are for {self.data[study.data].test_for}"
                )
        for stage in self.order:
            if stage.study not in self.studies:
                raise InputError(f"order: {stage.study!r} is no study")
            if unknown := set(stage.rows) - set(self.studies[stage.study].rows):
                raise InputError(f"order: {stage.study} has no row {sorted(unknown)[0]!r}")
        for name, recipe in self.recipes.items():
            _ = recipe.settings
            if recipe.without and recipe.without not in KNOCK_OUTS:
                raise InputError(f"recipe {name}: the generator has no part {recipe.without!r}")

    def training(self, size: str, seed: int, **changes: Any) -> TrainSettings:
        """Settings of a generator of a size."""
        return msgspec.convert({**self.generators[size], "seed": seed, **changes}, TrainSettings)

    def cells(self) -> Iterator[Cell]:
        """Every cell once, in the order in which it is run."""
        seen = set()
        for stage in self.order:
            for seed in stage.seeds:
                for row in stage.rows or self.studies[stage.study].rows:
                    cell = Cell(stage.study, row, seed)
                    if cell not in seen:
                        seen.add(cell)
                        yield cell

    def digest(self, cell: Cell) -> str:
        """Hash of all that the protocol says of how a cell is made and judged; words, costs in time and other rows are not in it."""
        study, recipe = self.studies[cell.study], self.recipe(cell)
        data, sender = self.data[study.data], study.sender and self.data[study.sender]
        parts = [
            *(data.prepare, data.split, data.most, data.without),
            *(self.regimes[study.regime], self.generators[study.generator], recipe, study.records.get(cell.row)),
            *(study.reads, study.judges, study.adds, study.sizes, study.fewest, self.ratios, self.resamples),
            (sender.prepare, sender.split, sender.most) if sender else None,
            self.iterations if recipe and recipe.generator != "base" else None,
            *(["tuned first"] if study.tuned_first else []),
        ]
        return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()[:12]

    def recipe(self, cell: Cell) -> Recipe | None:
        """Of its synthetic rows; None if it has none."""
        return self.recipes.get(cell.row.removesuffix(ALONE))

    def minutes(self, cell: Cell) -> float:
        """Of a cell on one core, without what it shares with others."""
        study = self.studies[cell.study]
        return study.minutes.get(cell.row, study.minutes.get("others", 0.0))


def load(path: Path = PROTOCOL) -> Protocol:
    """Read a protocol.

    Raises:
        InputError: naming the field that is unknown, missing or of the wrong type, or the study that asks for what is not there.
    """
    try:
        return msgspec.convert(yaml.safe_load(path.read_text(encoding="utf-8")), Protocol)
    except (OSError, yaml.YAMLError, msgspec.ValidationError) as error:
        raise InputError(f"{path}: {error}") from error
