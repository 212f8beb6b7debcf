"""Privacy: closest records, and attacks on the sets, the generator and the classifiers."""

from collections.abc import Iterator, Mapping

from tardiff.report.parts import Figure, Row, Section, Table, forest, panel, shown
from tardiff.report.report_input import ReportInput
from tardiff.report.schema.numbers import Counted
from tardiff.report.schema.privacy import Attack, PrivacyOfSet
from tardiff.report.svg import Panel, Scale

LOWEST = 1e-3  # false positive rate at which a ROC begins


def attacks(evaluation: ReportInput) -> list[tuple[str, str, Attack]]:
    """Every attack with its target and the target's style."""
    part = evaluation.result.privacy
    found = [(name, evaluation.colour(name), attack) for name, numbers in part.sets.items() for attack in numbers.attacks]
    found += [("generator", "other", attack) for attack in part.generator]
    return found + [(f"classifier {n}", "other", attack) for n, some in part.classifiers.items() for attack in some]


def attack_name(attack: Attack) -> str:
    """An attack in words."""
    return f"{attack.attack}, {attack.box} box, on {attack.members} rows"


def privacy(evaluation: ReportInput) -> Section:
    """What the sets give away."""
    intro = (
        "Whether a record of a training patient shows through. A good number is necessary, not sufficient: it is what these attacks found."
    )
    section = Section("privacy", "Privacy", intro)
    sets = evaluation.result.privacy.sets
    section.items += _closest(evaluation, sets)
    section.items += _rocs(attacks(evaluation))
    section.items += _attack_table(attacks(evaluation))
    section.items += _copies(sets)
    section.items += _attributes(evaluation, sets)
    section.items += _anonymity(sets)
    return section


def _closest(evaluation: ReportInput, sets: Mapping[str, PrivacyOfSet]) -> Iterator[Figure]:
    titles = {
        "nearer_train": "nearer to training than to held-out rows",
        "closer_than_stranger": "closer to training rows than strangers are",
    }
    panels = [
        forest(title, [("", [Row(name, evaluation.colour(name), getattr(numbers, key)) for name, numbers in sets.items()])], 0.5)
        for key, title in titles.items()
    ]
    yield Figure(
        "Distance to the closest record",
        "The dashed line, 0.5, is what rows would score that know nothing of the training patients; 1 is copying.",
        panels,
        "forests",
        evaluation.legend[1:],
    )


def _rocs(found: list[tuple[str, str, Attack]]) -> Iterator[Figure]:
    panels = []
    for name in dict.fromkeys(attack_name(attack) for _, _, attack in found):
        mine = [(target, style, a.roc) for target, style, a in found if attack_name(a) == name and a.roc.fpr]
        if not mine:
            continue
        plot = Panel(f"ROC of {name}", Scale(LOWEST, 1, log=True), Scale(LOWEST, 1, log=True), x_title="false positive rate", height=190)
        grid = [LOWEST * (1 / LOWEST) ** (k / 40) for k in range(41)]
        plot.line(grid, grid, "chance")
        for _, style, roc in mine:
            points = [(f, t) for f, t in zip(roc.fpr, roc.tpr, strict=True) if f >= LOWEST]
            plot.line([f for f, _ in points], [max(t, LOWEST) for _, t in points], style)
        panels.append(panel(plot.svg(), name, ", ".join(target for target, _, _ in mine)))
    if panels:
        legend = list(dict.fromkeys((style, target if style != "other" else "generator or classifier") for target, style, _ in found))
        yield Figure(
            "Membership inference",
            "Share of the members that an attack finds (up) against the share of strangers that it accuses (across), both on a "
            "logarithmic axis, for an attack that is right on a few patients harms those few. The dashed curve is guessing.",
            panels,
            "panels wide",
            [*legend, ("chance", "guessing")],
        )


def _attack_table(found: list[tuple[str, str, Attack]]) -> Iterator[Table]:
    rates = list(dict.fromkeys(rate for _, _, attack in found for rate in attack.tpr))
    rows = [
        [
            target,
            attack_name(attack),
            f"{attack.n_members:,} / {attack.n_others:,}",
            shown(attack.auc),
            shown(attack.control),
            *(shown(attack.tpr.get(rate)) for rate in rates),
            attack.reason or "",
        ]
        for target, _, attack in found
    ]
    if rows:
        head = [
            "target",
            "attack",
            "members / others",
            "AUC",
            "others against others",
            *(f"TPR at {float(rate):.1%} FPR" for rate in rates),
            "",
        ]
        yield Table(
            "Attacks",
            "AUC 0.5 is guessing, 1 finds every member. TPR: share of the members found when so few strangers are accused wrongly; "
            "guessing finds as many members as it accuses strangers.",
            head if any(row[-1] for row in rows) else head[:-1],
            rows if any(row[-1] for row in rows) else [row[:-1] for row in rows],
        )


def _copies(sets: Mapping[str, PrivacyOfSet]) -> Iterator[Table]:
    def of(number: Counted) -> str:
        return f"{number.count:,} of {number.n:,}"

    rows = [[name, of(n.copies), of(n.near_copies), of(n.stranger_copies)] for name, n in sets.items()]
    head = ["set", "copies", "near copies", "strangers that are copies"]
    yield Table(
        "Copies of training rows", "Rows of each set that are a training row, or nearly; last, how often held-out rows are.", head, rows
    )


def _attributes(evaluation: ReportInput, sets: Mapping[str, PrivacyOfSet]) -> Iterator[Figure | Table]:
    found = [(name, guess) for name, numbers in sets.items() for guess in numbers.attribute_inference]
    if found:
        groups = [
            (a, [Row(n, evaluation.colour(n), g.difference) for n, g in found if g.attribute == a])
            for a in dict.fromkeys(g.attribute for _, g in found)
        ]
        yield Figure(
            "Attribute inference",
            "How much better an attribute is guessed for training patients than for others; right of the dashed line, the set gives "
            "it away.",
            [forest("members minus others", groups, 0.0, signed=True)],
            "forests",
            evaluation.legend[1:],
        )
        rows = [[name, g.attribute, shown(g.members), shown(g.others), shown(g.difference, signed=True)] for name, g in found]
        yield Table(
            "Attributes guessed", "Value and 95 % interval.", ["set", "attribute", "members", "others", "difference"], rows, folded=True
        )


def _anonymity(sets: Mapping[str, PrivacyOfSet]) -> Iterator[Table]:
    rows = []
    for name, of in ((name, numbers.k_anonymity) for name, numbers in sets.items()):
        rows += [[name, "k", str(of.k)], [name, "n", str(of.n)], [name, "unique matches", shown(of.unique_matches)]]
        rows.append([name, "stranger matches", shown(of.stranger_matches)])
    yield Table("k-anonymity", "How many rows share the same descriptors.", ["set", "measure", "value"], rows)
