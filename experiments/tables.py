"""What the tables of the experiments share: paired differences of recorded cells, and Markdown."""

from collections.abc import Mapping

import numpy as np

from tardiff.evaluate.bootstrap import TAILS, Draws

Interval = tuple[float, float, float]
"""A number and the ends of its 95 % interval."""


def markdown(lines: list[list[str]]) -> str:
    """A table's lines; the first one is its head."""
    head, *rest = lines
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *rest])


def difference(ours: Mapping[int, Draws], theirs: Mapping[int, Draws]) -> Interval:
    """Paired difference of a figure over the seeds that both have: stays' resamples are shared, seeds are drawn again.

    Args:
        ours, theirs: by seed, [1 + B]; the first draw is the rows as they are.
    """
    draws = np.stack([ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())])
    chosen = np.random.default_rng(0).integers(len(draws), size=(draws.shape[1] - 1, len(draws)))
    means = draws[chosen, np.arange(1, draws.shape[1])[:, None]].mean(axis=1)
    low, high = np.quantile(means, TAILS)
    return float(draws[:, 0].mean()), float(low), float(high)
