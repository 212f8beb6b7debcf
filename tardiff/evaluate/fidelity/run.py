"""All fidelity numbers of one set against the real training rows, but for those that need a model to be fitted."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tardiff.base.noise import stream
from tardiff.base.progress import bar
from tardiff.data.codec import Codec
from tardiff.data.dataset import Dataset, Manifest
from tardiff.evaluate.bootstrap import Draws, estimate, recentred
from tardiff.evaluate.features import summary_features
from tardiff.evaluate.fidelity import dependence, marginals, missingness, rules
from tardiff.evaluate.fidelity.kernel import discrepancy
from tardiff.evaluate.fidelity.sample import RESAMPLES, Array, Sample, mean
from tardiff.evaluate.fidelity.spectrum import power, spectral_distance
from tardiff.evaluate.fidelity.support import support

MAX_ROWS = 4000  # of each set: more would not change a decimal that is shown
MAX_PAIRED = 1000  # where every row is compared with every other one


def measure_fidelity(real: Dataset, synthetic: Mapping[str, Dataset], seed: int) -> dict[str, Any]:
    """Compare each synthetic set, and the real held-out rows (the floor), with the real training rows.

    The same number of rows is drawn from every set, so that noise weighs the same in all comparisons.

    Args:
        real: with its three splits.
        synthetic: data sets by name.
        seed: of the rows drawn, the bootstrap and the permutations.

    Returns:
        `rows`, `resamples`, `floor` and `sets` (by name), each as `value_distances` and `record_distances` give it.
    """
    others = {"held-out": real.split("test")} | {f"synthetic/{name}": dataset.train for name, dataset in synthetic.items()}
    rows = min([MAX_ROWS, len(real.train), *map(len, others.values())])
    train = Sample.draw(real.train, rows, seed, "train")
    codec = Codec.fit(real.train, real.manifest)
    compared = {}
    for name, split in bar(others.items(), desc="comparing records"):
        sample = Sample.draw(split, rows, seed, name)
        compared[name] = value_distances(sample, train, real.manifest) | record_distances(sample, train, codec, seed)
    return {
        "rows": rows,
        "resamples": RESAMPLES,
        "floor": compared["held-out"],
        "sets": {name: compared[f"synthetic/{name}"] for name in synthetic},
    }


def value_distances(sample: Sample, train: Sample, manifest: Manifest) -> dict[str, Any]:
    """Numbers of physical values and masks; `mean` is over channels, of magnitudes. Each is 0 for identical sets.

    - `ks`: Kolmogorov-Smirnov distance of the observed values, 0 to 1, 0 is the same distribution.
    - `wasserstein`: earth mover's distance of the observed values, in real standard deviations, >= 0.
    - `dimension_wise`: the same step by step, mean over steps.
    - `observed_rate`: share of steps observed, set minus train, -1 to 1.
    - `observed_rate_by_step`: mean over steps of the absolute difference at that step, 0 to 1.
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
    cuts = dependence.quantile_cuts(train)
    n, names = len(sample.split), manifest.channel_names

    distances = {
        "ks": np.stack([ks for ks, _ in marginal], axis=1),
        "wasserstein": np.stack([distance for _, distance in marginal], axis=1),
        "dimension_wise": np.stack([marginals.by_step(sample, train, c) for c in channels], axis=1),
        "observed_rate_by_step": np.stack([mean(by_step[:, c]) for c in channels], axis=1),
        "autocorrelation_function": np.stack([mean(np.abs(np.stack([lag[:, c] for lag in lags], 1))) for c in channels], axis=1),
    }
    signed = {"observed_rate": _difference(missingness.observed_rate, sample, train), "autocorrelation": lags[0]}
    pairs = {
        "correlation": _difference(dependence.correlations, sample, train),
        "cross_correlation": np.concatenate(cross, axis=1),
        "mutual_information": _difference(dependence.mutual_information, sample, train, cuts),
        "co_observation": _difference(missingness.co_observation, sample, train),
    }
    return (
        {key: _over_channels(draws, names, n, recentred) for key, draws in distances.items()}
        | {key: _over_channels(draws, names, n, lambda d: d) for key, draws in signed.items()}
        | {key: estimate(recentred(mean(np.abs(draws))), n) for key, draws in pairs.items()}
        | {
            "ordering_violations": estimate(rules.ordering_violations(sample, manifest), n),
            "out_of_limits": estimate(rules.out_of_limits(sample, manifest), n),
        }
    )


def record_distances(sample: Sample, train: Sample, codec: Codec, seed: int) -> dict[str, Any]:
    """Numbers of whole records, in the codec's space.

    - `spectrum`: mean absolute log10 ratio of power over frequencies, of filled normal scores, >= 0, by channel.
    - `mmd`: squared maximum mean discrepancy of values and mask, with the `p_value` of a permutation test.
    - `alpha_precision`, `beta_recall`, `authenticity`, `density`, `coverage`: as `support` has them, of standardised summaries.

    `mmd` and the last five see at most `MAX_PAIRED` rows of each set.

    Args:
        sample, train: the rows.
        codec: fitted on the real training rows.
        seed: of the permutations.
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
        "spectrum": _over_channels(spectral_distance(*spectra), tuple(c.name for c in codec.channels), n, recentred),
        "mmd": mmd.written(len(few)),
        **{key: estimate(draws, len(few)) for key, draws in neighbours.items()},
    }


def _difference(statistic: Callable[..., Array], sample: Sample, train: Sample, *told: Any) -> Array:
    return statistic(sample, *told) - statistic(train, *told)


def _standardised(rows: Array, train: Array) -> tuple[Array, Array]:
    """Both in units of the training rows' standard deviations."""
    centre, spread = train.mean(0), train.std(0)
    spread = np.where(spread > 0, spread, 1)
    return (rows - centre) / spread, (train - centre) / spread


def _over_channels(draws: Array, names: tuple[str, ...], n: int, settle: Callable[[Draws], Draws]) -> dict[str, Any]:
    """Draws [1 + B, C] as estimates, by channel and their mean magnitude."""
    return {
        "mean": estimate(recentred(mean(np.abs(draws))), n),
        "by_channel": {name: estimate(settle(draws[:, c]), n) for c, name in enumerate(names)},
    }
