"""How well models learn from each set: cells, differences, subgroups, forecasts."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from tardiff.report.schema.numbers import Count, Estimate


class Trained(Struct, frozen=True):
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


class Utility(Struct, frozen=True):
    """How well models learn from each set."""

    seeds: Annotated[list[int], Meta(min_length=1)]
    cells: Annotated[list[Cell], Meta(min_length=1)]
    differences: list[Difference]


class Forecast(Struct, frozen=True):
    """Errors of models that continue a record."""

    real: Estimate
    sets: dict[str, Estimate]


class GroupCell(Trained, frozen=True):
    """A model in a group of test patients; its metrics are None in a group that is too small for them."""

    metrics: dict[str, Estimate] | None


class Group(Struct, frozen=True):
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
