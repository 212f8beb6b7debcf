"""What people do today about scarce or rare labels: real rows only, changed or weighed."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tardiff.base.extras import needs
from tardiff.base.noise import stream
from tardiff.data.codec import Codec
from tardiff.evaluate.features import summary_features
from tardiff.evaluate.judges import Rows

Baseline = Callable[[Rows, Codec, int], tuple[Rows, bool]]
"""(real rows, codec, seed) to the rows to learn from, and whether the model shall weigh the classes equally."""

JITTER = 0.1  # standard deviations
WARP = 0.2  # of the speed of time


def real_only(real: Rows, codec: Codec, seed: int) -> tuple[Rows, bool]:
    """The rows as they are."""
    return real, False


def class_weights(real: Rows, codec: Codec, seed: int) -> tuple[Rows, bool]:
    """The model weighs the classes equally."""
    return real, True


def oversampled(real: Rows, codec: Codec, seed: int) -> tuple[Rows, bool]:
    """Rows of the rarer classes again, until all are as frequent."""
    index = np.arange(len(real))[:, None]
    chosen, _ = needs("imblearn.over_sampling").RandomOverSampler(random_state=seed).fit_resample(index, real.label)
    return real.take(chosen[:, 0]), False


def smote(real: Rows, codec: Codec, seed: int) -> tuple[Rows, bool]:
    """SMOTE (Chawla et al. 2002) on the flattened record that classifiers see, until all classes are as frequent."""
    flat = real.seen.reshape(len(real), -1)
    counts = np.bincount(real.label)
    neighbours = min(5, int(counts[counts > 0].min()) - 1)
    mixed, label = needs("imblearn.over_sampling").SMOTE(random_state=seed, k_neighbors=neighbours).fit_resample(flat, real.label)
    return _rows(torch.tensor(mixed, dtype=torch.float32).reshape(-1, *real.seen.shape[1:]), label), False


def jitter(real: Rows, codec: Codec, seed: int) -> tuple[Rows, bool]:
    """Each row again, with noise on its values (Um et al. 2017)."""
    seen = torch.tensor(real.seen)
    noise = torch.from_numpy(stream("jitter", seed).standard_normal(seen[:, : len(codec.channels)].shape, dtype=np.float32))
    seen[:, : len(codec.channels)] += JITTER * noise
    return real.join(_rows(seen, real.label)), False


def time_warp(real: Rows, codec: Codec, seed: int) -> tuple[Rows, bool]:
    """Each row again, with time running faster and slower (Um et al. 2017)."""
    random = stream("warp", seed)
    steps = real.seen.shape[-1]
    speed = np.exp(WARP * random.standard_normal((len(real), 4)))
    speed = np.stack([np.interp(np.linspace(0, 3, steps), np.arange(4), s) for s in speed])
    passed = np.cumsum(speed, axis=1) - speed[:, :1]
    place = np.rint(passed / passed[:, -1:] * (steps - 1)).astype(int)
    warped = np.take_along_axis(real.seen, np.broadcast_to(place[:, None], real.seen.shape), axis=2)
    return real.join(_rows(torch.tensor(warped), real.label)), False


def _rows(seen: Tensor, label: NDArray[np.int64]) -> Rows:
    value, mask = seen.chunk(2, dim=1)
    return Rows(seen.numpy(), summary_features(torch.cat([value, mask * 2 - 1], dim=1)), np.asarray(label))


BASELINES: dict[str, Baseline] = {
    "none": real_only,
    "class_weight": class_weights,
    "oversample": oversampled,
    "smote": smote,
    "jitter": jitter,
    "warp": time_warp,
}
