"""Fidelity: real data next to each set, and the distances between them."""

from collections.abc import Iterator, Mapping, Sequence

from markupsafe import Markup

from tardiff.report.parts import Figure, Row, Section, Table, forest, panel, shown
from tardiff.report.report_input import ReportInput
from tardiff.report.schema.curves import Summary
from tardiff.report.schema.numbers import Estimate, Measure
from tardiff.report.svg import Panel, Scale, heat_map

MAX_CHANNELS = 24  # of a correlation matrix
FULL = {"correlations": 1.0, "difference": 0.5}  # deepest colour
NAMES = {
    "ks": "Kolmogorov-Smirnov distance",
    "wasserstein": "Wasserstein distance (sd)",
    "observed_rate": "observed share, difference",
    "autocorrelation": "autocorrelation, difference",
    "correlation": "correlations, difference",
    "ordering_violations": "values in an impossible order, share",
    "out_of_limits": "values outside their limits, share",
    "mmd": "maximum mean discrepancy (of whole stays)",
    "frechet": "Fréchet distance (of whole stays, as a network sums them up)",
    "told_apart_trees": "told apart by trees",
    "told_apart_gru": "told apart by a GRU",
    "told_apart_charting": "told apart by charting alone",
    "told_apart_descriptors": "told apart by descriptors and label alone",
    "change": "change to the next value, difference (sd)",
    "resolution": "values on each grid, difference",
    "clinical": "clinical rules, difference (sd)",
}


def fidelity_name(metric: str) -> str:
    """A metric as the reader calls it."""
    return NAMES.get(metric, metric.replace("_", " "))


def overall(numbers: Mapping[str, Measure], metric: str) -> Estimate | None:
    """A metric's one number: itself, or its mean over channels; None where it has none."""
    return numbers[metric].overall if metric in numbers else None


def fidelity(evaluation: ReportInput) -> Section:
    """How far the sets look like real data."""
    intro = (
        "Synthetic training rows are compared with real ones. The floor is what real held-out patients score against the same rows. "
        f"{evaluation.result.fidelity.rows:,} rows of each are compared."
    )
    drawings = [*_trajectories(evaluation), _histograms(evaluation), _correlations(evaluation), _observed(evaluation)]
    return Section("fidelity", "Fidelity", intro, [*drawings, *_numbers(evaluation)])


def _drawn(evaluation: ReportInput) -> list[tuple[str | None, Summary]]:
    """Real data (None), then every set."""
    return [(None, evaluation.curves.real), *((name, evaluation.curves.synthetic[name]) for name in evaluation.sets)]


def _hour_ticks(hours: Sequence[float]) -> list[float] | None:
    end = hours[-1] + (hours[1] - hours[0] if len(hours) > 1 else 1)
    step = next((s for s in (1, 2, 3, 6, 12, 24, 48) if end / s <= 5), None)
    return None if step is None else [float(step * k) for k in range(int(end / step) + 1)]


def _hours(hours: Sequence[float]) -> Scale:
    return Scale(hours[0], hours[-1] if len(hours) > 1 else hours[0] + 1)


def _inside(ticks: list[float] | None, scale: Scale) -> list[float] | None:
    return None if ticks is None else [tick for tick in ticks if scale.low <= tick <= scale.high]


def _trajectories(evaluation: ReportInput) -> Iterator[Figure]:
    curves, (low, middle, high) = evaluation.curves, range(3)
    hours = curves.hours
    scale = _hours(hours)
    shares = " to ".join(f"{100 * level:g}" for level in (curves.quantiles[0], curves.quantiles[2]))
    drawn = _drawn(evaluation)
    for k, label in enumerate(curves.classes):
        panels = []
        for c, channel in enumerate(curves.channels):
            bands = [(name, data.bands[c][k]) for name, data in drawn]
            every = [number for _, band in bands for line in band for number in line]
            plot = Panel(f"{channel.name} by hour, {label}", scale, Scale.around(every), _inside(_hour_ticks(hours), scale))
            for name, band in bands:
                style = evaluation.colour(name)
                if name is None:
                    plot.band(hours, band[low], band[high], style)
                else:
                    plot.line(hours, band[low], f"{style} thin")
                    plot.line(hours, band[high], f"{style} thin")
                plot.line(hours, band[middle], style)
            panels.append(panel(plot.svg(), channel.name, channel.unit))
        rows = ", ".join(f"{data.rows[k]:,} {name or 'real'}" for name, data in drawn)
        yield Figure(
            f"Trajectories: {label}",
            f"Across: hours. Thick lines are medians of the observed values; the grey band and the thin lines hold the middle "
            f"{shares} % of them. Lines of a good set lie on the real ones. Rows: {rows}.",
            panels,
            legend=evaluation.legend,
        )


