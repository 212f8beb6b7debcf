"""Utility, forecasting and subgroups: forest plots and their tables."""

from collections.abc import Iterable, Iterator

from markupsafe import Markup

from tardiff.evaluate.lookup import shown_ratio
from tardiff.report.parts import Figure, Row, Section, Table, forest, panel, shown
from tardiff.report.report_input import ReportInput
from tardiff.report.schema.utility import Cell, Difference, Judged, Trained
from tardiff.report.svg import Panel, Scale

METRICS = {"auprc": "AUPRC", "auroc": "AUROC"}
NAMES = METRICS | {"brier": "Brier score", "calibration_slope": "calibration slope"}
HOLLOW = " hollow"  # dots of sets that are added to real rows


def metric_name(metric: str) -> str:
    """A metric as the reader calls it."""
    return NAMES.get(metric, metric.replace("_", " "))


def cell_name(cell: Trained) -> str:
    """What a model was trained on (and, where it is not real rows, tested on), in words."""
    name = cell.synthetic
    words = {"TRTR": "real", "TSTR": f"{name} alone", "TRTS": f"real, tested on {name}", "mask-only": "real, charting alone"}
    return words[cell.protocol] if cell.ratio is None else f"real + {name}" if cell.ratio == 1 else f"real + {cell.ratio:g} × {name}"


def models(cells: Iterable[Trained]) -> list[str]:
    """The models of some cells, in their order; what sees the mask alone is a floor, not a model."""
    return list(dict.fromkeys(cell.model for cell in cells if cell.protocol != "mask-only"))


def utility(evaluation: ReportInput) -> Section:
    """How well models learn from each set."""
    part, test = evaluation.result.utility, evaluation.result.test
    cells = part.cells
    section = Section(
        "utility",
        "Utility",
        f"Models learn {test.task.replace('_', ' ')} ({test.rule}) from each training set and predict {test.rows:,} real {test.split} rows "
        f"({test.positives:,} {test.classes[1]}), {len(part.seeds)} fits a cell. Chance: AUPRC {test.positives / test.rows:.3f}, "
        "AUROC 0.500.",
    )
    section.items.append(
        Figure(
            "What each training set teaches",
            "Dots: mean over fits; bars: 95 % interval over test patients and fits. Filled dots learnt from one set alone, hollow "
            "ones from real rows with synthetic ones added (as many, or so many times as many as stands there); the dashed line is "
            "real rows alone. Further right is better."
            + (" * fewer synthetic rows than asked for: all there are." if any(cell.short_of_rows for cell in cells) else ""),
            list(_forests(evaluation, cells)),
            "forests",
            evaluation.legend,
        )
    )
    section.items += _differences(evaluation, part.differences)
    section.items += _amounts(evaluation, cells)
    section.items.append(_forecast(evaluation))
    metrics = list(dict.fromkeys(metric for cell in cells for metric in cell.metrics))
    rows = [
        [cell.model, cell_name(cell), f"{cell.real_rows:,}", f"{cell.synthetic_rows:,}", *(shown(cell.metrics.get(m)) for m in metrics)]
        for cell in cells
    ]
    head = ["model", "trained on", "real rows", "synthetic rows", *map(metric_name, metrics)]
    section.items.append(Table("All numbers", "Value and 95 % interval of every model and training set.", head, rows, folded=True))
    return section


def _forests(evaluation: ReportInput, cells: list[Cell]) -> Iterator[Markup]:
    """One forest a metric and model, for the real data's line belongs to both."""
    ratio = shown_ratio(cell.ratio for cell in cells)
    for model in models(cells):
        for metric, name in METRICS.items():
            mine = [cell for cell in cells if cell.model == model and cell.ratio in (None, ratio)]
            mine = [cell for cell in mine if cell.protocol != "TRTS"]  # judged on other rows
            real = next((cell.metrics[metric].value for cell in mine if cell.protocol == "TRTR"), None)
            yield forest(f"{model}: {name}", [("", [_row(evaluation, cell, metric) for cell in mine])], real)


def _row(evaluation: ReportInput, cell: Judged, metric: str) -> Row:
    added = cell.protocol == "TSRTR"
    note = "*" if isinstance(cell, Cell) and cell.short_of_rows else ""
    return Row(cell_name(cell), evaluation.colour(cell.synthetic) + HOLLOW * added, cell.metrics[metric], note)


