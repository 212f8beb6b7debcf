"""One cell: a row of the table in one regime with one seed, from the generator to the judges' figures."""

import argparse
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from experiments.guidance.published import published_guide
from experiments.guidance.regimes import Regime, build
from tardiff.base.noise import row_seeds, stream
from tardiff.classifier.folder import ClassifierFolder, fit_classifier
from tardiff.compare.baselines import BASELINES
from tardiff.data.dataset import Dataset, Split
from tardiff.data.labels import draw_labels
from tardiff.evaluate.bootstrap import Resamples, packed
from tardiff.evaluate.cache import Arrays, Cache
from tardiff.evaluate.judges import Rows, Variant
from tardiff.evaluate.metrics import auprc, auroc, brier
from tardiff.evaluate.pool import Fit, run_fits
from tardiff.evaluate.row_sets import Part, Parts, RowSets
from tardiff.evaluate.train_and_judge import best_of, judge_fit, judged
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.model.training import train
from tardiff.settings import ClassifierSettings, GuidanceSettings, SelectionSettings, TrainSettings
from tardiff.synthesis.run import synthesise

JUDGES = ("gru", "trees", "logistic")
QUICK = ("trees", "logistic")
METRICS = {"auprc": auprc, "auroc": auroc, "brier": brier}
RESAMPLES = 200
RATIOS = (0.5, 1.0, 5.0)
STEPS = {
    "all": 2500,
    "half": 2500,
    "static": 2500,
    "static-small": 1000,
    "small": 1000,
    "scarce": 1000,
    "imbalanced": 2000,
    "few-labels": 2500,
}
"""Optimizer steps of a regime's generator."""
SMALL = {"batch_size": 64, "widths": (32, 64), "blocks": 1, "ema_decay": 0.998, "validate_every": 10**6}
FOUR = (("gru", 0), ("gru", 1), ("tcn", 2), ("summary", 3))
GUIDES = {"one": FOUR[:1], "four": FOUR, "committee": (("committee", 0),)}
"""Architecture and seed of the classifiers that guide together."""


@dataclass(frozen=True)
class Recipe:
    """How the synthetic rows of a table row are made.

    Attributes:
        guidance: which guide; `published` is the rule of TarDiff's release.
        guide: who guides: the first classifier, all four of them, or one committee that was fitted as such.
        select: choose among four times as many samples.
        size: synthetic rows, as a multiple of the regime's.
        pseudo: labels come from the classifiers, which rank unguided samples; there are as many deaths as wanted.
    """

    guidance: GuidanceSettings | Literal["published"] = field(default_factory=lambda: GuidanceSettings(guidance="none"))
    guide: Literal["one", "four", "committee"] = "committee"
    select: Literal["none", "influence"] = "none"
    size: float = 1.0
    pseudo: bool = False


