"""One cell: a row of the table in one regime with one seed, from the generator to the judges' figures."""

import base64
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from baselines import BASELINES
from numpy.typing import NDArray
from regimes import Regime

from tardiff.base.noise import stream
from tardiff.classifier.folder import ClassifierFolder, fit_classifier
from tardiff.data.dataset import Split
from tardiff.evaluate.bootstrap import group_weights
from tardiff.evaluate.judges import Rows, fit_predict
from tardiff.evaluate.metrics import auprc, auroc, brier
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.model.training import train
from tardiff.settings import ClassifierSettings, GuidanceSettings, SelectionSettings, TrainSettings
from tardiff.synthesis.run import synthesise

MODELS = ("gru", "trees", "logistic")
QUICK = ("trees", "logistic")
RESAMPLES = 200
HELD_OUT = 0.2
RATIOS = (0.5, 1.0, 5.0)
GENERATOR = {
    "all": TrainSettings(steps=2500),
    "half": TrainSettings(steps=2500),
    "static": TrainSettings(steps=2500),
    "static-small": TrainSettings(steps=1000),
    "small": TrainSettings(steps=1000),
    "scarce": TrainSettings(steps=1000),
    "imbalanced": TrainSettings(steps=2000),
    "few-labels": TrainSettings(steps=2500),
}
SMALL = {"batch_size": 64, "widths": (32, 64), "blocks": 1, "ema_decay": 0.998, "validate_every": 10**6}
FOUR = (("gru", 0), ("gru", 1), ("tcn", 2), ("summary", 3))
GUIDES = {"one": FOUR[:1], "four": FOUR, "committee": (("committee", 0),)}
"""Architecture and seed of the classifiers that guide together."""


@dataclass(frozen=True)
class Recipe:
    """How the synthetic rows of a table row are made.

    Attributes:
        guidance: which guide, None for none.
        guide: who guides: the first classifier, all four of them, or one committee that was fitted as such.
        select: choose among four times as many samples.
        size: synthetic rows, as a multiple of the regime's.
        pseudo: labels come from the classifiers, which rank unguided samples; there are as many deaths as wanted.
    """

    guidance: GuidanceSettings | None = None
    guide: Literal["one", "four", "committee"] = "committee"
    select: str = "none"
    size: float = 1.0
    pseudo: bool = False


@dataclass
class Bench:
    """A regime with one seed: generator, classifiers and judges, made once and kept in a folder."""

    regime: Regime
    name: str
    seed: int
    work: Path
    seconds: dict[str, float] = field(default_factory=dict)

    @cached_property
    def generator(self) -> TarDiffPipeline:
        """Trained on what the regime allows; `few-labels` has one generator for all seeds, since it reads no label."""
        seed = 0 if self.name == "few-labels" else self.seed
        path = self.work / f"generator-{self.name}-{seed}"
        if path.exists():
            return TarDiffPipeline.from_pretrained(path)
        settings = TrainSettings(steps=GENERATOR[self.name].steps, seed=seed, **SMALL)
        return train(self.regime.generator, path, settings, progress=False)

    def classifiers(self, guide: str) -> list[ClassifierFolder]:
        """Fitted on the labelled rows of the budget, in the generator's space."""
        folders = []
        for architecture, number in GUIDES[guide]:
            path = self.work / f"classifier-{self.name}-{self.seed}-{architecture}-{number}"
            if not path.exists():
                settings = ClassifierSettings(architecture=architecture, width=32, seed=10 * self.seed + number)
                fit_classifier(self.regime.labelled, settings, codec=self.generator.codec).save(path)
            folders.append(ClassifierFolder.load(path))
        return folders

    def rows(self, split: Split) -> Rows:
        """A split as the judges read it."""
        return Rows.of(split, self.generator.codec)

    @cached_property
    def real(self) -> tuple[Rows, Rows, Rows]:
        """Training and validation rows of the budget, and the rows outside it that judge."""
        return self.rows(self.regime.labelled.train), self.rows(self.regime.labelled.split("validation")), self.rows(self.regime.outside)

    def synthetic(self, recipe: Recipe) -> tuple[Rows, dict[str, Any]]:
        """The synthetic rows of a recipe, of the same noise for every recipe, and what guidance did."""
        size = round(recipe.size * self.regime.rows)
        folders = self.classifiers(recipe.guide)
        result = synthesise(
            self.generator,
            size,
            classifier=folders,
            guidance=recipe.guidance or GuidanceSettings(guidance="none"),
            selection=SelectionSettings(select=recipe.select),  # type: ignore[arg-type]
            label_ratio=self.regime.ratio,
            relabel=recipe.pseudo,
            seed=self.seed,
            data=self.regime.labelled,
            progress=False,
        )
        rows = self.rows(result.dataset.train)
        moved = ({"moved": result.movement.value} if result.movement else {}) | (
            {"strength": result.choice.strength} if result.choice else {}
        )
        return rows, moved


