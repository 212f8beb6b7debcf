"""A comparison in plain words, by rule: what is said follows from the intervals alone."""

from collections.abc import Mapping
from typing import Any

from tardiff.base.estimates import interval, shown
from tardiff.settings import NOT_SENT

WORDS = {
    "none": "doing nothing",
    "tuned": "a tuned model",
    "class_weight": "class weights",
    "oversample": "random oversampling",
    "undersample": "random undersampling",
    "smote": "SMOTE",
    "borderline_smote": "borderline SMOTE",
    "svm_smote": "SVM SMOTE",
    "smote_enn": "SMOTE with edited neighbours",
    "jitter": "jitter",
    "warp": "time warp",
    "mixup": "mixup",
    "unguided": "unguided augmentation",
    "guided": "guided augmentation",
    "refined": "augmentation from the refined generator",
    "local": "local rows alone",
    "as-is": "the other site's classifier",
    "recalibrated": "the other site's classifier, recalibrated",
    "fine-tuned": "the other site's classifier, fine-tuned",
    "classifier-free": "classifier-free augmentation",
    "adapted": "augmentation from the adapted generator",
    "adapted-guided": "guided augmentation from the adapted generator",
    "real": "the other site's own rows",
    "selected": "the other site's rows of most influence",
    "unguided-alone": "unguided rows alone",
    "classifier-free-alone": "classifier-free rows alone",
    "adapted-alone": "rows of the adapted generator alone",
    "guided-alone": "guided rows alone",
    "adapted-guided-alone": "guided rows of the adapted generator alone",
    "real-alone": "the other site's own rows alone",
    "selected-alone": "the other site's rows of most influence alone",
}
SYNTHETIC = ("unguided", "classifier-free", "adapted", "guided", "adapted-guided", "refined")
"""Ways with real and synthetic rows together, which the verdict is about."""
ALONE = tuple(f"{method}-alone" for method in SYNTHETIC)


def reference(validation: Mapping[str, float]) -> str:
    """The best of today's methods by AUPRC on validation rows: judged rows never choose what they judge."""
    return max((method for method in validation if method not in (*SYNTHETIC, *ALONE, *NOT_SENT)), key=lambda method: validation[method])


def verdict(result: Mapping[str, Any]) -> str:
    """One sentence a synthetic method, about AUPRC, against the best of today's methods; and one about that method itself.

    A gain (loss) is an interval that lies above (below) 0.
    """
    best, methods = result["reference"], result["methods"]
    changes = {method: methods[method]["groups"]["all"]["auprc"]["against_reference"] for method in SYNTHETIC if method in methods}
    lines = [_sentence(method, best, change) for method, change in changes.items()]
    worths = [(method, found) for method, found in result.get("worth", {}).items() if method in SYNTHETIC]
    if changes and all(change["low"] is not None and change["low"] <= 0 for change in changes.values()):
        lines.insert(0, f"No synthetic rows beat {WORDS[best]} here.")
    first = result["first"]
    if best != first:
        lines.append(_sentence(best, first, methods[best]["groups"]["all"]["auprc"]["against_first"]))
    lines += [f"{WORDS[method][0].upper()}{WORDS[method][1:]} is worth {known['text']} labelled local stays." for method, known in worths]
    return "\n".join([*lines, *(_cost(method, best, methods[method]["groups"]["all"]) for method in changes)])


def _cost(method: str, best: str, figures: Mapping[str, Any]) -> str:
    """What a synthetic method does to probabilities, beside whatever it gains."""
    slope, brier, name = figures["slope"], figures["brier"], WORDS[method]
    if slope["value"]["value"] is None:
        return f"What it costs: the calibration slope of {name} is undefined here."
    changes = (f"{interval(of['against_reference'], signed=True)} {what}" for what, of in (("slope", slope), ("Brier score", brier)))
    own = f"calibration slope {slope['value']['value']:.2f} (1 is right)"
    return f"What it costs: {name} has {own}; minus {WORDS[best]}: {', '.join(changes)}."


def _sentence(method: str, other: str, change: Mapping[str, Any]) -> str:
    name, against = WORDS[method], WORDS[other]
    if change["value"] is None:
        return f"On these data, AUPRC is undefined for {name}."
    if change["low"] is None:
        return f"There are too few seeds to tell {name} and {against} apart: {interval(change, signed=True)} AUPRC."
    low, high = change["low"], change["high"]
    if low > 0:
        return f"On these data, {name} gains {interval(change)} AUPRC over {against}."
    if high < 0:
        return f"On these data, {name} loses {shown(-change['value'], -high, -low)} AUPRC to {against}."
    return f"On these data, {name} and {against} cannot be told apart: {interval(change, signed=True)} AUPRC."
