"""From the rows of a fold to synthetic ones: generator, guides, samples."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tardiff.augment.guides import fit_guides
from tardiff.augment.meaning import Meaning, as_they_came, in_terms_of
from tardiff.augment.surrogate import SurrogateFit
from tardiff.base.threads import one_thread
from tardiff.classifier.folder import ClassifierFolder
from tardiff.data.dataset import Dataset, Split
from tardiff.data.holdout import with_held_out
from tardiff.errors import InputError
from tardiff.model.budget import training_settings
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.model.training import train
from tardiff.settings import MAX_SEED, GuidanceSettings, SamplerSettings, TrainSettings
from tardiff.synthesis import synthesise
from tardiff.synthesis.finish import Movement
from tardiff.synthesis.matched_strength import Match

SUBGROUP_GUIDANCE = GuidanceSettings(objective="cosine=1", strength=0.3)
"""For guidance rows of its own: the label's probability reads none, and how sure of labels it is says nothing of a subgroup."""


@dataclass(frozen=True)
class Generated:
    """Synthetic rows and what made them; `movement` is None if they are unguided, `match` if their strength was given."""

    rows: Split
    pipeline: TarDiffPipeline
    guides: list[ClassifierFolder]
    surrogates: list[SurrogateFit]
    movement: Movement | None
    match: Match | None = None


def trained_generator(data: Dataset, settings: TrainSettings | None, minutes: float, seed: int, progress: bool = False) -> TarDiffPipeline:
    """A generator of the training rows; settings that are not given follow from the data's size and the minutes."""
    settings = replace(settings, seed=seed) if settings else training_settings(len(data.train), data.manifest.steps, minutes, seed)
    with tempfile.TemporaryDirectory() as folder:
        return train(Dataset(data.manifest, {"train": data.train}).completed(), Path(folder) / "run", settings, progress=progress)


def generate(
    data: Dataset,
    label: NDArray[np.int64],
    *,
    model: Any = None,
    features: str = "summary",
    guidance: GuidanceSettings | None = None,
    guidance_rows: NDArray[np.bool_] | None = None,
    pipeline: TarDiffPipeline | str | Path | None = None,
    meaning: Meaning | None = None,
    training: TrainSettings | None = None,
    sampler: SamplerSettings | None = None,
    minutes: float = 2.0,
    epochs: int = 60,
    seed: int = 0,
    n_jobs: int | None = None,
    earlier: Sequence[Generated] = (),
    progress: bool = False,
) -> Generated:
    """Sample rows of the given labels for a fold, reading its training rows and nothing else.

    One thread computes, so that the same seed gives the same rows whatever runs beside it.

    Args:
        data: the fold; only its training split is read.
        label: class of each synthetic row, [n].
        model: what the rows are to serve, see `guides.fit_guides`.
        guidance: None ascends the label's probability, or cosine influence if there are guidance rows.
        guidance_rows: which of the training rows guidance serves, [N]; None is all.
        pipeline: a trained generator or its folder; None trains one.
        meaning: what the rows say of themselves, by which they are matched with a `pipeline`; None is all, as a data set does.
        training: settings of the generator that is trained, but for the seed.
        minutes: what training the generator may take, where `training` is not given.
        earlier: what was made of this fold before: its generator draws again, with other noise, and guides learn from its rows, too.

    Raises:
        TardiffError: the rows were augmented before, the pipeline reads other records, or guidance has no rows to serve.
    """
    refuse_augmented(data)
    guidance = guidance or (SUBGROUP_GUIDANCE if guidance_rows is not None else GuidanceSettings())
    data, meaning = Dataset(data.manifest, {"train": data.train}).completed(), meaning or Meaning()
    with one_thread():
        if pipeline is None:
            pipeline = earlier[0].pipeline if earlier else trained_generator(data, training, minutes, seed, progress)
            fold, meaning = data, Meaning()
        else:
            pipeline = pipeline if isinstance(pipeline, TarDiffPipeline) else TarDiffPipeline.from_pretrained(pipeline)
            fold = in_terms_of(pipeline, data, meaning)
        folders: list[ClassifierFolder] = []
        surrogates: list[SurrogateFit] = []
        if guidance.guidance != "none":
            learn = with_held_out(fold, seed)
            if earlier:
                added = [in_terms_of(pipeline, Dataset(data.manifest, {"train": made.rows}), meaning).train for made in earlier]
                joined = Split.concatenate([learn.train, *added])
                learn = Dataset(learn.manifest, {**learn.splits, "train": joined}).completed()
            folders, surrogates = fit_guides(model, learn, pipeline.codec, seed, n_jobs, features, epochs)
            if guidance_rows is not None:
                served = _served(fold.train, guidance_rows)
                folders = [folder.serving(served, "rows chosen by the user") for folder in folders]
        code = np.array([pipeline.classes.index(name) for name in meaning.classes or data.manifest.task.classes])
        made = synthesise(
            pipeline,
            len(label),
            classifier=folders,
            guidance=guidance,
            sampler=sampler,
            label=code[label],
            seed=(seed + len(earlier)) % (MAX_SEED + 1),
            progress=progress,
        )
    rows = as_they_came(made.dataset, data, meaning, pipeline).train
    return Generated(rows, pipeline, folders, surrogates, made.movement, made.match)


def refuse_augmented(data: Dataset) -> None:
    """Only real rows are imitated."""
    if data.manifest.synthetic:
        raise InputError("the data set is synthetic; augment the real one")
    if data.train.synthetic is not None and data.train.synthetic.any():
        raise InputError("the training split holds synthetic rows already; augment the data set that it was made from")


def _served(rows: Split, chosen: NDArray[np.bool_]) -> Split:
    if len(np.unique(rows.label[chosen])) < 2:
        raise InputError(f"guidance_rows: the {chosen.sum()} rows that were chosen have fewer than two classes; choose more rows")
    return rows.take(chosen)


def augmented(data: Dataset, synthetic: Split, settings: dict[str, Any] | None = None) -> Dataset:
    """The data set with synthetic rows after its real training rows; its other splits are carried over as they are.

    Args:
        data: real rows, or rows that were augmented before.
        synthetic: rows with the data set's channels and descriptors; they get stay and subject ids that no row has.
        settings: how they were made, for the manifest.
    """
    if not len(synthetic):
        return data
    used = max(int(array.max()) for split in data.splits.values() for array in (split.stay_id, split.subject_id) if len(array))
    number = used + 1 + np.arange(len(synthetic), dtype=np.int64)
    new = replace(synthetic, stay_id=number, subject_id=number, synthetic=np.ones(len(synthetic), np.uint8))
    manifest = msgspec.structs.replace(data.manifest, settings=data.manifest.settings | {"augment": settings or {}})
    return Dataset(manifest, {**data.splits, "train": Split.concatenate([data.train, new])}).completed()
