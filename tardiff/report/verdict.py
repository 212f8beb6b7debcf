"""The verdict: what the numbers say, in words that follow from them by fixed rules.

A difference is called one only where its 95 % interval leaves zero out; a leak only where the interval lies above guessing; a set
is called further away than real data only where a paired test says so, by the mean over channels or by the worst channel.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from operator import itemgetter

import msgspec

from tardiff.base.estimates import interval
from tardiff.evaluate.lookup import shown_ratio
from tardiff.evaluate.price import costs
from tardiff.report.fidelity import fidelity_name, overall
from tardiff.report.parts import shown
from tardiff.report.privacy import attack_name, attacks
from tardiff.report.report_input import ReportInput
from tardiff.report.schema.numbers import Estimate
from tardiff.report.schema.privacy import Attack
from tardiff.report.utility import cell_name

METRIC = "auprc"
DISTANCES = ("ks", "wasserstein", "autocorrelation", "correlation", "mmd", "frechet")
SHARES = ("ordering_violations", "out_of_limits")


@dataclass(frozen=True)
class Sentence:
    """One finding. `mark` is good, bad or even (no difference found, or nothing to judge by)."""

    mark: str
    text: str


@dataclass(frozen=True)
class Answer:
    """A question and what the numbers answer."""

    question: str
    sentences: list[Sentence]


def verdict(evaluation: ReportInput) -> list[Answer]:
    """The questions that this evaluation can answer."""
    asked = (
        ("Can real rows teach a model to predict this at all?", _ceiling),
        ("Can synthetic rows replace real ones?", partial(_differences, protocols=("TSTR",))),
        ("Do they help when they are added?", partial(_differences, protocols=("TSRTR",))),
        ("Does guidance help?" if _guided(evaluation) else "Which set is better?", partial(_differences, first=evaluation.sets[0])),
        ("What does it cost?", _costs),
        ("Do they look real?", _looks),
        ("Do they give training patients away?", _leaks),
    )
    answers = [Answer(question, list(answer(evaluation))) for question, answer in asked]
    return [answer for answer in answers if answer.sentences]


def side(estimate: Estimate, reference: float = 0.0) -> int:
    """+1 if the interval lies above the reference, -1 if below, 0 if it holds it or is unknown."""
    if estimate.low is None or estimate.high is None:
        return 0
    return int(estimate.low > reference) - int(estimate.high < reference)


def _ceiling(evaluation: ReportInput) -> Iterator[Sentence]:
    test, cells = evaluation.result.test, evaluation.result.utility.cells
    chance = test.positives / test.rows
    mask = next(
        (
            f"; how often each channel was measured, without values, gives {shown(cell.metrics[METRIC])}"
            for cell in cells
            if cell.protocol == "mask-only"
        ),
        "",
    )
    for cell in cells:
        if cell.protocol == "TRTR":
            reached = cell.metrics[METRIC]
            above = side(reached, chance) > 0
            end = "" if above else ": not above chance, so nothing below says much of this model"
            yield Sentence(
                "good" if above else "bad",
                f"{cell.model}, trained on real rows: AUPRC {shown(reached)}; chance is {chance:.3f}{mask}{end}.",
            )


def _differences(evaluation: ReportInput, protocols: Sequence[str] = ("TSTR", "TSRTR"), first: str | None = None) -> Iterator[Sentence]:
    """A sentence a set: its difference to the first set, or to real rows, in every model."""
    every = evaluation.result.utility.differences
    for protocol, name in product(protocols, evaluation.sets):
        ratio = shown_ratio(difference.ratio for difference in every) if protocol == "TSRTR" else None
        found = [d for d in every if (d.protocol, d.ratio, d.against.synthetic, d.synthetic) == (protocol, ratio, first, name)]
        other = first or ("real rows" if protocol == "TSTR" else "real rows alone")
        words = {1: f"better than {other}", 0: f"no difference to {other} found", -1: f"worse than {other}"}
        sides = [side(d.metrics[METRIC]) for d in found]
        said = "; ".join(
            f"{words[of]} with {d.model} (AUPRC {shown(d.metrics[METRIC], signed=True)})" for d, of in zip(found, sides, strict=True)
        )
        if found:
            yield Sentence("bad" if -1 in sides else "good" if 1 in sides else "even", f"{cell_name(found[0])}: {said}.")


def _costs(evaluation: ReportInput) -> Iterator[Sentence]:
    """What every other set costs compared with the first one, gain or no gain."""
    first, *others = evaluation.sets
    result = msgspec.to_builtins(evaluation.result)
    for name in others:
        found = costs(result, name)
        said = "; ".join(f"{cost.name} {interval(cost.ours)} against {interval(cost.first)}" for cost in found)
        worse = [cost.name for cost in found if cost.worse]
        end = f"worse beyond chance: {'; '.join(worse)}" if worse else "none is worse beyond chance"
        yield Sentence("bad" if worse else "good", f"{name} compared with {first}: {said}; {end}.")


def _guided(evaluation: ReportInput) -> bool:
    """Whether the first set is unguided and all the others are guided, as far as their manifests tell."""
    kinds = [described.origin.guidance.get("guidance") for described in evaluation.result.synthetic.values()]
    return len(kinds) > 1 and kinds[0] == "none" and all(kind not in (None, "none") for kind in kinds[1:])


def _looks(evaluation: ReportInput) -> Iterator[Sentence]:
    fidelity = evaluation.result.fidelity
    floor = fidelity.floor
    for name, numbers in fidelity.sets.items():
        yield from _told_apart(evaluation, name)
        near: list[str] = []
        far: list[str] = []
        for metric in DISTANCES:
            ours, theirs, paired = overall(numbers, metric), overall(floor, metric), fidelity.against_floor[name].get(metric)
            if ours and theirs and paired:
                worst = f", worst in {paired.worst.name}" if paired.worst and paired.worst.low > 0 else ""
                said = f"{fidelity_name(metric)} {shown(ours)} against {shown(theirs)}{worst}"
                (far if paired.worse else near).append(said)
        if far:
            yield Sentence("bad", f"{name} is further from the training rows than real held-out patients are: {'; '.join(far)}.")
        if near:
            mark = "even" if far else "good"
            yield Sentence(mark, f"{name} is no further from the training rows than real held-out patients are: {'; '.join(near)}.")
        for metric in SHARES:
            ours, theirs = overall(numbers, metric), overall(floor, metric)
            if ours and theirs and side(ours, theirs.high or 0.0) > 0:
                yield Sentence(
                    "bad",
                    f"{name} has more {fidelity_name(metric).replace(', share', '')} than real data: {shown(ours)} against "
                    f"{shown(theirs)}.",
                )


def _told_apart(evaluation: ReportInput, name: str) -> Iterator[Sentence]:
    """How well trees tell decoded records from real ones, and by what first."""
    metric, fidelity = "told_apart_trees", evaluation.result.fidelity
    ours, theirs = overall(fidelity.sets[name], metric), overall(fidelity.floor, metric)
    if ours is None or theirs is None:
        return
    worse = fidelity.against_floor[name][metric].worse
    first = "".join(f"; first by {reason.words}" for reason in evaluation.result.realism.reasons[name][:1])
    end = f"{first}." if worse else ": no better than chance tells real rows."
    yield Sentence(
        "bad" if worse else "good", f"{name} is told from real rows by trees with AUROC {shown(ours)} (real held-out {shown(theirs)}){end}"
    )


def _leaks(evaluation: ReportInput) -> Iterator[Sentence]:
    for name, numbers in evaluation.result.privacy.sets.items():
        copies, nearer = numbers.copies, numbers.nearer_train
        text = f"{name}: {copies.count:,} of {copies.n:,} rows are copies of training rows, a share of {shown(copies)}."
        yield Sentence("bad" if copies.count else "good", text)
        if nearer.value is not None:
            leak = side(nearer, 0.5) > 0
            trace = "more than the half that strangers would score, a trace of who was learnt from: treat them as patients' records"
            end = trace if leak else "no more than the half that strangers would score"
            text = f"{name}: a share of {shown(nearer)} lies nearer to a training row than to a held-out one, {end}."
            yield Sentence("bad" if leak else "good", text)
    yield from _attacked(evaluation)


def _attacked(evaluation: ReportInput) -> Iterator[Sentence]:
    """The strongest attack on each target, by how far its interval lies above guessing and its control."""
    by_target: dict[str, list[tuple[float, Attack]]] = {}
    for target, _, attack in attacks(evaluation):
        if attack.margin is not None:
            by_target.setdefault(target, []).append((attack.margin, attack))
    for target, found in by_target.items():
        above, strongest = max(found, key=itemgetter(0))
        control = f" (strangers against strangers {shown(strongest.control)})" if strongest.control else ""
        the = f"the strongest of {len(found)} attacks" if len(found) > 1 else "the one attack"
        low = "".join(f", TPR {shown(tpr)} at {float(rate):.1%} FPR" for rate, tpr in strongest.tpr.items() if tpr)
        end = "members can be told from strangers" if above > 0 else "no better than guessing"
        yield Sentence(
            "bad" if above > 0 else "good",
            f"{target}: {the} ({attack_name(strongest)}) reaches AUC {shown(strongest.auc)}{control}{low}: {end}.",
        )
