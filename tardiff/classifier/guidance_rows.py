"""Which rows of a split guidance serves: all of them, the rare class, those that the classifier gets wrong, or a subgroup."""

import numpy as np
from numpy.typing import NDArray

from tardiff.data.dataset import Manifest, Split
from tardiff.data.subgroups import subgroup
from tardiff.errors import TardiffError


def guidance_rows(
    split: Split, manifest: Manifest, rows: str, probability: NDArray[np.float64], share: NDArray[np.float64]
) -> NDArray[np.intp]:
    """Row numbers of a guidance set.

    Args:
        rows: `all`; `minority`, the class with the fewest training rows; `wrong`, rows of which the classifier thinks another
            class likelier than theirs, each class's probability being taken relative to its share in training (or else it would
            be every row of a rare class); or a subgroup (`age>=65`).
        probability: the classifier's, [N, classes].
        share: of each class in training, [classes].
    """
    if rows == "all":
        chosen = np.ones(len(split), dtype=bool)
    elif rows == "minority":
        chosen = split.label == share.argmin()
    elif rows == "wrong":
        chosen = (probability / share).argmax(axis=1) != split.label
    else:
        chosen = subgroup(rows, manifest)(split)
    if not chosen.any():
        raise TardiffError(f"--guidance-rows {rows}: no row is chosen; guidance needs some")
    return np.flatnonzero(chosen)
