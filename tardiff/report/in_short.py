"""The first screen: may I use this, for what, at what price, in five sentences for a clinician. Each follows from the numbers by rule."""

from operator import itemgetter

from tardiff.evaluate.lookup import shown_ratio
from tardiff.report.fidelity import overall
from tardiff.report.parts import shown
from tardiff.report.report_input import ReportInput
from tardiff.report.schema.utility import Difference
from tardiff.report.verdict import METRIC, side

FEW = 50
"""Test stays of the rarer class, below which no difference found says little."""
RISKS = {"brier": "Brier score", "calibration_error": "calibration error"}
"""Metrics of predicted risks that are worse when they are higher."""


def in_short(evaluation: ReportInput) -> dict[str, list[str]]:
    """Five sentences about each set, by its name."""
    return {name: _of_set(evaluation, name) for name in evaluation.sets}


def _of_set(evaluation: ReportInput, name: str) -> list[str]:
    result = evaluation.result
    made, real = result.synthetic[name].splits["train"].rows, result.real.splits["train"].rows
    what = (
        f"“{name}” is {made:,} made-up stays that imitate {real:,} real ones; use them to train or try out models that predict "
        f"“{result.real.task.replace('_', ' ')}”, never to decide about a patient."
    )
    return [what, _alone(evaluation, name), _added(evaluation, name), _looks(evaluation, name), _privacy(evaluation, name)]


def _against_real(evaluation: ReportInput, name: str, protocol: str) -> list[Difference]:
    """Of each kind of model, its difference to real rows alone."""
    every = evaluation.result.utility.differences
    ratio = shown_ratio(difference.ratio for difference in every) if protocol == "TSRTR" else None
    wanted = (protocol, ratio, name, None)
    return [d for d in every if (d.protocol, d.ratio, d.synthetic, d.against.synthetic) == wanted]


def _tally(evaluation: ReportInput, name: str, protocol: str) -> tuple[int, int, int]:
    """Kinds of model that became worse, better, and that were tried."""
    sides = [side(d.metrics[METRIC]) for d in _against_real(evaluation, name, protocol)]
    return sides.count(-1), sides.count(1), len(sides)


def _of(some: int, n: int) -> str:
    return "the one kind of model" if n == 1 else f"{some} of {n} kinds of model"


def _few(evaluation: ReportInput) -> str:
    """That no difference found says little, if one class is rare in the test rows."""
    test = evaluation.result.test
    few = min(test.positives, test.rows - test.positives) < FEW
    return f", but so few test stays ({test.positives:,} of {test.rows:,} {test.classes[1]}) can hardly tell" if few else ""


def _risks(evaluation: ReportInput, name: str, protocol: str) -> str:
    """A sentence on predicted risks, if they are worse than with real rows alone."""
    found = _against_real(evaluation, name, protocol)
    worse = {words: sum(key in d.metrics and side(d.metrics[key]) > 0 for d in found) for key, words in RISKS.items()}
    said = ", ".join(f"{words} with {_of(some, len(found))}" for words, some in worse.items() if some)
    return f" But the risks that are predicted become worse beyond chance: {said}." if said else ""


def _alone(evaluation: ReportInput, name: str) -> str:
    worse, better, n = _tally(evaluation, name, "TSTR")
    risks = _risks(evaluation, name, "TSTR")
    if not n:
        return "Whether they can replace real patients was not measured."
    if worse:
        return f"They do not replace real patients: trained on them alone, {_of(worse, n)} predicts real patients worse.{risks}"
    found = f"; {_of(better, n)} predicts better" if better else ""
    return (
        f"Trained on them alone, no kind of model ({n} tried) is found to predict real patients worse than with real rows{found}"
        f"{_few(evaluation)}.{risks}"
    )


def _added(evaluation: ReportInput, name: str) -> str:
    worse, better, n = _tally(evaluation, name, "TSRTR")
    risks = _risks(evaluation, name, "TSRTR")
    if not n:
        return "Whether they help when they are added to real patients was not measured."
    if worse:
        return f"Do not add them to real patients unseen: {_of(worse, n)} becomes worse by it, {better} better.{risks}"
    if better:
        return f"Added to real patients, they make {_of(better, n)} better and none worse.{risks}"
    return (
        f"Added to real patients, they change no kind of model ({n} tried) by more than chance: you gain nothing that can be shown"
        f"{_few(evaluation)}.{risks}"
    )


def _looks(evaluation: ReportInput, name: str) -> str:
    fidelity = evaluation.result.fidelity
    ours = overall(fidelity.sets[name], "told_apart_trees")
    if ours is None:
        return "Whether they look real was not measured."
    if not fidelity.against_floor[name]["told_apart_trees"].worse:
        return f"The price in realism: a computer cannot tell them from real stays (AUROC {shown(ours)}; 0.5 is guessing)."
    first = "".join(f", first by {reason.words}" for reason in evaluation.result.realism.reasons[name][:1])
    return f"The price in realism: a computer tells them from real stays (AUROC {shown(ours)}; 0.5 is guessing, 1 is at a glance){first}."


def _privacy(evaluation: ReportInput, name: str) -> str:
    numbers = evaluation.result.privacy.sets[name]
    copies = f"{numbers.copies.count:,} of them are copies of a real patient"
    found = [(attack.margin, shown(attack.auc)) for attack in numbers.attacks if attack.margin is not None]
    if not found:
        return f"The price in privacy: {copies}; attacks could not be judged, so treat them as patients' records."
    above, auc = max(found, key=itemgetter(0))
    if above > 0 or numbers.copies.count:
        return f"The price in privacy: {copies}, and attackers can tell who was learnt from (AUC {auc}): treat them as patients' records."
    end = "which proves no safety"
    if side(numbers.nearer_train, 0.5) > 0:
        end = (
            f"but a share of {shown(numbers.nearer_train)} lies nearer to a real patient who was learnt from than to one who was not "
            "(0.5 is chance), a trace of who was learnt from: treat them as patients' records"
        )
    return f"The price in privacy: {copies}, and no attack that was tried tells who was learnt from (AUC {auc}), {end}."
