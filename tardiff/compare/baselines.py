"""What people do today about scarce or rare labels: real rows only, changed or weighed."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tardiff.base.extras import needs
from tardiff.base.noise import stream
from tardiff.errors import TardiffError
from tardiff.evaluate.judges import Rows

Baseline = Callable[[Rows, float, int], Rows]
"""(real rows, strength, seed) to the rows to learn from; a strength of 1 goes all the way, 0 does nothing."""

NEIGHBOURS = 5
JITTER = 0.2  # standard deviations at full strength
WARP = 0.4  # of the speed of time at full strength
MIXUP = 0.4  # both parameters of the beta distribution at full strength


def drawn_again(sampler: str) -> Baseline:
    """Whole rows of the classes left out or taken again by a sampler of imbalanced-learn."""

    def baseline(real: Rows, strength: float, seed: int) -> Rows:
        return real.take(_balanced(sampler, np.arange(len(real))[:, None], real.label, strength, seed)[0][:, 0])

    return baseline


def interpolated(sampler: str, **options: int) -> Baseline:
    """SMOTE (Chawla et al. 2002) or a relative of it in imbalanced-learn, on the flattened record that classifiers see."""

    def baseline(real: Rows, strength: float, seed: int) -> Rows:
        flat = real.seen.reshape(len(real), -1)
        fewer = {name: min(most, int(np.bincount(real.label).min()) - 1) for name, most in options.items()}
        mixed, label = _balanced(sampler, flat, real.label, strength, seed, **fewer)
        return Rows.shown(torch.tensor(mixed, dtype=torch.float32).reshape(-1, *real.seen.shape[1:]), label)

    return baseline


def _balanced(
    sampler: str, x: NDArray[Any], label: NDArray[np.int64], strength: float, seed: int, **options: int
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """What a sampler makes of rows x [N, F]; strength is the share of the gap between the classes that it closes."""
    package, name = sampler.split(".")
    few, most = sorted(np.bincount(label, minlength=2))
    chosen = getattr(needs(f"imblearn.{package}"), name)
    try:
        return chosen(sampling_strategy=few / most + strength * (1 - few / most), random_state=seed, **options).fit_resample(x, label)
    except ValueError as error:
        raise TardiffError(f"{name}: {error}; leave it out of --methods") from error


def jitter(real: Rows, strength: float, seed: int) -> Rows:
    """Each row again, with noise on its values (Um et al. 2017)."""
    seen = torch.tensor(real.seen)
    value, _ = seen.chunk(2, dim=1)
    value += strength * JITTER * torch.from_numpy(stream("jitter", seed).standard_normal(value.shape, dtype=np.float32))
    return real.join(Rows.shown(seen, real.label))


def time_warp(real: Rows, strength: float, seed: int) -> Rows:
    """Each row again, with time running faster and slower (Um et al. 2017)."""
    random = stream("warp", seed)
    steps = real.seen.shape[-1]
    speed = np.exp(strength * WARP * random.standard_normal((len(real), 4)))
    speed = np.stack([np.interp(np.linspace(0, 3, steps), np.arange(4), s) for s in speed])
    passed = np.cumsum(speed, axis=1) - speed[:, :1]
    place = np.rint(passed / passed[:, -1:] * (steps - 1)).astype(int)
    warped = np.take_along_axis(real.seen, np.broadcast_to(place[:, None], real.seen.shape), axis=2)
    return real.join(Rows.shown(torch.tensor(warped), real.label))


def mixup(real: Rows, strength: float, seed: int) -> Rows:
    """Each row again, mixed with another row of its class (Zhang et al., ICLR 2018; within classes, so that labels stay whole)."""
    random = stream("mixup", seed)
    partner = np.arange(len(real))
    for c in np.unique(real.label):
        partner[real.label == c] = random.permutation(partner[real.label == c])
    share = random.beta(strength * MIXUP, strength * MIXUP, size=(len(real), 1, 1)).astype(np.float32)
    share = np.maximum(share, 1 - share)
    return real.join(Rows.shown(torch.tensor(share * real.seen + (1 - share) * real.seen[partner]), real.label))


BASELINES: dict[str, Baseline] = {
    "oversample": drawn_again("over_sampling.RandomOverSampler"),
    "undersample": drawn_again("under_sampling.RandomUnderSampler"),
    "smote": interpolated("over_sampling.SMOTE", k_neighbors=NEIGHBOURS),
    "borderline_smote": interpolated("over_sampling.BorderlineSMOTE", k_neighbors=NEIGHBOURS),
    "svm_smote": interpolated("over_sampling.SVMSMOTE", k_neighbors=NEIGHBOURS),
    "smote_enn": interpolated("combine.SMOTEENN"),
    "jitter": jitter,
    "warp": time_warp,
    "mixup": mixup,
}
