"""From samples to a synthetic data set: how far guidance moved them, their labels, and the manifest that says how they were made."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from tardiff.data.dataset import Dataset
from tardiff.data.labels import ranked_labels
from tardiff.data.resolution import ABSENT
from tardiff.guidance.log import INERT, GuidanceLog, rounded
from tardiff.model.pipeline import RecordGenerator, Samples
from tardiff.synthesis.draw import Drawn
from tardiff.synthesis.guide import Steering
from tardiff.synthesis.matched_strength import Match
from tardiff.synthesis.plan import Plan
from tardiff.synthesis.privacy_filter import Dropped

COMPARED_ROWS = 64


@dataclass(frozen=True)
class Movement:
    """How far guidance moved the samples, against unguided ones of the same seeds.

    Attributes:
        value: root mean square difference of what is charted, in standard deviations (normal scores); what is charted is the same.
        steps: per reverse step, root mean square of the guide's change (classifier-free guidance, which works inside the denoiser,
            has no part in it) and of the sampler's update, and their ratio.
        inert: True if guidance did nothing to speak of.
        repaired: share of the observed values that decoding moved (out of limits or out of order), guided and unguided.
    """

    rows: int
    value: float
    steps: list[dict[str, float]]
    inert: bool
    repaired: tuple[float, float]


@dataclass(frozen=True)
class Synthesis:
    """A synthetic data set, and how it came about.

    Attributes:
        movement: how guidance moved it; None if it was unguided.
        match: how the strength of guidance was found; None if it was given.
        dropped: what the privacy filter dropped; None if there was none.
    """

    dataset: Dataset
    movement: Movement | None
    match: Match | None = None
    dropped: Dropped | None = None


def finish(plan: Plan, steering: Steering, drawn: Drawn) -> Synthesis:
    """The data set of a plan's samples."""
    movement = None
    if plan.guidance.guidance != "none":
        few = drawn.samples.take(np.arange(min(plan.n, COMPARED_ROWS)))
        unguided = plan.generator(few.label, drawn.seeds[: len(few.label)], plan.sampler, like=few)
        movement = moved(plan.generator, drawn.samples, unguided, drawn.log)
    samples = _relabelled(plan, drawn.samples) if plan.relabel else drawn.samples
    settings = _settings(plan, steering.match, movement, drawn.dropped)
    return Synthesis(plan.generator.dataset(samples, settings, plan.task), movement, steering.match, drawn.dropped)


def moved(generator: RecordGenerator, guided: Samples, unguided: Samples, log: GuidanceLog) -> Movement:
    """How far guided samples lie from unguided ones of the same seeds, of which there may be fewer."""
    codec, rows = generator.codec, len(unguided.label)
    charted = (unguided.chart != ABSENT).sum().clamp(min=1)
    difference = float(((guided.x0[:rows] - unguided.x0).square().sum() / charted).sqrt())
    repaired = rounded(codec.repaired(guided.x0[:rows], guided.chart[:rows])), rounded(codec.repaired(unguided.x0, unguided.chart))
    return Movement(rows, rounded(difference), log.summary(), log.inert and difference < INERT, repaired)


def _relabelled(plan: Plan, samples: Samples) -> Samples:
    """The samples with labels by the rank of the classifiers' mean probability, as many of each."""
    codec = plan.generator.codec
    seen = codec.encode(plan.generator.dataset(samples, {}, plan.task).train)
    score = np.mean([folder.classifier.probability(seen)[:, 1] for folder in plan.classifiers], axis=0)
    return replace(samples, label=ranked_labels(score, samples.label))


def _settings(plan: Plan, match: Match | None, movement: Movement | None, dropped: Dropped | None) -> dict[str, Any]:
    """What the manifest says."""
    card, guidance, device = plan.generator.card, plan.guidance, plan.generator.device.type
    selects = plan.selection.select != "none"
    reads_classifiers = guidance.reads_classifier or plan.relabel or selects
    return (
        {
            "n": plan.n,
            "seed": plan.seed,
            "label_ratio": plan.label_ratio,
            "relabel": plan.relabel,
            "sampler": {k: v for k, v in asdict(plan.sampler).items() if k != "batch_size"},
            "guidance": asdict(guidance) if guidance.guidance != "none" else {"guidance": "none"},
            "selection": asdict(plan.selection),
            "generator": card.data_hash,
            "classifiers": [folder.card.data_hash for folder in plan.classifiers] if reads_classifiers else [],
            "serves": [folder.card.serves for folder in plan.classifiers] if guidance.reads_guidance_rows or selects else [],
            "training": {"labels": plan.generator.labelled} | card.settings,
            "strength": asdict(match) if match else None,
            "movement": asdict(movement) if movement else None,
        }
        | ({"privacy_filter": asdict(dropped)} if dropped else {})
        | ({} if device == "cpu" else {"device": device})
    )
