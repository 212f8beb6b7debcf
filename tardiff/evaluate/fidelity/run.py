"""All fidelity numbers of one set against the real training rows, but for those that need a model to be fitted."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tardiff.base.noise import stream
from tardiff.base.scale import scale_of
from tardiff.data.codec import Codec
from tardiff.data.dataset import Manifest, Split
from tardiff.data.summaries import summary_features
from tardiff.evaluate.fidelity import dependence, descriptors, marginals, missingness, resolution, rules
from tardiff.evaluate.fidelity.distance import Distance, Distances, against_floor
from tardiff.evaluate.fidelity.kernel import discrepancy
from tardiff.evaluate.fidelity.sample import RESAMPLES, Array, Sample, mean
from tardiff.evaluate.fidelity.spectrum import power, spectral_distance
from tardiff.evaluate.fidelity.support import support

MAX_ROWS = 4000  # of each set: more would not change a decimal that is shown
MAX_PAIRED = 1000  # where every row is compared with every other one
FLOOR = "held-out"


def draw_samples(splits: Mapping[str, Split], seed: int) -> dict[str, Sample]:
    """Equally many rows of every split, by role (`held-out` is the floor), so that noise weighs the same in all comparisons."""
    rows = min(MAX_ROWS, *map(len, splits.values()))
    return {role: Sample.draw(split, rows, seed, role) for role, split in splits.items()}


def fidelity(by_role: Mapping[str, Distances]) -> dict[str, Any]:
    """The distances of every role, as JSON.

    Returns:
        `rows`, `resamples`, `floor` and `sets` (by name): estimates by metric; and `against_floor`: by name, as `against_floor` gives it.
    """
    floor = by_role[FLOOR]
    sets = {role.removeprefix("synthetic/"): distances for role, distances in by_role.items() if role != FLOOR}
    return {
        "rows": floor["ks"].n,
        "resamples": RESAMPLES,
        "floor": _written(floor),
        "sets": {name: _written(distances) for name, distances in sets.items()},
        "against_floor": {name: against_floor(distances, floor) for name, distances in sets.items()},
    }


def _written(distances: Distances) -> dict[str, Any]:
    return {key: distance.written() for key, distance in distances.items()}


def value_distances(sample: Sample, train: Sample, manifest: Manifest) -> Distances:
    """Numbers of physical values, masks and descriptors; the mean is over channels, of magnitudes. Each is 0 for identical sets.

    - `ks`: Kolmogorov-Smirnov distance of the observed values, 0 to 1, 0 is the same distribution.
    - `wasserstein`: earth mover's distance of the observed values, in real standard deviations, >= 0.
    - `dimension_wise`: the same step by step, mean over steps.
    - `observed_rate`: share of steps observed, set minus train, -1 to 1.
    - `observed_rate_by_step`: mean over steps of the absolute difference at that step, 0 to 1.
    - `never_charted`: share of rows in which the channel is never observed, set minus train, -1 to 1.
    - `run_lengths`, `gap_lengths`: total variation between the lengths of stretches with and without an observation, 0 to 1.
    - `resolution`: mean over `resolution.GRIDS` of the absolute difference of the share of values on the grid, 0 to 1.
    - `repeats`: share of exact repeats among successive values, set minus train, -1 to 1.
    - `change`: mean absolute change between successive values, set minus train, in real standard deviations.
    - `autocorrelation`: of observed values one step apart, set minus train, -2 to 2.
    - `autocorrelation_function`: mean absolute difference over `dependence.LAGS`, 0 to 2.
    - `correlation`: mean absolute difference of the channels' correlations (steps where both are observed), 0 to 2.
    - `cross_correlation`: the same between a channel and each other one `dependence.CROSS_LAGS` steps later.
    - `mutual_information`: mean absolute difference of the channels' normalised mutual information, 0 to 1.
    - `co_observation`: mean absolute difference of the masks' correlations, 0 to 2.
    - `ordering_violations`: share of adjacent pairs in the manifest's chains that are in the wrong order, 0 to 1; with
      `out_of_limits`, the share of observed values outside their limits, a property of the set alone.
    """
    channels = range(len(manifest.channels))
    marginal = [marginals.distances(sample, train, c) for c in channels]
    lags = [_difference(dependence.autocorrelation, sample, train, lag) for lag in dependence.LAGS]
    cross = [_difference(dependence.cross_correlations, sample, train, lag) for lag in dependence.CROSS_LAGS]
    by_step = np.abs(_difference(missingness.observed_rate_by_step, sample, train))
    grids = np.abs(_difference(resolution.grid_shares, sample, train))
    deviations = np.array([marginals.deviation(train, c) for c in channels])
    cuts = dependence.quantile_cuts(train)
    n, names = len(sample.split), manifest.channel_names

    distances = {
        "ks": np.stack([ks for ks, _ in marginal], axis=1),
        "wasserstein": np.stack([distance for _, distance in marginal], axis=1),
        "dimension_wise": np.stack([marginals.by_step(sample, train, c) for c in channels], axis=1),
        "observed_rate_by_step": np.stack([mean(by_step[:, c]) for c in channels], axis=1),
        "run_lengths": missingness.total_variation(missingness.run_lengths(sample), missingness.run_lengths(train)),
        "gap_lengths": missingness.total_variation(missingness.gap_lengths(sample), missingness.gap_lengths(train)),
        "resolution": np.stack([mean(grids[:, c]) for c in channels], axis=1),
        "autocorrelation_function": np.stack([mean(np.abs(np.stack([lag[:, c] for lag in lags], 1))) for c in channels], axis=1),
    }
    differences = {
        "observed_rate": _difference(missingness.observed_rate, sample, train),
        "never_charted": _difference(missingness.never_charted, sample, train),
        "repeats": _difference(resolution.repeats, sample, train),
        "change": _difference(resolution.mean_change, sample, train) / deviations,
        "autocorrelation": lags[0],
    }
    pairs = {
        "correlation": _difference(dependence.correlations, sample, train),
        "cross_correlation": np.concatenate(cross, axis=1),
        "mutual_information": _difference(dependence.mutual_information, sample, train, cuts),
        "co_observation": _difference(missingness.co_observation, sample, train),
    }
    broken = {"ordering_violations": rules.ordering_violations(sample, manifest), "out_of_limits": rules.out_of_limits(sample, manifest)}
    return (
        {key: Distance(draws, n, names) for key, draws in distances.items()}
        | {key: Distance(draws, n, names, signed=True) for key, draws in differences.items()}
        | {key: Distance(mean(np.abs(draws)), n) for key, draws in pairs.items()}
        | {key: Distance(draws, n, signed=True) for key, draws in broken.items()}
        | descriptors.distances(sample, train, manifest)
    )


def record_distances(sample: Sample, train: Sample, codec: Codec, seed: int) -> Distances:
    """Numbers of whole records, in the codec's space.

    - `spectrum`: mean absolute log10 ratio of power over frequencies, of filled normal scores, >= 0, by channel.
    - `mmd`: squared maximum mean discrepancy of values and mask, with the `p_value` of a permutation test.
    - `alpha_precision`, `beta_recall`, `authenticity`, `density`, `coverage`: as `support` has them, of standardised summaries.

    `mmd` and the last five see at most `MAX_PAIRED` rows of each set.
    """
    n, channels = len(sample.split), len(codec.channels)
    ours, theirs = (codec.encode(s.split) for s in (sample, train))
    spectra = [power(s, x[:, :channels].double().numpy()) for s, x in ((sample, ours), (train, theirs))]
    few, few_of_train = (np.linspace(0, k - 1, min(k, MAX_PAIRED)).astype(int) for k in (n, len(train.split)))
    weights, train_weights = sample.weights[:, few].astype(np.float64), train.weights[:, few_of_train].astype(np.float64)
    flat, train_flat = (x[rows].flatten(1).double().numpy() for x, rows in ((ours, few), (theirs, few_of_train)))
    mmd = discrepancy(flat, train_flat, np.concatenate([weights, train_weights], axis=1), stream("permutations", seed))
    summaries, train_summaries = _standardised(summary_features(ours[few]), summary_features(theirs[few_of_train]))
    neighbours = support(summaries, train_summaries, weights, train_weights)
    return {
        "spectrum": Distance(spectral_distance(*spectra), n, tuple(c.name for c in codec.channels)),
        "mmd": mmd,
        **{key: Distance(draws, len(few), signed=True) for key, draws in neighbours.items()},
    }


def _difference(statistic: Callable[..., Array], sample: Sample, train: Sample, *told: Any) -> Array:
    return statistic(sample, *told) - statistic(train, *told)


def _standardised(rows: Array, train: Array) -> tuple[Array, Array]:
    """Both in units of the training rows' standard deviations."""
    centre, scale = train.mean(0), scale_of(train)
    return (rows - centre) / scale, (train - centre) / scale
