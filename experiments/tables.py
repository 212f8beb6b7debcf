"""What the tables of the experiments share: paired differences of recorded cells, and Markdown."""

from collections.abc import Iterable, Mapping

import numpy as np

from tardiff.base.estimates import ONE_DRAW
from tardiff.evaluate.bootstrap import Draws
from tardiff.evaluate.intervals import Interval, interval


def markdown(lines: list[list[str]]) -> str:
    """A table's lines; the first one is its head."""
    head, *rest = lines
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *rest])


def section(title: str, seeds: Iterable[int], text: str) -> str:
    """A heading and what stands under it, which begins with a warning where a row rests on one seed.

    Args:
        title: the heading.
        seeds: how many each row rests on.
        text: tables and sentences.
    """
    return f"\n### {title}\n\n{f'{ONE_DRAW}{chr(10) * 2}' if min(seeds) == 1 else ''}{text}"


def difference(ours: Mapping[int, Draws], theirs: Mapping[int, Draws]) -> Interval:
    """Paired difference of a figure over the seeds that both have, and over stays, whose resamples are shared.

    Args:
        ours, theirs: by seed, [1 + B]; the first draw is the rows as they are, and may be the only one.
    """
    return interval(np.stack([ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())], axis=1))
