"""What guidance did to a synthetic data set, and whether its influence is what it claims to be.

Three looks: the guide's change step by step (recorded while sampling); the predicted against the realised change of the
guidance loss; and the trace that guidance leaves beside unguided samples of the same seeds, in the directions in which patients
hardly vary, where a label that can be read is a shortcut and not physiology.
"""

import copy
from dataclasses import dataclass, replace

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from torch import Tensor

from tardiff.base.estimates import shown
from tardiff.base.noise import row_seeds, stream
from tardiff.classifier.folder import ClassifierFolder
from tardiff.data.contract import arranged
from tardiff.data.dataset import Dataset
from tardiff.errors import TardiffError
from tardiff.evaluate.bootstrap import row_weights
from tardiff.evaluate.intervals import Interval, interval
from tardiff.evaluate.judges import Rows
from tardiff.evaluate.metrics import auroc
from tardiff.guidance.build import served_task
from tardiff.guidance.influence import InfluenceObjective, guidance_direction, raw_influence
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.settings import SamplerSettings

RATE = 1e-3  # of the one step on a sample: small enough for the loss to be straight
SAMPLES = 100  # each costs a pass over the guidance rows
GUIDANCE_ROWS = 1000
TRACED = 1024
HIGH_VARIANCE = 0.95  # share of the natural variance that the leading components hold; the rest is where shortcuts hide
RESAMPLES = 500


@dataclass(frozen=True)
class Agreement:
    """Predicted and realised fall of the guidance loss, a step of size `RATE` on each sample, per unit of step.

    Attributes:
        predicted: influence by the last layer at the final weights.
        realised: after one gradient step of all weights on the sample.
        spearman: their rank correlation, and its 95 % interval over samples.
    """

    predicted: tuple[float, ...]
    realised: tuple[float, ...]
    spearman: Interval


@dataclass(frozen=True)
class Trace:
    """How well the label can be read in one part of the record's variance, AUROC by cross-validation with 95 % intervals.

    Attributes:
        part: which principal components of the unguided samples.
        difference: from the difference guided minus unguided alone.
        guided, unguided: from guided and from unguided samples; guidance has left a shortcut where the first lies above the second.
        shift: how far guidance drew the classes apart, root mean square over components, in standard deviations of the
            unguided samples, chance taken off.
    """

    part: str
    components: int
    difference: Interval
    guided: Interval
    unguided: Interval
    shift: float


@dataclass(frozen=True)
class Diagnosis:
    """All three looks; `steps` as `GuidanceLog.summary` gives them."""

    rows: int
    steps: tuple[dict[str, float], ...]
    agreement: Agreement
    traces: tuple[Trace, ...]

    def __str__(self) -> str:
        lines = [f"influence: predicted and realised fall of the guidance loss, Spearman {shown(*self.agreement.spearman, digits=2)}"]
        lines += [
            f"label readable (AUROC) in the {trace.part} ({trace.components} components): guided {shown(*trace.guided, digits=2)}, "
            f"unguided {shown(*trace.unguided, digits=2)}; classes drawn apart by {trace.shift:.3f} sd"
            for trace in self.traces
        ]
        return "\n".join(lines)


def diagnose(synthetic: Dataset, pipeline: TarDiffPipeline, folder: ClassifierFolder, data: Dataset, seed: int = 0) -> Diagnosis:
    """Look at a guided data set."""
    settings = synthetic.manifest.settings
    if not settings.get("movement"):
        raise TardiffError("the synthetic data set was not guided (or not drawn by `tardiff sample`): there is nothing to diagnose")
    if settings["selection"]["select"] != "none" or settings["relabel"] or settings.get("privacy_filter", {}).get("count"):
        raise TardiffError("samples were selected, relabelled or replaced: they have no unguided counterparts of the same labels and seeds")
    if settings["generator"] != pipeline.card.data_hash:
        raise TardiffError("the samples were drawn by another generator than --run")
    served_task(pipeline, [folder])
    data = arranged(data, replace(pipeline.form, statics=None), "--data", "RUN")
    train = synthetic.train.take(np.arange(min(len(synthetic.train), TRACED)))
    sampler = msgspec.convert(settings["sampler"], SamplerSettings)
    unguided = pipeline.dataset(pipeline(train.label, row_seeds(settings["seed"], range(len(train))), sampler), {}).train
    codec = pipeline.codec
    guidance = data.split(folder.card.guidance_set)
    some = guidance.take(np.sort(stream("diagnosis", seed).permutation(len(guidance))[:GUIDANCE_ROWS]))
    rows = (codec.encode(split) for split in (some, train.take(np.arange(min(len(train), SAMPLES)))))
    (watched, seen), label = rows, torch.from_numpy(train.label[:SAMPLES])
    agreement = influence_agreement(folder, (watched, torch.from_numpy(some.label)), seen, label, seed)
    traces = label_traces(Rows.of(train, codec).features, Rows.of(unguided, codec).features, train.label, seed)
    return Diagnosis(len(train), tuple(settings["movement"]["steps"]), agreement, traces)


