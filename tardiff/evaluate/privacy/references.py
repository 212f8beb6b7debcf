"""Membership by reference models: what the model under attack knows of a record, less what models of other patients know of it.

Some patients are easy for every model; what is left is what this one learnt of them (difficulty calibration, arXiv 2111.08440). With
several references, how much they differ over a record says how surprising the difference is (the offline likelihood ratio of LiRA,
arXiv 2112.03570).
"""

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from math import ceil
from pathlib import Path

import msgspec
import numpy as np

from tardiff.base.checkpoint import plain
from tardiff.base.noise import row_seeds, stream
from tardiff.base.progress import bar
from tardiff.data.dataset import Dataset, Split
from tardiff.evaluate.cache import Cache
from tardiff.evaluate.pool import versions
from tardiff.evaluate.privacy.closest import SAME, closest_apart
from tardiff.evaluate.privacy.denoising import TIMESTEPS, Statistics, charting, denoising
from tardiff.evaluate.privacy.knowledge import Knowledge
from tardiff.evaluate.privacy.trial import Score, Trial
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.model.training import train
from tardiff.settings import MAX_SEED, SamplerSettings, TrainSettings

FEWEST_ROWS = 50
"""Reference rows that a reference model needs to learn something."""
ENOUGH = 4
"""References whose spread over a record is worth an estimate."""
PASSES = 80
"""Over the reference rows, in training, at most: with more, a reference knows its own rows by heart and all others badly."""
BACKWARD = 3
"""Cost of a row in training, in evaluations of the network."""
CHUNK = 64
"""Rows that the network evaluates together, however few are asked for."""

Told = dict[str, Statistics]
"""What one model says of the rows of a trial: `denoising` and `charting` by its weights, `distance/SET` by its samples."""
TINY = 1e-12
SAMPLER = SamplerSettings()


