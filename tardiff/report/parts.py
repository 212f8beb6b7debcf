"""What a report is made of: sections of figures and tables, each with a title and a caption that says how to read it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from tardiff.report.schema.numbers import Estimate
from tardiff.report.svg import Scale, axis, joined, tag, track

SHOWN = 12  # panels of a figure; further ones open on demand


@dataclass(frozen=True)
class Figure:
    """Panels under one title. `kind` is a class of style.css that lays them out."""

    title: str
    caption: str
    panels: Sequence[Markup]
    kind: str = "panels"
    legend: Sequence[tuple[str, str]] = ()
    """Style and text of each entry."""

    @property
    def first(self) -> Sequence[Markup]:
        """The panels that are shown at once."""
        return self.panels[:SHOWN]

    @property
    def more(self) -> Sequence[Markup]:
        """Those behind a click."""
        return self.panels[SHOWN:]


@dataclass(frozen=True)
class Table:
    """A table; `folded` ones open on demand."""

    title: str
    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[Any]]
    folded: bool = False


@dataclass
class Section:
    """A chapter of the report."""

    name: str
    title: str
    intro: str
    items: list[Figure | Table] = field(default_factory=list)


def shown(estimate: Estimate | None, signed: bool = False) -> str:
    """`0.321 [0.290, 0.355]`, with real minus signs; a dash where undefined."""
    if estimate is None or estimate.value is None:
        return "–"
    value, low, high = (_plain(end, "+.3f" if signed else ".3f") for end in (estimate.value, estimate.low, estimate.high))
    return f"{value} [{low}, {high}]" if low and high else f"{value} [too few]"


def _plain(number: float | None, shape: str) -> str:
    """A number without a minus before zero."""
    return "" if number is None else f"{round(number, 3) + 0.0:{shape}}".replace("-", "−").replace("+0.000", "0.000")


def panel(drawing: Markup, title: str, note: str = "") -> Markup:
    """A drawing under its own small title."""
    return tag("div", tag("h4", joined([tag("span", title), *([tag("small", note)] if note else [])])) + drawing, class_="panel")


@dataclass(frozen=True)
class Row:
    """A number in a forest plot; an open dot stands for a set that is added to real rows."""

    label: str
    style: str
    estimate: Estimate | None
    note: str = ""


def forest(title: str, groups: Iterable[tuple[str, Sequence[Row]]], reference: float | None = None, signed: bool = False) -> Markup:
    """Numbers with their intervals under each other, on one scale; each group under its name."""
    known = [(name, [row for row in rows if row.estimate is not None]) for name, rows in groups]
    numbers = [number for _, rows in known for row in rows if (e := row.estimate) for number in (e.value, e.low, e.high)]
    scale = Scale.around([*numbers, reference])
    parts = [tag("h4", title)]
    for name, rows in known:
        if name and rows:
            parts.append(tag("h5", name))
        parts += [_row(row, scale, reference, signed) for row in rows]
    parts.append(tag("div", axis(scale), class_="row ticks"))
    return tag("div", joined(parts), class_="panel forest")


def _row(row: Row, scale: Scale, reference: float | None, signed: bool) -> Markup:
    text = shown(row.estimate, signed)
    label = tag("span", row.label + (f" {row.note}" if row.note else ""), class_="label")
    drawn = Markup("")
    if row.estimate is not None and row.estimate.value is not None:
        drawn = track(scale, row.estimate.value, row.estimate.low, row.estimate.high, row.style, reference, f"{row.label}: {text}")
    return tag("div", joined([label, drawn, tag("span", text, class_="number")]), class_="row")
