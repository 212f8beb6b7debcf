"""The one way from resamples to a 95 % interval.

Two things vary: the patients, whom resampling draws again, and the fits (seeds), of which there are few. Their variances are
estimated apart and added; Student's t takes the place of the normal quantile because few fits tell their own spread badly.

    var = var(patients) + var(fits) / S,   half = t(df) sqrt(var),   df by Satterthwaite (Biometrics Bulletin 1946)
"""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import t as student

from tardiff.evaluate.bootstrap import Draws
from tardiff.evaluate.metrics import SHARES

FEWEST_FITS = 3
"""With fewer, a spread over fits is a guess, and no interval is given."""
LEVEL = 0.95

Interval = tuple[float, float, float]
"""A number and the ends of its 95 % interval, NaN where undefined."""


def interval(draws: Draws, units: int | None = None, *, share: bool = False, level: float = LEVEL) -> Interval:
    """A number and its 95 % interval.

    Args:
        draws: [1 + B] where the fit is given, or [1 + B, S] of S fits; row 0 is the data as they are. Fits alone vary where B is 0.
        units: patients (or events) that the number rests on, such as the rows of the rarer class; None if they are many.
        share: the number lies between 0 and 1. Its interval is taken on the logit scale and stays inside; at 0 and 1 it
            reaches to `highest_unseen`.
        level: of the interval, if it is not one of 95 %.

    Returns:
        The mean over fits and both ends; no ends where there are fewer than `FEWEST_FITS` fits, or one resample only.
    """
    value, error, df = _spread(draws, units)
    if not np.isfinite([value, error]).all():
        return value, np.nan, np.nan
    half = float(student.ppf((1 + level) / 2, df) * error)
    if not share:
        return value, value - half, value + half
    if 0 < value < 1:
        low, high = expit(logit(value) + np.array([-1, 1]) * half / (value * (1 - value)))
        return value, float(low), float(high)
    highest = highest_unseen(units, level) if units else np.nan
    return (0.0, 0.0, highest) if value == 0 else (1.0, 1 - highest, 1.0)


def chance(draws: Draws) -> float:
    """Two-sided p-value of a number that is 0 if nothing is to be found, by the spread of its interval; NaN if that is unknown."""
    value, error, df = _spread(draws, None)
    if not error:  # nothing varies
        return float(value == 0)
    return float(2 * student.sf(abs(value) / error, df))


def highest_unseen(trials: int, level: float = LEVEL) -> float:
    """Upper end of the 95 % interval of a share of which no case was seen in so many trials (Clopper & Pearson, Biometrika 1934)."""
    return float(1 - ((1 - level) / 2) ** (1 / trials))


def standard_error(draws: Draws) -> float:
    """Standard error of a number over patients and fits, from draws [1 + B] or [1 + B, S] of any number of fits."""
    by_fit = draws[:, None] if draws.ndim == 1 else draws
    return float((_over_fits(by_fit[0])[0] + _over_patients(by_fit[1:], None)[0]) ** 0.5)


def estimate(draws: Draws, n: int, units: int | None = None, *, share: bool = False) -> dict[str, Any]:
    """A number as it is written down: `value`, 95 % interval `low` to `high`, `n` rows, `seeds` fits (None: the fit is given).

    It rests on `n` units unless told otherwise. Undefined numbers are None, never NaN.
    """
    numbers = dict(zip(("value", "low", "high"), interval(draws, units or n, share=share), strict=True))
    seeds = draws.shape[1] if draws.ndim == 2 else None
    return {k: v if np.isfinite(v) else None for k, v in numbers.items()} | {"n": n, "seeds": seeds}


def estimates(draws: Mapping[str, Draws], label: NDArray[np.int64], shares: Collection[str] = SHARES) -> dict[str, Any]:
    """Several metrics of the same rows, by name; they rest on the rows of the rarer class.

    Args:
        label: of the rows, [n].
        shares: metrics that lie between 0 and 1; none of them for differences.
    """
    counts = np.unique(label, return_counts=True)[1]
    return {name: estimate(d, len(label), int(counts.min(initial=len(label))), share=name in shares) for name, d in draws.items()}


def _spread(draws: Draws, units: int | None) -> tuple[float, float, float]:
    """A number, its standard error, NaN if unknown, and the degrees of freedom of that."""
    by_fit = draws[:, None] if draws.ndim == 1 else draws
    value = float(by_fit[0].mean())
    if draws.ndim == 2 and by_fit.shape[1] < FEWEST_FITS:
        return value, np.nan, 1.0
    fits, fits_df = _over_fits(by_fit[0])
    patients, patients_df = _over_patients(by_fit[1:], units)
    variance = fits + patients
    df = variance**2 / max(fits**2 / fits_df + patients**2 / patients_df, 1e-300)
    return value, variance**0.5, max(df, 1.0)


def _over_fits(value: NDArray[np.float64]) -> tuple[float, int]:
    """Variance of the mean of independent fits [S], and its degrees of freedom."""
    fits = len(value)
    return (float(value.var(ddof=1)) / fits, fits - 1) if fits > 1 else (0.0, 1)


def _over_patients(draws: Draws, units: int | None) -> tuple[float, int]:
    """Variance over patients of the mean over fits, and its degrees of freedom, from resamples [B, S].

    What a fit makes of these patients and no other fit does is left out: the spread over fits holds it already. Resamples that lack a
    class say nothing.
    """
    if not len(draws):
        return 0.0, 1
    known = draws[np.isfinite(draws).all(1)]
    if len(known) < 2:
        return np.nan, 1
    count = min(len(known), units or len(known))
    if count < 2:
        return np.nan, 1
    mean, fits = known.mean(1), known.shape[1]
    own = (known - mean[:, None]).var(0).sum() / (fits - 1) / fits if fits > 1 else 0.0
    resampled = max(float(mean.var() - own), 0.0)
    return resampled * (count / (count - 1)), count - 1
