"""From a generator and classifiers to a synthetic data set."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tardiff.classifier.folder import ClassifierFolder
from tardiff.data.dataset import Dataset
from tardiff.model.pipeline import RecordGenerator
from tardiff.settings import GuidanceSettings, SamplerSettings, SelectionSettings
from tardiff.synthesis.draw import draw
from tardiff.synthesis.finish import Synthesis, finish
from tardiff.synthesis.guide import steer
from tardiff.synthesis.plan import make_plan
from tardiff.synthesis.sample_store import SampleStore


def synthesise(
    pipeline: RecordGenerator,
    n: int,
    *,
    classifier: ClassifierFolder | Sequence[ClassifierFolder] = (),
    guidance: GuidanceSettings | None = None,
    sampler: SamplerSettings | None = None,
    selection: SelectionSettings | None = None,
    label_ratio: str = "train",
    label: NDArray[np.int64] | None = None,
    relabel: bool = False,
    seed: int = 0,
    privacy_filter: Dataset | None = None,
    store: SampleStore | None = None,
    progress: bool = True,
) -> Synthesis:
    """Sample a synthetic data set.

    Args:
        pipeline: a trained generator.
        n: rows.
        classifier: what guidance serves, one or several (their mean is followed); not needed for `guidance="none"`.
        guidance: objective, window and strength; the default settings if None.
        sampler: solver and steps.
        selection: whether to choose among more samples; the default settings (no) if None.
        label_ratio: "train", "balanced", or the share of the last class as a number. For a generator that learnt without
            labels, "train" is the share in the classifier's training rows.
        label: [n], the label of each sample, in place of a ratio; nothing is selected then.
        relabel: give the samples new labels, as many of each: the classifiers' mean probability ranks them. For a generator that
            learnt without labels this serves better than steering (experiments/guidance); the task must have two classes.
        seed: sample i of a seed is the same whatever `n` and the batch size are, as long as its label is.
        privacy_filter: real records from whose training rows samples shall keep as far as its held-out rows do; samples that
            do not are replaced by others.
        store: where samples are put as they are drawn, and are looked for; None keeps them in memory.
        progress: show progress bars.

    Raises:
        TardiffError: no classifier to guide with, one fitted on other data, a label ratio that makes no sense, more rows than there are
            numbers for, no data to filter by, or a generator that draws nothing which the filter lets pass.
    """
    folders = [classifier] if isinstance(classifier, ClassifierFolder) else list(classifier)
    plan = make_plan(
        pipeline,
        n,
        folders,
        guidance or GuidanceSettings(),
        sampler or SamplerSettings(),
        selection or SelectionSettings(),
        label_ratio,
        label,
        relabel,
        seed,
        privacy_filter,
    )
    steering = steer(plan, progress)
    return finish(plan, steering, draw(plan, steering, store, progress))
