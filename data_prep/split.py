"""Train, validation and test by patient."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from data_prep.settings import How
from tardiff.data.dataset import SPLITS
from tardiff.errors import TardiffError

RANDOM = {"train": 0.70, "validation": 0.15, "test": 0.15}
BESIDE_A_TEST_SET = {"train": 0.80, "validation": 0.20}


def split_patients(stays: pd.DataFrame, how: How, seed: int, test_after: int | None = None) -> "pd.Series[str]":
    """The split of each stay.

    "random" shares the patients out, stratified by the highest label that any of their stays has. "by-set" tests on the
    last of the publisher's sets, "by-id" on patients with a high id, and both share the rest out between train and validation.
    "publisher" takes the split that comes with the records. The order of rows has no influence.

    Args:
        stays: columns stay_id, subject_id, label; set if the source has sets; split if the publisher has shared the patients out.
        how: the rule.
        seed: the seed of the shuffle.
        test_after: the highest id of a patient who is not in the test split, for "by-id".

    Returns:
        train, validation or test, indexed as `stays`.

    Raises:
        TardiffError: by-set without two sets, by-id without a patient on either side, or publisher without the publisher's split of
            every stay.
    """
    if how == "publisher":
        return _published(stays)
    if how == "random":
        return stays["subject_id"].map(_share_out(stays, RANDOM, seed))
    test = _above(stays, test_after) if how == "by-id" and test_after is not None else _last_set(stays)
    shared = stays["subject_id"].map(_share_out(stays[~test], BESIDE_A_TEST_SET, seed))
    return shared.where(~test, "test")


def _last_set(stays: pd.DataFrame) -> "pd.Series[bool]":
    sets = sorted(stays["set"].unique()) if "set" in stays else []
    if len(sets) < 2:
        raise TardiffError(f"split: by-set needs stays of two of the publisher's sets, here are {len(sets)}; choose --split random")
    return stays["set"] == sets[-1]


def _above(stays: pd.DataFrame, last: int) -> "pd.Series[bool]":
    test = stays["subject_id"] > last
    if test.all() or not test.any():
        raise TardiffError(f"split: --test-after {last} leaves every patient on one side; give an id that some are above and some are not")
    return test


def _published(stays: pd.DataFrame) -> "pd.Series[str]":
    if "split" not in stays:
        raise TardiffError("split: the records bring no split of their own; choose --split random")
    unknown = ~stays["split"].isin(SPLITS)
    if unknown.any():
        stay, given = stays.loc[unknown, ["stay_id", "split"]].iloc[0]
        raise TardiffError(f"split: stay {stay} is in split {given!r}, which is none of {', '.join(SPLITS)}; choose --split random")
    return stays["split"]


def _share_out(stays: pd.DataFrame, fractions: Mapping[str, float], seed: int) -> dict[int, str]:
    """Patient to split: within each stratum, sorted patients are shuffled and cut."""
    rng = np.random.default_rng(seed)
    strata = stays.groupby("subject_id")["label"].max()
    chosen: dict[int, str] = {}
    for _, subjects in strata.groupby(strata):
        shuffled = rng.permutation(np.sort(subjects.index.to_numpy()))
        edges = np.round(np.cumsum(list(fractions.values())) * len(shuffled)).astype(int)[:-1]
        for name, part in zip(fractions, np.split(shuffled, edges), strict=True):
            chosen.update(dict.fromkeys(part.tolist(), name))
    return chosen
