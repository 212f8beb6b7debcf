"""The rewards that come with the package."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from tardiff.base.scale import scale_of
from tardiff.data.codec import Z_LIMIT, Charted, Codec
from tardiff.errors import TardiffError
from tardiff.evaluate.privacy.closest import closest
from tardiff.guidance.influence import cosine
from tardiff.model.pipeline import Samples
from tardiff.refine.discriminator import DiscriminatorRows
from tardiff.refine.knn_shapley import knn_shapley
from tardiff.refine.rewards import Context, Reward, factory
from tardiff.synthesis.selection import influence_scores

LAGS = 4
STRANGER_QUANTILE = 0.05
USUAL = 0.995
FEWEST = 20  # rows of a class behind statistics of its own

Floats = NDArray[np.floating]


@factory("discriminator")
def discriminator(context: Context) -> Reward:
    """How real it looks to a network that is trained beside the generator.

    The logit estimates log p_real / p_generated: its mean over samples is minus the reverse divergence.
    """
    trainer, codec, statics = context.discriminator, context.codec, context.statics
    return lambda samples: trainer.logit(DiscriminatorRows.of(samples, codec, statics)).cpu().numpy()


@factory("influence")
def influence(context: Context) -> Reward:
    """How far training on it lowers the classifier's loss on guidance rows (cosine form, along the classifier's training)."""
    folder, codec = context.needed("influence"), context.codec
    objective, device = cosine(folder), folder.device
    return lambda samples: influence_scores(objective, codec.encode(samples).to(device), torch.from_numpy(samples.label).to(device))


@factory("value")
def value(context: Context) -> Reward:
    """KNN-Shapley data value in the classifier's embedding (SynRL, arXiv 2411.07317).

    What it is worth for training rows: validation rows decide what is written, so no reward may aim at them.
    """
    folder, real, codec = context.needed("value"), context.data.train, context.codec

    @torch.no_grad()
    def embed(rows: Charted) -> Floats:
        return folder.classifier.embedding(codec.encode(rows).to(folder.device)).cpu().numpy()

    embedded = embed(real)
    return lambda samples: knn_shapley(embed(samples), samples.label, embedded, real.label)


@factory("fidelity")
def fidelity(context: Context) -> Reward:
    """Minus the mean absolute distance to the nearest training record, values and mask (SynRL)."""
    codec, device = context.codec, context.discriminator.device
    real = codec.encode(context.data.train).flatten(1).to(device)
    return lambda samples: -torch.cdist(codec.encode(samples).flatten(1).to(device), real, p=1).amin(1).cpu().numpy() / real.shape[1]


@factory("privacy")
def privacy(context: Context) -> Reward:
    """0 unless a sample is nearer to a training row than nearly all (95 %) held-out rows are to theirs; -1 for a copy."""
    codec = context.codec
    real = codec.encode(context.data.train).flatten(1)
    strangers = closest(codec.encode(context.data.split("validation")).flatten(1), real)
    near = float(np.quantile(strangers, STRANGER_QUANTILE))
    if near <= 0:
        raise TardiffError("reward privacy: validation rows are copies of training rows, so there is no distance to keep")
    return lambda samples: np.minimum(closest(codec.encode(samples).flatten(1), real) / near, 1) - 1


@factory("plausibility")
def plausibility(context: Context) -> Reward:
    """Minus how far a record exceeds what nearly all (99.5 %) real ones do.

    In changes from one observed step to the next, and in the share of a channel's values that stand at its limits, for a urine output
    of 0 or a saturation of 100 % is nothing strange.
    """
    codec = context.codec
    usual = _jumps(codec.encode(context.data.train))
    by_channel = F.pad(usual.transpose(0, 1).flatten(1), (0, 1), value=torch.nan)  # one entry where records of one step have none
    most = torch.nanquantile(by_channel, USUAL, dim=1).nan_to_num(torch.inf)[:, None]
    most_at_limits = np.quantile(_at_limits(context.data.train.values, codec), USUAL, axis=0)

    def reward(samples: Samples) -> Floats:
        jumps = (_jumps(codec.encode(samples)) - most).clamp(min=0).nan_to_num(0).sum(dim=(1, 2)).numpy() / max(1, usual[0].numel())
        at_limits = (_at_limits(samples.values, codec) - most_at_limits).clip(min=0).mean(axis=1)
        return -jumps - at_limits

    return reward


def _at_limits(values: NDArray[np.float32], codec: Codec) -> Floats:
    """Share of a row's steps at which a channel is observed at its limits, [N, C]; an ordinal scale may stand at its ends."""
    low, high = (np.array(edge, np.float32)[:, None] for edge in zip(*(channel.limits for channel in codec.channels), strict=True))
    numeric = np.array([channel.kind == "numeric" for channel in codec.channels])[:, None]
    return (np.isfinite(values) & ((values <= low) | (values >= high)) & numeric).mean(axis=2)


def _jumps(seen: Tensor) -> Tensor:
    """Absolute change between neighbouring steps that are both observed, [N, C, T - 1] normal scores; NaN elsewhere."""
    score, mask = seen.chunk(2, dim=1)
    both = (mask[..., 1:] > 0) & (mask[..., :-1] > 0)
    return torch.where(both, score.diff(dim=-1).abs(), torch.nan)


@factory("spectral")
def spectral(context: Context) -> Reward:
    """Match of power spectrum and autocorrelation with real rows of the class (as in rewards for synthetic EEG).

    The reward is the first-order effect of a sample on the squared distance between the batch's mean features and the real
    ones: what moves the batch towards real rows is good, and no sample is asked to be the average patient.
    """
    if context.codec.steps < 2:
        raise TardiffError("reward spectral: records of one step have no spectrum; leave it out of --rewards")
    real, label = spectra(context.codec.encode(context.data.train)), context.data.train.label
    classes = len(context.data.manifest.task.classes)
    moments = [_moments(real, label == c) for c in range(classes)]

    def reward(samples: Samples) -> Floats:
        features, result = spectra(context.codec.encode(samples)), np.zeros(len(samples.label))
        for c in np.unique(samples.label):
            rows = samples.label == c
            centre, scale = moments[c]
            z = (features[rows] - centre) / scale
            result[rows] = -(z @ z.mean(0)) / z.shape[1]
        return result

    return reward


def _moments(features: Floats, rows: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    own = features[rows] if rows.sum() >= FEWEST else features
    return own.mean(0), scale_of(own)


def spectra(seen: Tensor) -> NDArray[np.float64]:
    """Log power at each frequency and autocorrelation at the first lags, of forward-filled scores without their mean, [N, C (F + lags)]."""
    score = seen.chunk(2, dim=1)[0].double().clamp(-Z_LIMIT, Z_LIMIT)
    centred = score - score.mean(-1, keepdim=True)
    power = torch.fft.rfft(centred).abs().square()[..., 1:] / score.shape[-1]
    variance = centred.square().sum(-1) + 1e-3
    lags = range(1, min(LAGS + 1, score.shape[-1]))
    correlation = torch.stack([(centred[..., lag:] * centred[..., :-lag]).sum(-1) / variance for lag in lags], dim=-1)
    return torch.cat([(power + 1e-2).log(), correlation], dim=-1).flatten(1).numpy()