@dataclass(frozen=True)
class Effort:
    """How hard an attack tries; `samples` are those of each reference for each set, at most."""

    references: int
    steps: int
    batch_size: int
    draws: int
    samples: int

    @classmethod
    def of(cls, settings: TrainSettings, trial: Trial, quick: bool, sets: int = 1) -> "Effort":
        """Eight references, or, to be quick, one small one that costs a quarter of the model's training with all that follows.

        A half of that quarter goes into the reference, a quarter of it into noise draws, the last one into samples, of which each of
        `sets` synthetic sets is compared with its own.
        """
        batch_size = min(settings.batch_size, len(trial.reference))
        passes = max(1, PASSES * len(trial.reference) // batch_size)
        if not quick:
            return cls(8, min(settings.steps, passes), batch_size, 8, 2000)
        budget = BACKWARD * settings.steps * settings.batch_size / 4
        rows = 2 * len(TIMESTEPS) * CHUNK * ceil(len(trial.rows) / CHUNK)
        steps = max(1, min(int(budget / 2 / BACKWARD / batch_size), passes))
        samples = int(budget / 4 / SAMPLER.steps / max(1, sets))
        return cls(1, steps, batch_size, max(1, min(8, int(budget / 4 / rows))), max(CHUNK, min(2000, samples)))


@dataclass(frozen=True)
class Attacker:
    """Reference models of one generator, which learn the reference rows of a trial, and what they are asked."""

    trial: Trial
    pipeline: TarDiffPipeline
    real: Dataset
    sets: Mapping[str, Split]
    knowledge: Knowledge
    effort: Effort

    def scores(self, kept: Cache) -> Iterator[tuple[str | None, str, Score]]:
        """Each attack's target, a set by its name or None for the weights; its name; and its score [members + others]."""
        ours = self._told(self.pipeline, {name: rows.take(slice(self.effort.samples)) for name, rows in self.sets.items()})
        said = [self._said(k, kept) for k in bar(range(self.effort.references), desc="privacy: reference models")]
        theirs = {what: np.stack([of[what] for of in said]) for what in ours}
        targets: list[tuple[str | None, list[str]]] = [(None, ["denoising", "charting"]), *((name, [_of(name)]) for name in self.sets)]
        for target, looked in targets:
            for what in looked:
                yield target, f"calibrated {what.split('/')[0]}", calibrated(ours[what], theirs[what])
            if len(said) >= ENOUGH:
                own, others = (np.concatenate([of[what] for what in looked], axis=-1) for of in (ours, theirs))
                yield target, "likelihood ratio", likelihood_ratio(own, others)

    def _said(self, k: int, kept: Cache) -> Told:
        """What reference model k says."""
        learnt = (plain(training_of(self.pipeline)), self.pipeline.labelled)
        about = (self.real.completed().manifest.content_hash, learnt, asdict(self.effort), versions())
        trial = (self.trial.seed, len(self.trial.members), len(self.trial.others), k)
        sets = [(name, rows.label[: self.effort.samples].tolist()) for name, rows in sorted(self.sets.items())]
        key = hashlib.sha256(repr((about, trial, sets)).encode()).hexdigest()
        if (known := kept.load(key)) is not None:
            return known
        model = reference_model(self.trial, self.pipeline, self.real, self.effort, k)
        samples, seed = {}, int(stream("samples of references", self.trial.seed, k).integers(MAX_SEED))  # not that of a user's samples
        for name, rows in self.sets.items():
            label = rows.label[: self.effort.samples]
            seeds = row_seeds(seed, range(len(label)))
            samples[name] = model.dataset(model(label, seeds, SAMPLER), {}).train
        found = self._told(model, samples)
        kept.save(key, found)
        return found

    def _told(self, model: TarDiffPipeline, samples: Mapping[str, Split]) -> Told:
        """What a model says, by its weights and by samples of it for each set."""
        rows = self.trial.rows
        found = {"denoising": denoising(rows, model, self.effort.draws, self.trial.seed), "charting": charting(rows, model)}
        return found | {_of(name): self._distance(some) for name, some in samples.items()}

    def _distance(self, samples: Split) -> Statistics:
        """Minus the log of each row's distance to the closest sample, in values and in charting, [n, 2]."""
        ours, theirs = (self.knowledge.codec.encode(rows) for rows in (self.trial.rows, samples))
        return -np.log(SAME + np.stack(closest_apart(ours, theirs), axis=1))


def training_of(pipeline: TarDiffPipeline) -> TrainSettings:
    """How a generator was trained, but without the noise of differential privacy."""
    return msgspec.convert({**pipeline.card.settings, "epsilon": None}, TrainSettings)


def reference_model(trial: Trial, pipeline: TarDiffPipeline, real: Dataset, effort: Effort, k: int) -> TarDiffPipeline:
    """A model trained as the pipeline was, but on the rows that the attacker has.

    A single reference learns all of them; of several, each learns three quarters of the patients, so that they differ as trainings on
    other patients would.
    """
    rows, known = trial.reference, training_of(pipeline)
    if effort.references > 1:
        patients = stream("reference", trial.seed, k).permutation(np.unique(rows.subject_id))
        rows = rows.take(np.flatnonzero(np.isin(rows.subject_id, patients[: len(patients) * 3 // 4])))
    settings = replace(known, steps=effort.steps, batch_size=min(effort.batch_size, len(rows)), seed=(known.seed + 1 + k) % MAX_SEED)
    data = Dataset(real.manifest, {"train": rows}).completed()
    with tempfile.TemporaryDirectory() as folder:
        model = train(data if pipeline.labelled else data.unlabelled(), Path(folder) / "reference", settings, progress=False)
        return model.to(pipeline.device)


def calibrated(own: Statistics, references: Statistics) -> Score:
    """What the model says of each row [n, k] less what references [R, n, k] say in the mean, in units of its spread, summed over k, [n]."""
    more = own - references.mean(0)
    return (more / (more.std(0) + TINY)).sum(1)


def likelihood_ratio(own: Statistics, references: Statistics) -> Score:
    """How far beyond the references the model is, in standard deviations of theirs, summed over the statistics, [n].

    The offline score of LiRA is 1 minus the tail probability of a Gaussian, which rises with this number. As few references tell a row's
    spread badly, its variance is averaged with that of all rows.
    """
    variance = references.var(0, ddof=1)
    return ((own - references.mean(0)) / (np.sqrt((variance + variance.mean(0)) / 2) + TINY)).sum(1)


def _of(name: str) -> str:
    return f"distance/{name}"
