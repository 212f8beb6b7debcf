"""The four regimes: which stays may be read, and which of their labels."""

from dataclasses import dataclass, replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from tardiff.base.noise import stream
from tardiff.data.dataset import Dataset, Split

BUDGET = {"half": (1570, 392), "small": (240, 60), "scarce": (320, 80), "imbalanced": (1500, 375), "few-labels": (240, 60)}
RARE = 0.02
REGIMES = ("all", "scarce", "imbalanced", "few-labels")


@dataclass(frozen=True)
class Regime:
    """What a regime allows.

    Attributes:
        generator: what the generator learns from; of `few-labels`, records whose labels are gone.
        labelled: the budget: every label that generator, classifier, early stopping and guidance may read.
        outside: labelled rows outside the budget, for screening methods (validation rows of set a, or test rows of set b).
        ratio: label ratio of the synthetic rows.
        rows: synthetic rows of a set of size 1.
    """

    generator: Dataset
    labelled: Dataset
    outside: Split
    ratio: str
    rows: int


def build(data: Dataset, name: str, seed: int, judged_on: str) -> Regime:
    """A regime of a seed: which stays are in the budget is drawn from the seed.

    Args:
        data: PhysioNet 2012, set a as train and validation, set b as test.
        name: one of `REGIMES`.
        seed: of the draw.
        judged_on: validation (to screen methods) or test.
    """
    data = _without_descriptors(data)
    train, validation = data.train, data.split("validation")
    draw = stream(f"regime-{name}", seed)
    if name in BUDGET:
        share = RARE if name == "imbalanced" else float(train.label.mean())
        train, validation = (_drawn(s, n, share, draw) for s, n in zip((train, validation), BUDGET[name], strict=True))
    labelled = Dataset(data.manifest, {"train": train, "validation": validation}).completed()
    outside = data.split(judged_on)
    if judged_on == "validation" and name != "all":
        rows = Split.concatenate([data.train, data.split("validation")])
        outside = rows.take(~np.isin(rows.stay_id, np.concatenate([train.stay_id, validation.stay_id])))
    generator = data.unlabelled() if name == "few-labels" else labelled
    return Regime(generator, labelled, outside, "balanced" if name == "imbalanced" else "train", len(train))


def _without_descriptors(data: Dataset) -> Dataset:
    """No judge reads the descriptors, and a model of them by label would tell labels that `few-labels` may not know."""
    splits = {name: replace(split, static=split.static[:, :0]) for name, split in data.splits.items()}
    return Dataset(msgspec.structs.replace(data.manifest, statics=()), splits)


def _drawn(split: Split, rows: int, share: float, draw: np.random.Generator) -> Split:
    deaths = round(rows * share)
    return split.take(np.sort(np.concatenate([_some(split, 1, deaths, draw), _some(split, 0, rows - deaths, draw)])))


def _some(split: Split, label: int, count: int, draw: np.random.Generator) -> NDArray[np.intp]:
    return draw.choice(np.flatnonzero(split.label == label), count, replace=False)
