"""A quiz: real and synthetic stays, shuffled, on one page on which a person guesses which is which."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup

from tardiff.base.files import new_file, refuse_existing
from tardiff.base.noise import stream
from tardiff.data.contract import Form, arranged
from tardiff.data.dataset import Dataset, Manifest, Split
from tardiff.errors import InputError
from tardiff.report.page import template_and_style
from tardiff.report.parts import panel
from tardiff.report.svg import Numbers, Panel, Scale

MOST = 200
HOURS = 8  # of a stay that its table shows
MISSING = "–"


@dataclass(frozen=True)
class Stay:
    """A stay as the page shows it.

    Attributes:
        answer: `real` or `synthetic`.
        hours: the first hours in which anything is charted.
        rows: each channel's title and its values at these hours, with the decimals that they have.
    """

    answer: str
    descriptors: Sequence[tuple[str, str]]
    charts: Sequence[Markup]
    hours: Sequence[str]
    rows: Sequence[tuple[str, Sequence[str]]]


def quiz(
    real: Dataset, synthetic: Dataset, out: str | Path, stays: int = 10, seed: int = 0, titles: Mapping[str, str] | None = None
) -> Path:
    """Write a page of test rows (training rows if there are no others) and training rows of a synthetic set; returns its path.

    Args:
        titles: what channels are called on the page, by name; the others are called by their name.
    """
    refuse_existing(out)
    if real.manifest.synthetic and "test" not in real.splits:
        raise InputError("the first data set is synthetic; give the real one first")
    other = arranged(synthetic, Form.of_manifest(real.manifest), "data set 'synthetic'", "the real data set").train
    mine = real.splits.get("test", real.train)
    for name, split in (("real", mine), ("synthetic", other)):
        if not 1 <= stays <= min(MOST, len(split)):
            raise InputError(f"--stays {stays}: must be between 1 and {min(MOST, len(split))} (the {name} set has {len(split)})")
    random = stream("quiz", seed)
    drawn = Split.concatenate([split.take(random.permutation(len(split))[:stays]) for split in (mine, other)])
    order = random.permutation(2 * stays)
    scales = [Scale.around(map(float, values[np.isfinite(values)])) for values in drawn.values.swapaxes(0, 1)]
    names = [(titles or {}).get(name, name) for name in real.manifest.channel_names]
    shown = [_stay(drawn, row, "real" if row < stays else "synthetic", real.manifest, names, scales) for row in order]
    template, style = template_and_style("quiz.html.j2")
    page = template.render(stays=shown, each=stays, manifest=real.manifest, style=style)
    with new_file(out) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return Path(out)


def _stay(split: Split, row: int, answer: str, manifest: Manifest, names: Sequence[str], scales: Sequence[Scale]) -> Stay:
    values, steps = split.values[row], manifest.steps
    hours = [manifest.step_hours * step for step in range(steps)]
    across = Scale(0, hours[-1] or 1)
    charts = []
    for name, channel, series, scale in zip(names, manifest.channels, values, scales, strict=True):
        plot = Panel(f"{name} by hour", across, scale, empty="not charted")
        plot.line(hours, _known(series), "other")
        charts.append(panel(plot.svg(), name, channel.unit))
    told = np.flatnonzero(np.isfinite(values).any(0))[:HOURS]
    rows = [(name, [_number(value) for value in series[told]]) for name, series in zip(names, values, strict=True)]
    return Stay(answer, list(_descriptors(split, row, manifest)), charts, [f"{hours[step]:g}" for step in told], rows)


def _descriptors(split: Split, row: int, manifest: Manifest) -> Iterator[tuple[str, str]]:
    for static, value in zip(manifest.statics, split.static[row], strict=True):
        if not np.isfinite(value):
            text = "not known"
        else:
            text = static.categories[int(value)] if static.categories else f"{_number(value)} {static.unit}".rstrip()
        yield static.name.replace("_", " "), text


def _known(series: np.ndarray) -> Numbers:
    return [float(value) if np.isfinite(value) else None for value in series]


def _number(value: float) -> str:
    """With as many decimals as it has, three at most."""
    return f"{value:.3f}".rstrip("0").rstrip(".") if np.isfinite(value) else MISSING