def run_cell(bench: Bench, recipe: Recipe | str, models: tuple[str, ...]) -> dict[str, Any]:
    """Figures of one row of the table.

    Args:
        bench: regime and seed.
        recipe: how synthetic rows are made, or the name of a baseline that only changes real ones.
        models: which evaluators judge.
    """
    start = time.perf_counter()
    real, validation, test = bench.real
    judge = Judge(test, bench.regime.outside.subject_id, bench.seed, models)
    if isinstance(recipe, str):
        train_rows, balanced = BASELINES[recipe](real, bench.generator.codec, bench.seed)
        return {"tsrtr": judge(train_rows, validation, balanced), "seconds": time.perf_counter() - start}
    rows, moved = bench.synthetic(recipe)
    made = time.perf_counter() - start
    order = stream("stop on", bench.seed).permutation(len(rows))
    cut = round(HELD_OUT * len(rows))
    stop_on, learn = rows.take(np.sort(order[:cut])), rows.take(np.sort(order[cut:]))
    ratio = best_ratio(real, rows, validation, bench.seed)
    return {
        "tstr": judge(learn, stop_on),
        "tsrtr": without_draws(judge(real.join(share(rows, 1.0, len(real))), validation)),
        "tsrtr_best": judge(real.join(share(rows, ratio, len(real))), validation),
        "ratio": ratio,
        "sampling_seconds": round(made, 1),
        "seconds": round(time.perf_counter() - start, 1),
        **moved,
    }


def share(rows: Rows, ratio: float, real: int) -> Rows:
    """The first `ratio * real` synthetic rows (they are in random order), or all if there are fewer."""
    return rows.take(np.arange(min(len(rows), round(ratio * real))))


def best_ratio(real: Rows, rows: Rows, validation: Rows, seed: int) -> float:
    """The share of synthetic rows at which trees and logistic regression do best on the budget's validation rows."""
    possible = [r for r in RATIOS if round(r * len(real)) <= len(rows)]
    gained = []
    for ratio in possible:
        both = real.join(share(rows, ratio, len(real)))
        scores = [fit_predict(name, both, validation, validation, seed)[:, 1] for name in ("trees", "logistic")]
        gained.append(np.mean([auprc(validation.label, s, np.ones((1, len(s)))) for s in scores]))
    return possible[int(np.argmax(gained))]


@dataclass(frozen=True)
class Judge:
    """Trains every evaluator on some rows and asks it about the rows outside the budget."""

    test: Rows
    patients: NDArray[np.int64]
    seed: int
    models: tuple[str, ...]

    def __call__(self, learn: Rows, stop_on: Rows, balanced: bool = False) -> dict[str, Any]:
        """By evaluator: AUPRC, AUROC, Brier score, and the AUPRC of every bootstrap resample of the patients."""
        weights = group_weights(self.patients, RESAMPLES, stream("judges", 0))  # the same in every cell, so that they pair
        figures = {}
        for model in self.models:
            score = fit_predict(model, learn, stop_on, self.test, self.seed, balanced=balanced)[:, 1]
            draws = auprc(self.test.label, score, weights)
            one = weights[:1]
            figures[model] = {
                "auprc": round(float(draws[0]), 5),
                "auroc": round(float(auroc(self.test.label, score, one)[0]), 5),
                "brier": round(float(brier(self.test.label, score, one)[0]), 5),
                "draws": base64.b64encode((draws[1:] * 65535).round().astype("<u2").tobytes()).decode(),
            }
        return figures


def without_draws(by_model: dict[str, Any]) -> dict[str, Any]:
    """Figures that no table compares, in less room."""
    return {model: {name: value for name, value in figures.items() if name != "draws"} for model, figures in by_model.items()}


def draws_of(figures: dict[str, Any]) -> NDArray[np.float64]:
    """The AUPRC of every resample, [RESAMPLES]."""
    return np.frombuffer(base64.b64decode(figures["draws"]), "<u2") / 65535
