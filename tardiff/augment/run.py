"""`tardiff augment`: a dataset folder whose training split is filled up with synthetic rows."""

from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np

from tardiff.augment.folder import augmented
from tardiff.augment.generate import SUBGROUP_GUIDANCE, Generated, generate
from tardiff.classifier.folder import ClassifierFolder
from tardiff.data.dataset import Dataset
from tardiff.data.labels import labels_to_add
from tardiff.data.subgroups import subgroup
from tardiff.errors import TardiffError
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.settings import AIMED, AugmentSettings, GuidanceSettings


def augment(
    data: Dataset, settings: AugmentSettings, classifiers: Sequence[ClassifierFolder] = (), pipeline: TarDiffPipeline | None = None
) -> tuple[Dataset, Generated]:
    """Add synthetic rows to the training split.

    Args:
        data: real rows; validation and test rows are never read.
        settings: how many rows, and whom they serve.
        classifiers: what guides; without any, a committee that is fitted on the training rows.
        pipeline: the generator; None trains one on the training rows.

    Returns:
        The data set, and what made its new rows.

    Raises:
        TardiffError: nothing is to be added, or as `generate`.
    """
    label = labels_to_add(np.bincount(data.train.label, minlength=len(data.manifest.task.classes)), settings.ratio, settings.both)
    if not len(label):
        raise TardiffError("the classes are as frequent as each other; there is nothing to add")
    made = generate(
        data,
        label,
        model=list(classifiers) or None,
        guidance=guidance_of(settings),
        guidance_rows=subgroup(settings.subgroup, data.manifest)(data.train) if settings.subgroup else None,
        pipeline=pipeline,
        minutes=settings.budget_minutes,
        seed=settings.seed,
    )
    return augmented(data, made.rows, asdict(settings)), made


def guidance_of(settings: AugmentSettings) -> GuidanceSettings:
    """The guide that the settings ask for.

    Raises:
        TardiffError: the objective reads no guidance rows that could be a subgroup.
    """
    if settings.guidance == "none":
        return GuidanceSettings(guidance="none")
    usual = SUBGROUP_GUIDANCE if settings.subgroup else GuidanceSettings()
    strength = usual.strength if settings.strength == "matched" else settings.strength
    chosen = replace(usual, objective=settings.objective or usual.objective, strength=strength)
    if settings.subgroup and not chosen.reads_guidance_rows:
        raise TardiffError(f"--objective {chosen.objective} reads no guidance rows; --subgroup needs one of {', '.join(AIMED)}")
    return chosen
