"""From a generator and classifiers to a synthetic data set."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tardiff.classifier.folder import ClassifierFolder
from tardiff.data.contract import Form, arranged
from tardiff.data.dataset import Dataset
from tardiff.data.padding import padded
from tardiff.errors import TardiffError
from tardiff.evaluate.privacy.closest import NEAR
from tardiff.model.pipeline import RecordGenerator
from tardiff.settings import GuidanceSettings, SamplerSettings, SelectionSettings
from tardiff.synthesis.draw import draw
from tardiff.synthesis.finish import Synthesis, finish
from tardiff.synthesis.guide import steer
from tardiff.synthesis.plan import Plan
from tardiff.synthesis.privacy_filter import PrivacyFilter
from tardiff.synthesis.sample_store import SampleStore


def synthesise(
    pipeline: RecordGenerator,
    n: int,
    *,
    classifier: ClassifierFolder | Sequence[ClassifierFolder] = (),
    guidance: GuidanceSettings | None = None,
    guidance_data: Dataset | None = None,
    guidance_rows: str = "all",
    sampler: SamplerSettings | None = None,
    selection: SelectionSettings | None = None,
    label_ratio: str = "train",
    label: NDArray[np.int64] | None = None,
    relabel: bool = False,
    seed: int = 0,
    privacy_filter: Dataset | None = None,
    privacy_quantile: float = NEAR,
    store: SampleStore | None = None,
    kept_match: Path | None = None,
    progress: bool = True,
) -> Synthesis:
    """Sample a synthetic data set.

    Args:
        pipeline: a trained generator.
        n: rows.
        classifier: what guidance serves, one or several (their mean is followed); not needed for `guidance="none"`. Those of the
            generator that an adapted one was made from will do.
        guidance: objectives, window and strength; the default settings if None.
        guidance_data: real records whose training rows guidance serves, of any hospital; None leaves each classifier those that it
            was fitted with.
        guidance_rows: which of them (`classifier.guidance_rows`).
        sampler: solver and steps.
        selection: whether to choose among more samples; the default settings (no) if None.
        label_ratio: "train", "balanced", or the share of the last class as a number. For a generator that learnt without
            labels, "train" is the share in the classifier's training rows.
        label: [n], the label of each sample, in place of a ratio; nothing is selected then.
        relabel: give the samples new labels, as many of each: the classifiers' mean probability ranks them. For a generator that
            learnt without labels this serves better than steering (experiments/version-0.1.md); the task must have two classes.
        seed: sample i of a seed is the same whatever `n` and the batch size are, as long as its label is.
        privacy_filter: real records; a sample nearer to one of their training rows than nearly all of their held-out rows are, in
            values or in charting, is replaced by another.
        privacy_quantile: share of held-out rows that are nearer than it may be.
        store: where samples are put as they are drawn, and are looked for; None keeps them in memory.
        kept_match: file in which a matched strength is kept and looked for (see `steer`); None keeps none.
        progress: show progress bars.

    Raises:
        TardiffError: no classifier to guide with, one fitted on other data, guidance rows of other channels, steps or classes, or which
            nothing reads, a label ratio that makes no sense, more rows than there are
            numbers for, no data to filter by, or a generator that draws nothing which the filter lets pass.
    """
    folders = [classifier] if isinstance(classifier, ClassifierFolder) else list(classifier)
    folders = [folder if folder.device == pipeline.device else folder.to(pipeline.device) for folder in folders]
    folders = [in_its_space(folder, pipeline) for folder in folders]
    guidance, selection = guidance or GuidanceSettings(), selection or SelectionSettings()
    if guidance_data is not None:
        if not (guidance.reads_guidance_rows or selection.select != "none"):
            raise TardiffError(
                "--guidance-data would not be read; it needs cosine, raw or contrastive in --objective, or --select influence"
            )
        folders = [aimed(folder, pipeline, guidance_data, guidance_rows) for folder in folders]
    plan = Plan(pipeline, n, folders, guidance, sampler or SamplerSettings(), selection, label_ratio, label, relabel, seed)
    keeper = None if privacy_filter is None else PrivacyFilter.of(privacy_filter, pipeline, privacy_quantile)
    steering = steer(plan, progress, kept_match)
    return finish(plan, steering, draw(plan, steering, store, keeper, progress))


def in_its_space(folder: ClassifierFolder, pipeline: RecordGenerator) -> ClassifierFolder:
    """The classifier; if it is one of the generator that was adapted, in its local marginals: a value is read by its place among theirs."""
    return replace(folder, codec=pipeline.codec) if folder.codec.digest() == pipeline.card.adaptation.get("from_codec") else folder


def aimed(folder: ClassifierFolder, pipeline: RecordGenerator, data: Dataset, rows: str = "all") -> ClassifierFolder:
    """A classifier for guidance that serves training rows of another data set, which it reads in its own space.

    Channels that the data set lacks count as never charted, those that the classifier does not know are left out; both are said.
    """
    known = padded(data, folder.codec.channels, data.manifest.statics, "--guidance-data")
    for unshared, what in ((known.lacking, "has no value in"), (known.left_out, "is unknown to --classifier and left out of")):
        if names := [name for name in unshared if name not in data.manifest.static_names]:
            print(f"warning: {', '.join(names)} {what} --guidance-data", file=sys.stderr)
    form = Form.of(folder.codec.channels, folder.codec.steps, pipeline.card.step_hours, None, folder.card.task)
    return folder.aimed(arranged(known.data, form, "--guidance-data", "--classifier"), "train", rows)
