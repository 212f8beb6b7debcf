"""Small drawings as inline SVG. Colours are classes of style.css, so that one drawing serves light, dark and paper."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from markupsafe import Markup, escape
from matplotlib.ticker import MaxNLocator

Numbers = Sequence[float | None]


def tag(name: str, content: Any = "", **attributes: Any) -> Markup:
    """An element; text and attributes are escaped, `class_` is class and `_` in a name is a dash."""
    written = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(_short(value))}"' for key, value in attributes.items())
    return Markup(f"<{name}{written}>{escape(content)}</{name}>")


def joined(parts: Iterable[Markup]) -> Markup:
    """One piece after the other."""
    return Markup("").join(parts)


def _short(value: Any) -> Any:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value


@dataclass(frozen=True)
class Scale:
    """From a range of numbers to 0 .. 1; logarithmic if `log`."""

    low: float
    high: float
    log: bool = False

    @classmethod
    def around(cls, numbers: Iterable[float | None], air: float = 0.06) -> "Scale":
        """What holds all the numbers, with a little air."""
        known = [number for number in numbers if number is not None] or [0.0, 1.0]
        low, high = min(known), max(known)
        room = air * (high - low) or 0.5 * abs(high) or 1.0
        return cls(low - room, high + room)

    def __call__(self, number: float) -> float:
        """Where a number lies; beyond the ends, at the end."""
        low, high, at = (math.log10(max(v, 1e-12)) if self.log else v for v in (self.low, self.high, number))
        return min(1.0, max(0.0, (at - low) / (high - low)))

    def ticks(self, count: int = 4) -> list[float]:
        """Round numbers inside the range."""
        if self.log:
            return [10.0**k for k in range(math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9) + 1)]
        found = MaxNLocator(count, steps=[1, 2, 2.5, 5, 10]).tick_values(self.low, self.high)
        return [float(tick) for tick in found if self.low <= tick <= self.high]


def tick_text(number: float) -> str:
    """A tick in as few characters as it needs."""
    return f"{round(number, 10):.4g}".replace("-", "−")


@dataclass
class Panel:
    """A plot with two axes."""

    label: str
    x: Scale
    y: Scale
    x_ticks: Sequence[float] | None = None
    y_ticks: Sequence[float] | None = None
    x_title: str = ""
    width: float = 240.0
    height: float = 150.0
    empty: str = "too few values to draw"
    parts: list[Markup] = field(default_factory=list)

    LEFT, RIGHT, TOP, BOTTOM = 36.0, 8.0, 8.0, 22.0

    def line(self, xs: Numbers, ys: Numbers, style: str) -> None:
        """A line that breaks where a number is None; a lone point is a dot."""
        pieces = list(_pieces(xs, ys))
        lines = ["M" + " L".join(self._at(x, y) for x, y in piece) for piece in pieces if len(piece) > 1]
        points = [f"M{self._at(*piece[0])}h0.01" for piece in pieces if len(piece) == 1]
        for drawn, kind in ((lines, "line"), (points, "line point")):
            if drawn:
                self.parts.append(tag("path", class_=f"{kind} {style}", d=" ".join(drawn)))

    def band(self, xs: Numbers, lows: Numbers, highs: Numbers, style: str) -> None:
        """The area between two lines, in as many pieces as there are gaps."""
        for piece in _pieces(xs, lows, highs):
            there = [self._at(x, high) for x, _, high in piece] + [self._at(x, low) for x, low, _ in reversed(piece)]
            self.parts.append(tag("path", class_=f"band {style}", d="M" + " L".join(there) + "Z"))

    def svg(self) -> Markup:
        """The drawing with its axes, or `empty` if there is nothing to draw."""
        box: dict[str, Any] = {"viewBox": f"0 0 {self.width:g} {self.height:g}", "role": "img", "aria_label": self.label}
        if not self.parts:
            return tag("svg", tag("text", self.empty, class_="tick", x=self.width / 2, y=self.height / 2, text_anchor="middle"), **box)
        left, right, bottom = self.LEFT, self.width - self.RIGHT, self.height - self._below
        axes = []
        for tick in self.y.ticks(4) if self.y_ticks is None else self.y_ticks:
            y = self._point(self.x.low, tick)[1]
            axes.append(tag("line", class_="grid", x1=left, x2=right, y1=y, y2=y))
            axes.append(tag("text", tick_text(tick), class_="tick", x=left - 5, y=y + 4, text_anchor="end"))
        for tick in self.x.ticks(5) if self.x_ticks is None else self.x_ticks:
            x = self._point(tick, self.y.low)[0]
            axes.append(tag("line", class_="axis", x1=x, x2=x, y1=bottom, y2=bottom + 3))
            axes.append(tag("text", tick_text(tick), class_="tick", x=x, y=bottom + 15, text_anchor="middle"))
        axes.append(tag("line", class_="axis", x1=left, x2=right, y1=bottom, y2=bottom))
        if self.x_title:
            axes.append(tag("text", self.x_title, class_="tick", x=(left + right) / 2, y=self.height - 3, text_anchor="middle"))
        return tag("svg", joined([*axes, *self.parts]), **box)

    @property
    def _below(self) -> float:
        return self.BOTTOM + (14 if self.x_title else 0)

    def _point(self, x: float, y: float) -> tuple[float, float]:
        across = self.LEFT + self.x(x) * (self.width - self.LEFT - self.RIGHT)
        return across, self.height - self._below - self.y(y) * (self.height - self._below - self.TOP)

    def _at(self, x: float, y: float) -> str:
        return "{:.1f} {:.1f}".format(*self._point(x, y))


def _pieces(*columns: Numbers) -> Iterator[list[tuple[float, ...]]]:
    """Runs of points that are defined in every column."""
    for defined, points in groupby(zip(*columns, strict=True), lambda point: None not in point):
        if defined:
            yield list(points)


def track(scale: Scale, value: float, low: float | None, high: float | None, style: str, reference: float | None, label: str) -> Markup:
    """One row of a forest plot: a dot and its interval on a strip that is as wide as the page lets it."""

    def at(number: float) -> str:
        return f"{100 * scale(number):.2f}%"

    parts = [tag("line", class_="rail", x1="0%", x2="100%", y1=12, y2=12)]
    if reference is not None:
        parts.append(tag("line", class_="reference", x1=at(reference), x2=at(reference), y1=0, y2=24))
    if low is not None and high is not None:
        parts.append(tag("line", class_=f"interval {style}", x1=at(low), x2=at(high), y1=12, y2=12))
    parts.append(tag("circle", class_=f"dot {style}", cx=at(value), cy=12, r=5))
    return tag("svg", joined(parts), class_="track", height=24, role="img", aria_label=label)


def axis(scale: Scale) -> Markup:
    """The ticks below a forest plot."""
    ticks = [tick for tick in scale.ticks(4) if 0.03 < scale(tick) < 0.97]
    texts = [tag("text", tick_text(tick), class_="tick", x=f"{100 * scale(tick):.2f}%", y=12, text_anchor="middle") for tick in ticks]
    return tag("svg", joined(texts), class_="track", height=16, aria_hidden="true")


def heat_map(matrix: Sequence[Numbers], names: Sequence[str], label: str, full: float) -> Markup:
    """A square of cells: one colour above zero, another below, as deep as the number is large (`full` is the deepest)."""
    n, cell = len(matrix), 20.0
    font = 0.045 * n * cell  # as large on the page whatever n is
    room = 4.6 * font if n <= MAX_NAMED else 0.0
    parts = []
    for i, row in enumerate(matrix):
        for j, number in enumerate(row):
            text = "undefined" if number is None else f"{number:.2f}".replace("-", "−")
            sign = "none" if number is None else "above" if number >= 0 else "below"
            depth = 1.0 if number is None else min(1.0, abs(number) / full)
            box = tag("title", f"{names[i]}, {names[j]}: {text}")
            size = cell - 1
            parts.append(tag("rect", box, class_=sign, x=room + j * cell, y=room + i * cell, width=size, height=size, fill_opacity=depth))
    for k, name in enumerate(names if n <= MAX_NAMED else ()):
        middle, short = room + (k + 0.5) * cell, name if len(name) <= 7 else name[:6] + "…"
        parts.append(tag("text", short, class_="name", font_size=font, x=room - font / 2, y=middle + font / 3, text_anchor="end"))
        turned = f"translate({middle + font / 3:.1f} {room - font / 2:.1f}) rotate(-90)"
        parts.append(tag("text", short, class_="name", font_size=font, transform=turned))
    side = room + n * cell
    return tag("svg", joined(parts), viewBox=f"0 0 {side:g} {side:g}", role="img", aria_label=label)


MAX_NAMED = 12
