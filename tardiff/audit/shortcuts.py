"""Shortcuts: how far the label can be told without looking at a single value. Fitted on train rows, asked about validation."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import fisher_exact
from sklearn.ensemble import HistGradientBoostingClassifier

from tardiff.audit.finding import Finding
from tardiff.audit.traps import UNLIKELY
from tardiff.base.estimates import interval
from tardiff.base.noise import stream
from tardiff.data.codec import Codec
from tardiff.data.dataset import Dataset, Split
from tardiff.evaluate.bootstrap import Resamples
from tardiff.evaluate.intervals import estimates
from tardiff.evaluate.judges import Rows, fit_judge
from tardiff.evaluate.metrics import auprc, auroc
from tardiff.evaluate.train_and_judge import judged

RESAMPLES = 1000
METRICS = {"auroc": auroc, "auprc": auprc}
MOST = 0.95
"""The mask tells the label if it alone reaches so much of what the whole record does above chance."""
MUCH = 0.5
TOLD = 0.60
"""AUROC from which on a shortcut that should tell nothing does tell something."""
QUARTER = 0.25
FEW = 10

Scores = dict[str, dict[str, Any]]


def mask_alone(trap: str, data: Dataset, seed: int) -> Finding:
    """What is observed, and when, tells how sick a patient is thought to be; it must not be all that a model reads."""
    codec = Codec.fit(data.train, data.manifest)
    train, validation = Rows.of(data.train, codec), Rows.of(data.split("validation"), codec)
    scores = {}
    for name in ("mask-only", "logistic", "trees"):
        probability = fit_judge(name, train, seed)(validation)[:, 1]
        scores[name] = _judged(probability, data.split("validation"), seed)
    mask, whole = scores["mask-only"], max(scores["logistic"], scores["trees"], key=lambda score: score["auroc"]["value"])
    said = f"mask alone {_said(mask)}; whole record {_said(whole)}"
    gain = mask["auroc"]["value"] - 0.5
    gain_of_all = max(whole["auroc"]["value"] - 0.5, 1e-9)
    numbers = {"mask": mask, "record": whole}
    if gain >= MOST * gain_of_all and mask["auroc"]["low"] > TOLD:
        return Finding(trap, "fail", said, numbers)
    if mask["auroc"]["low"] > 0.5 and gain >= MUCH * gain_of_all:
        return Finding(trap, "warn", said, numbers)
    return Finding(trap, "pass", said, numbers)


def ending_alone(trap: str, data: Dataset, seed: int) -> Finding:
    """Padding after death or discharge tells the label by where it begins, be it marked (length), silent or filled."""
    train, validation = data.train, data.split("validation")
    features = {name: _endings(split) for name, split in (("train", train), ("validation", validation))}
    if not (features["train"] != features["train"][0]).any():
        return Finding(trap, "pass", "every row is full and ends with an observation")
    score = _judged(_fitted(features["train"], train.label, features["validation"]), validation, seed)
    label = np.concatenate([train.label, validation.label])
    both = np.concatenate(list(features.values()))
    short = both.max(axis=1) >= QUARTER * data.manifest.steps
    marked = both[:, 0] >= QUARTER * data.manifest.steps
    others, ended = label[~short], label[short]
    numbers: dict[str, Any] = {"ending": score, "rows_that_end_early": int(short.sum())}
    said = f"length and last observation alone {_said(score)}"
    if min(len(ended), len(others)) >= FEW:
        share, usual = float(ended.mean()), float(others.mean())
        numbers |= {"share_in_rows_that_end_early": share, "share_elsewhere": usual}
        unlikely = fisher_exact([[ended.sum(), (1 - ended).sum()], [others.sum(), (1 - others).sum()]]).pvalue < UNLIKELY
        clearly = share >= 2 * usual or (share <= usual / 2 and marked.sum() >= FEW)
        name = data.manifest.task.classes[1]
        said += f"; {len(ended):,} rows end a quarter early or more, {share:.1%} of them {name} against {usual:.1%}"
        if unlikely and clearly:
            return Finding(trap, "fail", said, numbers)
    if score["auroc"]["low"] > TOLD:
        return Finding(trap, "fail", said, numbers)
    return Finding(trap, "warn" if score["auroc"]["low"] > 0.5 else "pass", said, numbers)


def origin_alone(trap: str, data: Dataset, seed: int) -> Finding:
    """The minute at which the prediction is made should tell little more than how risk changes with time."""
    train, validation = data.train, data.split("validation")
    if len(np.unique(train.origin_minute)) == 1:
        return Finding(trap, "pass", "every prediction is made at the same minute")
    origin: list[NDArray[np.float64]] = [split.origin_minute[:, None].astype(np.float64) for split in (train, validation)]
    score = _judged(_fitted(origin[0], train.label, origin[1]), validation, seed)
    low = score["auroc"]["low"]
    return Finding(trap, "fail" if low > 0.75 else "warn" if low > TOLD else "pass", f"it alone {_said(score)}", {"origin": score})


SHORTCUTS: dict[str, Callable[[str, Dataset, int], Finding]] = {
    "mask alone predicts the label": mask_alone,
    "length or padding predicts the label": ending_alone,
    "time of the prediction predicts the label": origin_alone,
}


def shortcuts(data: Dataset, seed: int) -> list[Finding]:
    """Every shortcut, if there are rows enough of both classes to fit a model and to ask it."""
    problem = _too_little(data)
    if problem is not None:
        return [Finding(trap, "skip", problem) for trap in SHORTCUTS]
    return [look(trap, data, seed) for trap, look in SHORTCUTS.items()]


def _too_little(data: Dataset) -> str | None:
    classes = data.manifest.task.classes
    if "validation" not in data.splits or len(classes) != 2:
        return "needs a validation split and two classes"
    for name in ("train", "validation"):
        counts = np.bincount(data.splits[name].label, minlength=2)
        if counts.min() < FEW:
            return f"{name} has {counts.min()} rows of class {classes[int(counts.argmin())]}; {FEW} are needed to tell"
    return None


def _endings(split: Split) -> NDArray[np.float64]:
    """How many steps at the end of each row are padding, silent, or repeat one observation, [N, 3]."""
    steps = split.mask.shape[2]
    observed, valid = split.mask.astype(bool), split.valid
    silent = split.length - np.max(np.where(observed.any(axis=1) & valid, np.arange(1, steps + 1), 0), axis=1)
    last = np.take_along_axis(split.values, (split.length - 1)[:, None, None], axis=2)
    shown = np.take_along_axis(observed, (split.length - 1)[:, None, None], axis=2)
    same = ((split.values == last) & observed & shown | ~observed & ~shown).all(axis=1) & shown.any(axis=1) & valid
    different = np.max(np.where(valid & ~same, np.arange(1, steps + 1), 0), axis=1)
    frozen = np.where(shown.any(axis=(1, 2)), split.length - different - 1, 0)
    return np.stack([steps - split.length, silent, np.maximum(frozen, 0)], axis=1).astype(np.float64)


def _fitted(train: NDArray[np.float64], label: NDArray[np.int64], asked: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability of class 1, [n]: a few small trees, for a shortcut need not be monotone."""
    model = HistGradientBoostingClassifier(max_iter=40, max_leaf_nodes=8, learning_rate=0.1, early_stopping=False, random_state=0)
    return model.fit(train, label).predict_proba(asked)[:, 1]


def _judged(probability: NDArray[np.float64], split: Split, seed: int) -> Scores:
    draws = judged(split.label, probability[None], Resamples.draw(split.subject_id, RESAMPLES, stream("audit", seed)), METRICS)
    return estimates({name: of_one_fit[:, 0] for name, of_one_fit in draws.items()}, split.label)


def _said(score: Scores) -> str:
    return " / ".join(f"{name.upper()} {interval(s)}" for name, s in score.items())
