"""`tardiff augment`: a dataset folder whose training split is filled up with synthetic rows."""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tardiff.augment.gate import Gated, gated
from tardiff.augment.generate import SUBGROUP_GUIDANCE, Generated, augmented, generate, refuse_augmented
from tardiff.classifier.folder import ClassifierFolder
from tardiff.data.dataset import Dataset, Split
from tardiff.data.labels import labels_to_add
from tardiff.data.subgroups import subgroup
from tardiff.errors import TardiffError
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.settings import AIMED, AugmentSettings, GuidanceSettings


@dataclass(frozen=True)
class Augmented:
    """A data set and what made its synthetic rows, batch by batch; `gate` says what passed, and is None without a gate."""

    data: Dataset
    made: list[Generated]
    gate: Gated | None


def augment(
    data: Dataset, settings: AugmentSettings, classifiers: Sequence[ClassifierFolder] = (), pipeline: TarDiffPipeline | None = None
) -> Augmented:
    """Add synthetic rows to the training split, if they help.

    Args:
        data: real rows; validation and test rows are never read.
        settings: how many rows, and whom they serve.
        classifiers: what guides; without any, a committee that is fitted on the training rows.
        pipeline: the generator; None trains one on the training rows.

    Raises:
        TardiffError: nothing is to be added, or as `generate` and `gated`.
    """
    counts = np.bincount(data.train.label, minlength=len(data.manifest.task.classes))
    label = labels_to_add(counts, settings.ratio, settings.both)
    if not len(label) and counts.max() > counts.min():
        raise TardiffError(f"--ratio {settings.ratio:g}: that share of what the rarest class lacks ({np.ptp(counts):,} rows) is no row")
    if not len(label):
        raise TardiffError("the classes are as frequent as each other; there is nothing to add")
    served = subgroup(settings.subgroup, data.manifest)(data.train) if settings.subgroup else None
    guidance = guidance_of(settings)
    refuse_augmented(data)

    def make(rows: NDArray[np.bool_], label: NDArray[np.int64], earlier: Sequence[Generated], progress: bool = False) -> Generated:
        return generate(
            Dataset(data.manifest, {"train": data.train.take(rows)}),
            label,
            model=list(classifiers) or None,
            guidance=guidance,
            guidance_rows=None if served is None else served[rows],
            pipeline=pipeline,
            minutes=settings.budget_minutes,
            seed=settings.seed,
            earlier=earlier,
            progress=progress,
        )

    if not settings.gate:
        made = [make(np.ones(len(data.train), bool), label, (), progress=True)]
        return Augmented(augmented(data, made[0].rows, asdict(settings)), made, None)
    known = [folder.card.data_hash for folder in classifiers] + ([pipeline.card.data_hash] if pipeline else [])
    if data.known_as() & set(known):
        print("warning: --run or --classifier has learnt from the rows that judge here, which flatters its rows", file=sys.stderr)
    gate = gated(data, label, make, settings.batches, settings.seed)
    if not gate.made:
        return Augmented(data, [], gate)
    rows = Split.concatenate([made.rows for made in gate.made])
    return Augmented(augmented(data, rows, asdict(settings) | {"gains": [asdict(gain) for gain in gate.gains]}), gate.made, gate)


def guidance_of(settings: AugmentSettings) -> GuidanceSettings:
    """The guide that the settings ask for."""
    if settings.guidance == "none":
        return GuidanceSettings(guidance="none")
    usual = SUBGROUP_GUIDANCE if settings.subgroup else GuidanceSettings()
    strength = usual.strength if settings.strength == "matched" else settings.strength
    chosen = replace(usual, objective=settings.objective or usual.objective, strength=strength)
    if settings.subgroup and not chosen.reads_guidance_rows:
        raise TardiffError(f"--objective {chosen.objective} reads no guidance rows; --subgroup needs one of {', '.join(AIMED)}")
    return chosen
