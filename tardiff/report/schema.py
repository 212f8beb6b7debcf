"""What the report reads of `metrics.json` and `figures.json`. What the files hold besides is not looked at."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tardiff.settings import EvaluateSettings

Count = Annotated[int, Meta(ge=0)]
Number = Annotated[float, Meta(ge=-1e100, le=1e100)]
"""What a plot can be scaled to."""
Size = Annotated[float, Meta(ge=0, le=1e100)]
Share = Annotated[float, Meta(ge=0, le=1)]
Line = list[Number | None]
"""Numbers along an axis; None where one is undefined."""


class _Record(msgspec.Struct, frozen=True):
    """Base of all that is read: immutable."""


class Estimate(_Record, frozen=True):
    """A number and its 95 % interval; each is None where undefined."""

    value: Number | None
    low: Number | None
    high: Number | None


class Counted(Estimate, frozen=True):
    """A share of rows, and how many of `n` they are."""

    count: Count
    n: Count


class Measure(_Record, frozen=True):
    """A distance: a number with its interval, or one of each channel and their mean."""

    value: Number | UnsetType | None = UNSET
    low: Number | None = None
    high: Number | None = None
    mean: Estimate | None = None
    by_channel: dict[str, Estimate] = {}

    def __post_init__(self) -> None:
        if self.mean is None and self.value is UNSET:
            raise ValueError("missing `value`, or `mean` over channels")

    @property
    def overall(self) -> Estimate | None:
        """The number, or the mean over channels; None where it is undefined."""
        found = self.mean or Estimate(None if self.value is UNSET else self.value, self.low, self.high)
        return None if found.value is None else found


class Trained(_Record, frozen=True):
    """A model trained in one way."""

    model: str
    protocol: Literal["TRTR", "TSTR", "TSRTR", "TRTS", "mask-only"]
    synthetic: str | None
    ratio: Annotated[float, Meta(gt=0, le=1e100)] | None

    def __post_init__(self) -> None:
        if (self.synthetic is None) != (self.protocol in ("TRTR", "mask-only")):
            raise ValueError(f"`synthetic` does not fit protocol {self.protocol}")
        if (self.ratio is None) != (self.protocol != "TSRTR"):
            raise ValueError(f"`ratio` does not fit protocol {self.protocol}")


class Judged(Trained, frozen=True):
    """A model's metrics, or how far they differ from another one's; never without those that are drawn."""

    metrics: dict[str, Estimate]

    def __post_init__(self) -> None:
        super().__post_init__()
        if missing := {"auprc", "auroc"} - self.metrics.keys():
            raise ValueError(f"missing `{min(missing)}` in `metrics`")


class Cell(Judged, frozen=True):
    """A model, and the rows that it learnt from; `short_of_rows` if there were fewer synthetic ones than the ratio asks for."""

    real_rows: Count
    synthetic_rows: Count
    short_of_rows: bool


class Difference(Judged, frozen=True):
    """A model minus another one."""

    against: Trained


class Utility(_Record, frozen=True):
    """How well models learn from each set."""

    seeds: Annotated[list[int], Meta(min_length=1)]
    cells: Annotated[list[Cell], Meta(min_length=1)]
    differences: list[Difference]


class Forecast(_Record, frozen=True):
    """Errors of models that continue a record."""

    real: Estimate
    sets: dict[str, Estimate]


class GroupCell(Trained, frozen=True):
    """A model in a group of test patients; its metrics are None in a group that is too small for them."""

    metrics: dict[str, Estimate] | None


class Group(_Record, frozen=True):
    """Test patients with something in common; `reason` says why they have no metrics."""

    static: str
    group: str
    n: Count
    positives: Count
    reason: str | None
    cells: list[GroupCell]

    def __post_init__(self) -> None:
        _ = self.judged  # checks them

    @property
    def judged(self) -> list[Judged]:
        """The cells that have metrics."""
        return [Judged(c.model, c.protocol, c.synthetic, c.ratio, c.metrics) for c in self.cells if c.metrics is not None]


class Worst(_Record, frozen=True):
    """The channel, descriptor or rule in which a set is most surely worse than the floor."""

    name: str
    value: Number
    low: Number


class AgainstFloor(_Record, frozen=True):
    """How much farther than real held-out rows a set lies from real training rows, paired."""

    mean: Estimate
    worst: Worst | None
    worse: bool


class Fidelity(_Record, frozen=True):
    """How far the sets, and real held-out rows (`floor`), lie from real training rows, by metric."""

    rows: Count
    floor: dict[str, Measure]
    sets: dict[str, dict[str, Measure]]
    against_floor: dict[str, dict[str, AgainstFloor]]


class Reason(_Record, frozen=True):
    """Something that gives the records of a set away, in words: synthetic against real."""

    words: str
    importance: Number
    alone: Share


class RuleGroup(_Record, frozen=True):
    """A clinical rule in a class, or in all rows (None)."""

    group: str | None
    real: Estimate
    floor: Estimate
    sets: dict[str, Estimate]


class Rule(_Record, frozen=True):
    """A clinical rule."""

    name: str
    expression: str
    kind: Literal["share", "mean"]
    groups: list[RuleGroup]


class Skipped(_Record, frozen=True):
    """A rule whose channels a data set lacks."""

    name: str
    missing: list[str]


class Clinical(_Record, frozen=True):
    """Rules that clinicians check."""

    rules: list[Rule]
    skipped: list[Skipped]


class Pair(_Record, frozen=True):
    """How two descriptors go together."""

    first: str
    second: str
    measure: str
    value: Number | None


class Slope(_Record, frozen=True):
    """How the mean of a channel depends on a descriptor."""

    channel: str
    descriptor: str
    slope: Number | None
    standard_error: Number | None


class DescriptorProfile(_Record, frozen=True):
    """A descriptor alone: `mean` and `sd` of a number, or `shares` of categories."""

    missing: Share
    mean: Number | None = None
    sd: Number | None = None
    shares: dict[str, Share | None] = {}


class Profile(_Record, frozen=True):
    """What is charted of a set, and how; `charting` and `resolution` by channel."""

    charting: dict[str, dict[str, Number | None]]
    resolution: dict[str, dict[str, Number | None]]
    descriptors: dict[str, DescriptorProfile]
    pairs: list[Pair]
    slopes: list[Slope]


class Profiles(_Record, frozen=True):
    """Profiles of real training rows, real held-out rows and the sets."""

    real: Profile
    floor: Profile
    sets: dict[str, Profile]


class Realism(_Record, frozen=True):
    """What gives the records of each set away."""

    reasons: dict[str, list[Reason]]
    clinical: Clinical
    profiles: Profiles

    @property
    def sets(self) -> dict[str, Profile]:
        """The profiles of the sets."""
        return self.profiles.sets


class Roc(_Record, frozen=True):
    """Shares of the others (`fpr`) and of the members (`tpr`) that are found."""

    fpr: list[Share]
    tpr: list[Share]

    def __post_init__(self) -> None:
        if len(self.fpr) != len(self.tpr):
            raise ValueError("`fpr` and `tpr` are not of one length")


class Attack(_Record, frozen=True):
    """A membership attack: `control` is the AUC of strangers against strangers, `reason` says why a rate of `tpr` is undefined."""

    attack: str
    box: str
    members: str
    n_members: Count
    n_others: Count
    auc: Estimate
    tpr: dict[str, Estimate | None]
    reason: str | None
    roc: Roc
    control: Estimate | None = None

    def __post_init__(self) -> None:
        for rate in self.tpr:
            float(rate)


class Guess(_Record, frozen=True):
    """How often an attribute is guessed right."""

    attribute: str
    members: Estimate
    others: Estimate
    difference: Estimate


class Anonymity(_Record, frozen=True):
    """How few rows share their descriptors."""

    k: Count
    n: Count
    unique_matches: Estimate
    stranger_matches: Estimate


class PrivacyOfSet(_Record, frozen=True):
    """What a synthetic set gives away."""

    nearer_train: Estimate
    closer_than_stranger: Estimate
    copies: Counted
    near_copies: Counted
    stranger_copies: Counted
    attacks: list[Attack]
    attribute_inference: list[Guess]
    k_anonymity: Anonymity


class References(_Record, frozen=True):
    """Reference models behind calibrated attacks; `reason` says why there are none."""

    models: Count
    steps: Count
    rows: Count
    others: Count
    reason: str | None


class Privacy(_Record, frozen=True):
    """What the sets, the generator and the classifiers give away."""

    sets: dict[str, PrivacyOfSet]
    generator: list[Attack]
    classifiers: dict[str, list[Attack]]
    references: References | None = None


class Step(_Record, frozen=True):
    """What a guide did in one reverse step."""

    step: Annotated[int, Meta(ge=0, le=10**6)]
    change: Size
    update: Size
    ratio: Size


class Movement(_Record, frozen=True):
    """How far guidance moved samples."""

    rows: Count
    value: Size
    steps: Annotated[list[Step], Meta(min_length=1)]
    inert: bool


class TaskName(_Record, frozen=True):
    """The task of a prepared data set."""

    name: str


class Served(_Record, frozen=True):
    """Whom guidance serves: rows of a data set, by a rule."""

    data: str
    rule: str


class Origin(_Record, frozen=True):
    """What the manifest of a data set says of how it was made: `task` by `tardiff prepare`, the rest by `tardiff sample`."""

    task: TaskName | None = None
    n: int | None = None
    guidance: dict[str, Any] = {}
    sampler: dict[str, Any] = {}
    selection: dict[str, Any] = {}
    training: dict[str, Any] = {}
    classifiers: list[Any] = []
    serves: list[Served] = []
    generator: str | None = None
    movement: Movement | None = None


class Rows(_Record, frozen=True):
    """Size of a split."""

    rows: Count


class Described(_Record, frozen=True):
    """A data set."""

    source: str
    source_version: str
    task: str
    rule: str
    classes: list[str]
    content_hash: str
    made_by: dict[str, Any]
    splits: dict[str, Rows]

    def __post_init__(self) -> None:
        try:
            _ = self.origin  # checks it
        except msgspec.ValidationError as error:
            raise ValueError(f"`made_by`: {error}") from error

    @property
    def origin(self) -> Origin:
        """What the report understands of `made_by`."""
        return msgspec.convert(self.made_by, Origin)


class Test(Described, frozen=True):
    """The real rows that are predicted."""

    split: str
    rows: Annotated[int, Meta(ge=1)]
    positives: Count

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.positives > self.rows or len(self.classes) != 2:
            raise ValueError("`positives` must be among the `rows`, and `classes` two")


class Result(_Record, frozen=True):
    """metrics.json."""

    real: Described
    synthetic: Annotated[dict[str, Described], Meta(min_length=1)]
    test: Test
    settings: EvaluateSettings
    versions: dict[str, str]
    utility: Utility
    forecast: Forecast
    subgroups: list[Group]
    fidelity: Fidelity
    realism: Realism
    privacy: Privacy

    def __post_init__(self) -> None:
        if "train" not in self.real.splits:
            raise ValueError("missing `train` in `real.splits`")
        for part in ("forecast", "fidelity", "realism", "privacy"):
            if getattr(self, part).sets.keys() != self.synthetic.keys():
                raise ValueError(f"`{part}.sets`: other sets than `synthetic` has")
        by_set: dict[str, dict[str, Any]] = {"fidelity.against_floor": self.fidelity.against_floor, "realism.reasons": self.realism.reasons}
        by_set |= {f"realism.clinical.{rule.name}": group.sets for rule in self.realism.clinical.rules for group in rule.groups}
        for name, sets in by_set.items():
            if sets.keys() != self.synthetic.keys():
                raise ValueError(f"`{name}`: other sets than `synthetic` has")
        judged = [*self.utility.cells, *self.utility.differences, *(cell for group in self.subgroups for cell in group.judged)]
        compared = [difference.against for difference in self.utility.differences]
        if strange := {cell.synthetic for cell in (*judged, *compared)} - {None, *self.synthetic}:
            raise ValueError(f"`synthetic` has no set {min(map(str, strange))!r}, which a model learnt from")


class Variable(_Record, frozen=True):
    """A channel or descriptor, and the edges of its histograms."""

    name: str
    unit: str
    categories: list[str]
    edges: Annotated[list[Number], Meta(min_length=2)]

    def __post_init__(self) -> None:
        _rises("edges", self.edges)


class Summary(_Record, frozen=True):
    """What is drawn of the training rows of a data set; see `tardiff.evaluate.curves`."""

    rows: list[Count]
    bands: list[list[tuple[Line, Line, Line]]]
    histograms: list[list[Share | None]]
    observed: list[Line]
    correlations: list[Line]


class Curves(_Record, frozen=True):
    """figures.json."""

    hours: Annotated[list[Number], Meta(min_length=1)]
    classes: list[str]
    quantiles: tuple[Number, Number, Number]
    variables: list[Variable]
    real: Summary
    synthetic: dict[str, Summary]

    def __post_init__(self) -> None:
        _rises("hours", self.hours)
        channels, classes, steps = len(self.channels), len(self.classes), len(self.hours)
        bins = [len(variable.edges) - 1 for variable in self.variables]
        for name, of in {"real": self.real, **{f"synthetic.{name}": summary for name, summary in self.synthetic.items()}}.items():
            fits = {
                "rows": _has_shape(of.rows, classes),
                "bands": _has_shape(of.bands, channels, classes, 3, steps),
                "histograms": [len(shares) for shares in of.histograms] == bins,
                "observed": _has_shape(of.observed, channels, steps),
                "correlations": _has_shape(of.correlations, channels, channels),
            }
            if wrong := [field for field, fit in fits.items() if not fit]:
                raise ValueError(f"`{name}.{wrong[0]}` does not fit `hours`, `classes` and `variables`")

    @property
    def channels(self) -> list[Variable]:
        """The variables over time, which come first."""
        return self.variables[: len(self.real.bands)]


def _has_shape(nested: Sequence[Any], *shape: int) -> bool:
    return len(nested) == shape[0] and (len(shape) == 1 or all(_has_shape(part, *shape[1:]) for part in nested))


def _rises(field: str, numbers: Sequence[float]) -> None:
    if any(low >= high for low, high in pairwise(numbers)):
        raise ValueError(f"`{field}` must rise")