def _histograms(evaluation: ReportInput) -> Figure:
    panels = []
    for v, variable in enumerate(evaluation.curves.variables):
        edges, histograms = variable.edges, [(name, data.histograms[v]) for name, data in _drawn(evaluation)]
        top = max((share for _, shares in histograms for share in shares if share is not None), default=1.0)
        ticks = [float(k) for k in range(len(variable.categories))] or None
        plot = Panel(f"distribution of {variable.name}", Scale(edges[0], edges[-1]), Scale(0, 1.08 * top or 1.0), ticks, y_ticks=())
        x = [edge for edge in edges for _ in (0, 1)]
        for name, shares in histograms:
            if not any(shares):
                continue
            y = [0.0, *(share for share in shares for _ in (0, 1)), 0.0]
            if name is None:
                plot.band(x, [0.0 if share is not None else None for share in y], y, "real")
            plot.line(x, y, evaluation.colour(name))
        note = ", ".join(f"{k} {name}" for k, name in enumerate(variable.categories)) or variable.unit
        panels.append(panel(plot.svg(), variable.name, note))
    return Figure(
        "Distributions",
        "Share of the known values in each bin; the outermost bins hold all that lies beyond. Grey is real; a good set's outline "
        "follows it.",
        panels,
        legend=evaluation.legend,
    )


def _correlations(evaluation: ReportInput) -> Figure:
    curves = evaluation.curves
    names = [channel.name for channel in curves.channels][:MAX_CHANNELS]
    n = len(names)
    panels, real = [], [row[:n] for row in curves.real.correlations[:n]]
    for name, data in _drawn(evaluation):
        ours = [row[:n] for row in data.correlations[:n]]
        label = name or "real"
        panels.append(panel(heat_map(ours, names, f"correlations, {label}", FULL["correlations"]), label))
        if name is not None:
            gap = [[None if a is None or b is None else a - b for a, b in zip(*pair, strict=True)] for pair in zip(ours, real, strict=True)]
            panels.append(panel(heat_map(gap, names, f"correlations, {label} minus real", FULL["difference"]), f"{label} − real"))
    return Figure(
        "Correlations of the channels",
        "Each cell is a pair of channels, over the values observed at the same hour. Blue rises together, red against each other; "
        f"full colour is ±1, in differences ±{FULL['difference']:g}; dashed cells had too few values. A good set's difference is blank."
        + (f" The first {n} channels are shown." if n < len(curves.channels) else ""),
        panels,
        "maps",
    )


def _observed(evaluation: ReportInput) -> Figure:
    panels, hours = [], evaluation.curves.hours
    scale = _hours(hours)
    for c, channel in enumerate(evaluation.curves.channels):
        plot = Panel(
            f"share of rows with {channel.name} observed, by hour", scale, Scale(0, 1), _inside(_hour_ticks(hours), scale), (0, 0.5, 1)
        )
        for name, data in _drawn(evaluation):
            if name is None:
                plot.band(hours, [0.0] * len(hours), data.observed[c], "real")
            plot.line(hours, data.observed[c], evaluation.colour(name))
        panels.append(panel(plot.svg(), channel.name))
    caption = "Across: hours; up: share of the rows in which the channel was observed. What was measured when tells much about a patient."
    return Figure("Observed by hour", caption, panels, legend=evaluation.legend)


def _numbers(evaluation: ReportInput) -> Iterator[Figure | Table]:
    part = evaluation.result.fidelity
    everyone: dict[str | None, Mapping[str, Measure]] = {None: part.floor, **{name: part.sets[name] for name in evaluation.sets}}
    metrics = [m for m in dict.fromkeys(metric for numbers in everyone.values() for metric in numbers) if not m.startswith("told_apart_")]
    panels: list[Markup] = []
    for metric in metrics:
        rows = [Row(name or "real held-out", evaluation.colour(name), overall(numbers, metric)) for name, numbers in everyone.items()]
        if any(row.estimate for row in rows):
            floor = overall(everyone[None], metric)
            panels.append(forest(fidelity_name(metric), [("", rows)], floor.value if floor else None))
    yield Figure(
        "Distances to real training rows",
        "Dots with 95 % intervals over rows; the dashed line is the floor, where a perfect set would lie. Means over channels of the "
        "magnitude, where a distance is taken by channel.",
        panels,
        "forests",
        [("real", "real held-out (floor)"), *evaluation.legend[1:]],
    )
    by_channel = [
        [fidelity_name(metric), channel, name or "real held-out", shown(estimate)]
        for metric in metrics
        for name, numbers in everyone.items()
        if metric in numbers
        for channel, estimate in numbers[metric].by_channel.items()
    ]
    if by_channel:
        yield Table("Distances by channel", "Value and 95 % interval.", ["distance", "channel", "set", "value"], by_channel, folded=True)
