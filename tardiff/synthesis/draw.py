"""The samples of a job: drawn, kept away from training rows, and selected."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tardiff.guidance.influence import cosine
from tardiff.guidance.log import GuidanceLog
from tardiff.model.pipeline import Samples
from tardiff.synthesis.guide import Steering
from tardiff.synthesis.plan import Plan
from tardiff.synthesis.privacy_filter import Dropped, PrivacyFilter
from tardiff.synthesis.sample_store import SampleStore
from tardiff.synthesis.selection import best_of_each_class, influence_scores


@dataclass(frozen=True)
class Drawn:
    """Samples and how they came about.

    Attributes:
        samples: [n].
        log: what the guide did at each step.
        dropped: what the privacy filter dropped; None if there was none.
    """

    samples: Samples
    seeds: list[int]
    log: GuidanceLog
    dropped: Dropped | None


def draw(plan: Plan, steering: Steering, store: SampleStore | None, keeper: PrivacyFilter | None, progress: bool) -> Drawn:
    """Draw the samples of a plan, into a store if there is one, and at a distance from what `keeper` protects."""

    def some(label: NDArray[np.int64], seeds: Sequence[int], log: GuidanceLog, where: str = "") -> Samples:
        return steering.generator(label, seeds, plan.sampler, steering.guide, log, f"sample{where}" if progress else None)

    log, seeds, dropped = GuidanceLog(), plan.seeds, None
    if store is None:
        samples = some(plan.label, seeds, log)
        log = log.over_processes()
    else:
        samples, log = store.draw(some, plan.label, seeds)
    if keeper is not None:
        again = GuidanceLog()
        samples, seeds, dropped = keeper.refilled(samples, seeds, plan.seed, lambda label, more: some(label, more, again))
        log = log.joined(again.over_processes())
    if plan.selection.select != "none":
        chosen = _selected(plan, samples)
        samples, seeds = samples.take(chosen), [seeds[row] for row in chosen]
    return Drawn(samples, seeds, log, dropped)


def _selected(plan: Plan, samples: Samples) -> NDArray[np.intp]:
    """Rows to keep: of each class those of most influence, as many as are wanted."""
    folder = plan.classifiers[0]
    seen, label = plan.generator.codec.encode(samples).to(folder.device), torch.from_numpy(samples.label).to(folder.device)
    score = influence_scores(cosine(folder), seen, label)
    return best_of_each_class(score, samples.label, plan.kept)