def _differences(evaluation: ReportInput, differences: list[Difference]) -> Iterator[Figure]:
    """Paired differences, by what they are taken against."""
    ratio = shown_ratio(difference.ratio for difference in differences)
    against = list(dict.fromkeys(difference.against.synthetic for difference in differences))
    panels = []
    for base in sorted(against, key=lambda name: name is not None):
        for metric, name in METRICS.items():
            groups = [
                (
                    model,
                    [
                        _row(evaluation, d, metric)
                        for d in differences
                        if (d.model, d.against.synthetic) == (model, base) and d.ratio in (None, ratio)
                    ],
                )
                for model in models(differences)
            ]
            panels.append(forest(f"{name}, minus that of {base or 'real rows alone'}", groups, 0.0, signed=True))
    if panels:
        yield Figure(
            "Differences",
            "Paired over the same test patients and fits. An interval that lies right of the dashed line is a gain, left of it a "
            "loss; one that crosses it shows no difference.",
            panels,
            "forests",
            evaluation.legend[1:],
        )


def _amounts(evaluation: ReportInput, cells: list[Cell]) -> Iterator[Figure]:
    """Metric against the number of synthetic rows added, where several were tried."""
    added = [cell for cell in cells if cell.protocol == "TSRTR"]
    ratios = {cell.ratio for cell in added if cell.ratio is not None}
    if len(ratios) < 2:
        return
    panels = []
    for model in models(added):
        for metric, name in METRICS.items():
            mine = [cell for cell in cells if cell.model == model and cell.protocol in ("TRTR", "TSRTR")]
            numbers = [number for cell in mine for number in (cell.metrics[metric].low, cell.metrics[metric].high)]
            plot = Panel(f"{name} of {model} by synthetic rows added", Scale(0, max(ratios)), Scale.around(numbers))
            for set_name in evaluation.sets:
                path = sorted((c for c in mine if c.synthetic in (None, set_name)), key=lambda cell: cell.ratio or 0.0)
                estimates, style = [cell.metrics[metric] for cell in path], evaluation.colour(set_name)
                x = [cell.ratio or 0.0 for cell in path]
                plot.band(x, [e.low for e in estimates], [e.high for e in estimates], style)
                plot.line(x, [e.value for e in estimates], style)
            panels.append(panel(plot.svg(), model, name))
    yield Figure(
        "How many synthetic rows to add",
        "Across: synthetic rows added, as a share of the real training rows (0 is real rows alone); bands: 95 % intervals. A line "
        "that rises says that more synthetic rows teach more.",
        panels,
        legend=evaluation.legend[1:],
    )


def _forecast(evaluation: ReportInput) -> Figure:
    part = evaluation.result.forecast
    rows = [Row("real", "real", part.real), *(Row(n, evaluation.colour(n), e) for n, e in part.sets.items())]
    caption = "Error on real test rows of a model that continues a record, by what it was trained on. Further left is better."
    return Figure("Forecasting", caption, [forest("forecast error", [("", rows)], part.real.value)], "forests", evaluation.legend)


def subgroups(evaluation: ReportInput) -> Section | None:
    """The same by group of test patients."""
    groups = evaluation.result.subgroups
    if not groups:
        return None
    cells = [cell for group in groups for cell in group.judged]
    section = Section("subgroups", "Subgroups", "The same models on groups of the test patients: who gains and who loses.")
    ratio = shown_ratio(cell.ratio for cell in cells)
    panels = []
    for static in dict.fromkeys(group.static for group in groups):
        for model in models(cells):
            named = [
                (
                    f"{group.group} ({group.n:,} rows, {group.positives:,} positive)",
                    [_row(evaluation, cell, "auroc") for cell in group.judged if cell.model == model and cell.ratio in (None, ratio)],
                )
                for group in groups
                if group.static == static
            ]
            if any(rows for _, rows in named):
                panels.append(forest(f"{static}: AUROC of {model}", named))
    if panels:
        caption = "One block a group; dots and bars as above. Compare rows within a block: what synthetic rows change for this group."
        section.items.append(Figure("By group", caption, panels, "forests", evaluation.legend))
    silent = [[g.static, g.group, f"{g.n:,}", f"{g.positives:,}", g.reason] for g in groups if g.reason]
    if silent:
        head = ["descriptor", "group", "rows", "positive", "why"]
        section.items.append(Table("Groups without numbers", "Too few rows to say anything.", head, silent))
    metrics = list(dict.fromkeys(metric for cell in cells for metric in cell.metrics))
    rows = [
        [group.static, group.group, cell.model, cell_name(cell), *(shown(cell.metrics.get(m)) for m in metrics)]
        for group in groups
        for cell in group.judged
    ]
    if rows:
        head = ["descriptor", "group", "model", "trained on", *map(metric_name, metrics)]
        section.items.append(Table("All numbers by group", "Value and 95 % interval.", head, rows, folded=True))
    return section
