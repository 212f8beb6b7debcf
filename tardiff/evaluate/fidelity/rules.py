"""Rules that no patient breaks."""

from itertools import pairwise

import numpy as np

from tardiff.data.dataset import Manifest
from tardiff.evaluate.bootstrap import Draws
from tardiff.evaluate.fidelity.sample import Sample, ratio


def ordering_violations(sample: Sample, manifest: Manifest) -> Draws:
    """Share of adjacent pairs in the manifest's chains that are in the wrong order, [1 + B]; NaN without chains."""
    index = {name: c for c, name in enumerate(manifest.channel_names)}
    pairs = [(index[low], index[high]) for chain in manifest.orderings for low, high in pairwise(chain)]
    values = sample.split.values
    wrong = sum((values[:, low] > values[:, high]).sum(1) for low, high in pairs)  # NaN compares false
    judged = sum((np.isfinite(values[:, low]) & np.isfinite(values[:, high])).sum(1) for low, high in pairs)
    zeros = np.zeros(len(values))
    return ratio(sample.sums(zeros + wrong), sample.sums(zeros + judged))


def out_of_limits(sample: Sample, manifest: Manifest) -> Draws:
    """Share of observed values outside their limits, [1 + B]."""
    low, high = np.array([channel.limits for channel in manifest.channels]).T[..., None]
    outside = (sample.split.values < low) | (sample.split.values > high)
    return ratio(sample.sums(outside.sum((1, 2), dtype=np.float64)), sample.sums(sample.split.mask.sum((1, 2), dtype=np.float64)))