@dataclass
class Lab:
    """A regime with one seed: its generator, classifiers and rows, made once and kept in a folder, and its judges."""

    regime: Regime
    name: str
    seed: int
    work: Path

    @cached_property
    def generator(self) -> TarDiffPipeline:
        """Trained on what the regime allows; `few-labels` has one generator for all seeds, since it reads no label."""
        seed = 0 if self.name == "few-labels" else self.seed
        path = self.work / f"generator-{self.name}-{seed}"
        if path.exists():
            return TarDiffPipeline.from_pretrained(path)
        return train(self.regime.generator, path, TrainSettings(steps=STEPS[self.name], seed=seed, **SMALL), progress=False)

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
    def sets(self) -> RowSets:
        """Training and validation rows of the budget, and the rows outside it that judge."""
        labelled = self.regime.labelled
        splits = {"train": labelled.train, "validation": labelled.split("validation"), "outside": self.regime.outside}
        return RowSets({role: self.rows(split) for role, split in splits.items()})

    @cached_property
    def resamples(self) -> Resamples:
        """Of the patients outside, the same in every cell, so that cells pair."""
        return Resamples.draw(self.regime.outside.subject_id, RESAMPLES, stream("judges", 0))

    def synthetic(self, recipe: Recipe) -> tuple[Rows, dict[str, Any]]:
        """The synthetic rows of a recipe, of the same noise for every recipe, and what guidance did."""
        size, folders = round(recipe.size * self.regime.rows), self.classifiers(recipe.guide)
        if recipe.guidance == "published":
            label = draw_labels(self.regime.ratio, self.generator.card.class_counts, size, self.seed)
            guide = published_guide(folders[0], self.regime.labelled.train)
            samples = self.generator(label, row_seeds(self.seed, range(size)), guide=guide)
            return self.rows(self.generator.dataset(samples, {}).train), {}
        made = synthesise(
            self.generator,
            size,
            classifier=folders,
            guidance=recipe.guidance,
            selection=SelectionSettings(select=recipe.select),
            label_ratio=self.regime.ratio,
            relabel=recipe.pseudo,
            seed=self.seed,
            progress=False,
        )
        moved = {"moved": made.movement.value} if made.movement else {}
        return self.rows(made.dataset.train), moved | ({"strength": made.match.strength} if made.match else {})

    def run(self, fits: Iterable[Fit], sets: RowSets) -> dict[Fit, Arrays]:
        """What fits give, one after the other; it is kept in the folder."""
        return run_fits(fits, sets, 1, Cache(self.work / "fits"), progress=False)

    def fits(self, judges: Sequence[str], learn: Parts, sets: RowSets, *, balanced: bool = False) -> dict[str, Fit]:
        """Judges, by name, that are asked about the validation rows and those outside."""
        ask = {role: (Part(role),) for role in ("validation", "outside")}
        return {judge: judge_fit(judge, learn, ask, self.seed, sets, Variant(float(balanced))) for judge in judges}

    def figures(self, fits: Mapping[str, Fit], sets: RowSets) -> dict[str, dict[str, Any]]:
        """By judge AUPRC, AUROC and Brier score of the rows outside, and the AUPRC of every resample of their patients."""
        done, label, found = self.run(fits.values(), sets), sets.rows["outside"].label, {}
        for judge, fit in fits.items():
            draws = {name: d[:, 0] for name, d in judged(label, done[fit]["outside"][None], self.resamples, METRICS).items()}
            found[judge] = {name: round(float(d[0]), 5) for name, d in draws.items()} | {"draws": packed(draws["auprc"])}
        return found


def asked_for(description: str | None, out: str) -> tuple[Lab, Path]:
    """The lab and the file that a command line names.

    Args:
        description: what the command does.
        out: what it writes.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="dataset folder of PhysioNet 2012, split by set")
    parser.add_argument("--work", type=Path, required=True, help="folder for generators and classifiers")
    parser.add_argument("--out", type=Path, required=True, help=out)
    parser.add_argument("--regime", default="scarce")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    regime = build(Dataset.load(options.data), options.regime, options.seed, "validation")
    return Lab(regime, options.regime, options.seed, options.work), options.out


def run_cell(lab: Lab, recipe: Recipe | str, judges: Sequence[str]) -> dict[str, Any]:
    """Figures of one row of the table.

    Args:
        lab: regime and seed.
        recipe: how synthetic rows are made, or the name of a baseline that only changes real ones.
        judges: models that judge.
    """
    start = time.perf_counter()
    if isinstance(recipe, str):
        rows, balanced = BASELINES[recipe](lab.sets.rows["train"], lab.generator.codec, lab.seed)
        sets = lab.sets.adding(learnt=rows)
        fits = lab.fits(judges, (Part("learnt"),), sets, balanced=balanced)
        return {"tsrtr": lab.figures(fits, sets), "seconds": time.perf_counter() - start}
    rows, moved = lab.synthetic(recipe)
    made = time.perf_counter() - start
    sets = lab.sets.adding(synthetic=rows)
    real = len(sets.rows["train"])

    def added(ratio: float) -> Parts:
        """Real rows and the first synthetic ones (they are in random order), or all if there are fewer."""
        return Part("train"), Part.of("synthetic", np.arange(min(len(rows), round(ratio * real))))

    possible = [ratio for ratio in RATIOS if round(ratio * real) <= len(rows)]
    candidates = [list(lab.fits(QUICK, added(ratio), sets).values()) for ratio in possible]
    done = lab.run([fit for fits in candidates for fit in fits], sets)
    ratio = possible[best_of(candidates, done, sets.rows["validation"].label)]
    return {
        "tstr": lab.figures(lab.fits(judges, (Part("synthetic"),), sets), sets),
        "tsrtr": without_draws(lab.figures(lab.fits(judges, added(1.0), sets), sets)),
        "tsrtr_best": lab.figures(lab.fits(judges, added(ratio), sets), sets),
        "ratio": ratio,
        "sampling_seconds": round(made, 1),
        "seconds": round(time.perf_counter() - start, 1),
        **moved,
    }


def without_draws(by_judge: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Figures that no table compares, in less room."""
    return {judge: {name: value for name, value in figures.items() if name != "draws"} for judge, figures in by_judge.items()}