def influence_agreement(folder: ClassifierFolder, guidance: tuple[Tensor, Tensor], seen: Tensor, label: Tensor, seed: int = 0) -> Agreement:
    """Train one small step on each sample and see how far the guidance loss falls.

    Args:
        folder: the classifier and its guidance rows' gradients.
        guidance: real rows whose mean loss is watched, seen [M, 2 C, T] and label [M].
        seen, label: the samples, [N, 2 C, T] and [N].
    """
    classifier = copy.deepcopy(folder.classifier).double()
    watched, watched_label = guidance[0].double(), guidance[1]
    v = guidance_direction(folder.gradients[-1], folder.card.guidance_counts)
    with torch.no_grad():
        predicted = InfluenceObjective([folder.classifier], [v], raw_influence)(seen, label).double().numpy()
        before = float(classifier.loss(watched, watched_label).mean())
    realised = []
    for row in range(len(label)):
        stepped = copy.deepcopy(classifier)
        gradients = torch.autograd.grad(stepped.loss(seen[row : row + 1].double(), label[row : row + 1]).sum(), list(stepped.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(stepped.parameters(), gradients, strict=True):
                parameter.sub_(RATE * gradient)
            realised.append((before - float(stepped.loss(watched, watched_label).mean())) / RATE)
    return Agreement(tuple(predicted.tolist()), tuple(realised), rank_correlation(predicted, np.array(realised), seed))


def rank_correlation(a: NDArray[np.float64], b: NDArray[np.float64], seed: int) -> Interval:
    """Spearman's correlation of two arrays [N] and its 95 % interval by resampling pairs."""
    random = stream("rank correlation", seed)
    draws = [spearmanr(a[rows], b[rows]).statistic for rows in random.integers(len(a), size=(RESAMPLES, len(a)))]
    value, low, high = interval((np.array([spearmanr(a, b).statistic, *draws]) + 1) / 2, len(a), share=True)  # Fisher's z
    return 2 * value - 1, 2 * low - 1, 2 * high - 1


def label_traces(guided: NDArray[np.float64], unguided: NDArray[np.float64], label: NDArray[np.int64], seed: int) -> tuple[Trace, ...]:
    """Read the label in the components that hold 95 % of the unguided samples' variance, and in the rest.

    Args:
        guided, unguided: the same samples with and without guidance, as judges read them, [N, F].
        label: [N], 0 or 1.
    """
    spread = unguided.std(axis=0)
    varies = spread > 0
    a, b = (x[:, varies] / spread[varies] for x in (unguided, guided))
    _, size, directions = np.linalg.svd(a - a.mean(axis=0), full_matrices=False)
    known = size > 1e-6 * size[0]
    scale = size[known] / np.sqrt(len(a))
    a, b = (x @ directions[known].T / scale for x in (a, b))
    cut = int(np.searchsorted(np.cumsum(scale**2) / (scale**2).sum(), HIGH_VARIANCE)) + 1
    parts = {"directions of most variance": slice(0, cut), "directions of little variance": slice(cut, None)}
    return tuple(_trace(name, a[:, part], b[:, part], label, seed) for name, part in parts.items())


def _trace(name: str, unguided: NDArray[np.float64], guided: NDArray[np.float64], label: NDArray[np.int64], seed: int) -> Trace:
    change = guided - unguided
    difference, with_guide, without = (_readable(x, label, seed) for x in (change, guided, unguided))
    return Trace(name, change.shape[1], difference, with_guide, without, _drawn_apart(change, label))


def _readable(x: NDArray[np.float64], label: NDArray[np.int64], seed: int) -> Interval:
    """AUROC of a logistic regression that reads the label from x [N, F], by five-fold cross-validation, with its interval."""
    if not x.size or not x.any():
        return (0.5, 0.5, 0.5)
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    score = cross_val_predict(LogisticRegression(C=0.01, max_iter=2000), x / x.std(), label, cv=folds, method="predict_proba")[:, 1]
    draws = auroc(label, score, row_weights(len(label), RESAMPLES, stream("trace", seed)))
    return interval(draws, int(np.bincount(label).min()), share=True)


def _drawn_apart(change: NDArray[np.float64], label: NDArray[np.int64]) -> float:
    """Root mean square over components of the difference of the classes' mean changes, its chance part taken off."""
    if not change.size:
        return 0.0
    one, other = change[label == 1], change[label == 0]
    square = (one.mean(axis=0) - other.mean(axis=0)) ** 2 - one.var(axis=0) / len(one) - other.var(axis=0) / len(other)
    return float(np.sqrt(max(0.0, square.mean())))
