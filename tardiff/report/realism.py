"""What gives records away: discriminators, their reasons in words, charting, resolution, descriptors and clinical structure."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from tardiff.report.fidelity import fidelity_name, overall
from tardiff.report.parts import Figure, Row, Section, Table, forest, shown
from tardiff.report.report_input import ReportInput
from tardiff.report.schema.numbers import Measure
from tardiff.report.schema.realism import Profile

TOLD_APART = "told_apart_"
MEASURES = {
    "never_charted": ("never charted", "%"),
    "observed_rate": ("hours charted", "%"),
    "run_length": ("mean stretch with values", "h"),
    "gap_length": ("mean gap", "h"),
    "repeats": ("repeat the value before", "%"),
    "change": ("mean change to the next value", ""),
}
"""Names and units of what profiles hold of a channel; all others are shares of values on a grid."""


def realism(evaluation: ReportInput) -> Section:
    """By what the sets are told from real records."""
    intro = (
        "Records as they are decoded, in physical units. Models learn to tell them from real training rows and are judged on patients that "
        "they have not seen: 0.5 cannot be told, 1 is told at a glance. Held-out real rows are the floor."
    )
    parts = (_told_apart, _reasons, _worse, _clinical, _charting, _resolution, _descriptors, _pairs, _slopes)
    return Section("realism", "What gives records away", intro, [item for part in parts for item in part(evaluation)])


def _told_apart(evaluation: ReportInput) -> Iterator[Figure]:
    found = evaluation.result.fidelity
    everyone: dict[str | None, Mapping[str, Measure]] = {None: found.floor, **{name: found.sets[name] for name in evaluation.sets}}
    panels = []
    for metric in (key for key in found.floor if key.startswith(TOLD_APART)):
        rows = [Row(name or "real held-out", evaluation.colour(name), overall(of, metric)) for name, of in everyone.items()]
        panels.append(forest(fidelity_name(metric), [("", rows)], 0.5))
    yield Figure(
        "Told from real rows",
        "AUROC with 95 % intervals; the dashed line is chance. Trees read summaries of each channel (levels, moves, resolution, gaps), the "
        "GRU values, gaps and levels hour by hour; charting is read alone, and so are the descriptors with the label.",
        panels,
        "forests",
        [("real", "real held-out (floor)"), *evaluation.legend[1:]],
    )


def _reasons(evaluation: ReportInput) -> Iterator[Table]:
    reasons = evaluation.result.realism.reasons
    rows = [[name, r.words, f"{r.importance:.3f}", f"{r.alone:.2f}"] for name in evaluation.sets for r in reasons.get(name, [])]
    if rows:
        caption = (
            "What the trees miss most when it is shuffled among unseen rows; last, how far it tells alone (AUROC). "
            "A set is left out if trees tell it no better than held-out real rows."
        )
        yield Table("What gives them away first", caption, ["set", "by what", "rise of the loss", "alone"], rows)


def _worse(evaluation: ReportInput) -> Iterator[Table]:
    rows = [
        [
            name,
            fidelity_name(metric),
            shown(found.mean, signed=True),
            f"{found.worst.name} (+{found.worst.value:.3f})" if found.worst else "",
        ]
        for name in evaluation.sets
        for metric, found in evaluation.result.fidelity.against_floor[name].items()
        if found.worse
    ]
    if rows:
        caption = (
            "Distance of the set minus that of held-out real rows, in the same resamples of training rows. Shown where the interval of the "
            "mean, or of the worst channel (for all channels at once), lies above zero."
        )
        yield Table("Worse than the floor", caption, ["set", "distance", "set − floor", "worst in"], rows)


def _clinical(evaluation: ReportInput) -> Iterator[Table]:
    found = evaluation.result.realism.clinical
    rows = [
        [
            rule.name,
            rule.kind,
            group.group or "all",
            shown(group.real),
            shown(group.floor),
            *(shown(group.sets[n]) for n in evaluation.sets),
        ]
        for rule in found.rules
        for group in rule.groups
    ]
    missing = "; ".join(f"{rule.name} (no {', '.join(rule.missing)})" for rule in found.skipped)
    caption = "Over the hours at which all channels of a rule are charted: the share in which it holds, or its mean." + (
        f" Skipped: {missing}." if missing else ""
    )
    if rows:
        yield Table("Clinical structure", caption, ["rule", "", "class", *_columns(evaluation)], rows)


def _charting(evaluation: ReportInput) -> Iterator[Table]:
    rows = _by_channel(evaluation, lambda profile: profile.charting)
    caption = "A stay without a channel, and how long values and gaps last. The figure of the hours stands under Fidelity."
    yield Table("Charting", caption, ["channel", "", *_columns(evaluation)], rows, folded=True)


def _resolution(evaluation: ReportInput) -> Iterator[Table]:
    rows = _by_channel(evaluation, lambda profile: profile.resolution)
    caption = "Share of the values on each grid (a whole number is a half and a tenth, too), ties, and how far a value lies from the next."
    yield Table("Resolution and movement", caption, ["channel", "", *_columns(evaluation)], rows, folded=True)


def _descriptors(evaluation: ReportInput) -> Iterator[Table]:
    everyone = _profiles(evaluation)
    rows = []
    for name, described in everyone[0].descriptors.items():
        mine = [profile.descriptors[name] for profile in everyone]
        rows.append([name, "missing", *(_text(of.missing, "%") for of in mine)])
        if described.shares:
            rows += [[name, category, *(_text(of.shares.get(category), "%") for of in mine)] for category in described.shares]
        else:
            rows += [[name, "mean", *(_text(of.mean) for of in mine)], [name, "sd", *(_text(of.sd) for of in mine)]]
    if rows:
        yield Table("Descriptors", "Each alone, of those known.", ["descriptor", "", *_columns(evaluation)], rows, folded=True)


def _pairs(evaluation: ReportInput) -> Iterator[Table]:
    everyone = [profile.pairs for profile in _profiles(evaluation)]
    rows = [[of[0].first, of[0].second, of[0].measure, *(_text(p.value) for p in of)] for of in zip(*everyone, strict=True)]
    if rows:
        caption = (
            "Rank correlation of two numbers (spearman), AUROC of a category by a number (0.5 is independence), correlation of two "
            "categories (phi), over the stays of which both are known."
        )
        yield Table("Descriptors in pairs", caption, ["descriptor", "with", "measure", *_columns(evaluation)], rows, folded=True)


def _slopes(evaluation: ReportInput) -> Iterator[Table]:
    everyone = [profile.slopes for profile in _profiles(evaluation)]
    rows = [
        [of[0].channel, of[0].descriptor, *(f"{_text(s.slope)} ± {_text(s.standard_error)}" for s in of)]
        for of in zip(*everyone, strict=True)
    ]
    if rows:
        caption = "Slope of the mean of a stay's values, in the channel's unit a unit of the descriptor, with its standard error."
        yield Table("Descriptors with the series", caption, ["channel", "on", *_columns(evaluation)], rows, folded=True)


def _columns(evaluation: ReportInput) -> list[str]:
    return ["real", "real held-out", *evaluation.sets]


def _profiles(evaluation: ReportInput) -> list[Profile]:
    """In the order of `_columns`."""
    profiles = evaluation.result.realism.profiles
    return [profiles.real, profiles.floor, *(profiles.sets[name] for name in evaluation.sets)]


def _by_channel(evaluation: ReportInput, part: Callable[[Profile], Mapping[str, Mapping[str, float | None]]]) -> list[Sequence[str]]:
    everyone = [part(profile) for profile in _profiles(evaluation)]
    return [list(_measure(channel, key, (of[channel][key] for of in everyone))) for channel in everyone[0] for key in everyone[0][channel]]


def _measure(channel: str, key: str, numbers: Iterable[float | None]) -> Iterator[str]:
    name, unit = MEASURES.get(key, (key, "%"))
    yield channel
    yield name
    yield from (_text(number, unit) for number in numbers)


def _text(number: float | None, unit: str = "") -> str:
    if number is None:
        return "–"
    return (f"{100 * number:.1f} %" if unit == "%" else f"{number:.3g} {unit}".rstrip()).replace("-", "−")
