"""Splits: by patient, stratified, and indifferent to the order of rows."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.split import split_patients
from tardiff.errors import TardiffError


@st.composite
def cohorts(draw: st.DrawFn) -> pd.DataFrame:
    patients = draw(st.integers(1, 120))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    subject = np.sort(rng.choice(10 * patients, patients, replace=False)).repeat(rng.integers(1, 4, patients))
    frame = pd.DataFrame({"stay_id": 1000 + np.arange(len(subject)), "subject_id": subject})
    return frame.assign(label=(rng.random(len(frame)) < 0.3).astype(int), set=np.where(frame["subject_id"] % 3 == 0, "a", "b"))


@settings(max_examples=60)
@given(frame=cohorts(), seed=st.integers(0, 50), how=st.sampled_from(["random", "by-set", "by-id"]))
def test_patients_are_whole_and_row_order_is_irrelevant(frame: pd.DataFrame, seed: int, how: str) -> None:
    if how == "by-set" and frame["set"].nunique() < 2:
        return
    last = int(frame["subject_id"].iloc[len(frame) // 2])
    if how == "by-id" and last == frame["subject_id"].max():
        return
    split = split_patients(frame, how, seed, last)  # type: ignore[arg-type]
    assert split.isin(["train", "validation", "test"]).all()
    assert split.groupby(frame["subject_id"]).nunique().eq(1).all()
    shuffled = frame.sample(frac=1, random_state=seed)
    pd.testing.assert_series_equal(split_patients(shuffled, how, seed, last).sort_index(), split)  # type: ignore[arg-type]
    if how == "by-id":
        assert ((split == "test") == (frame["subject_id"] > last)).all()
    if how == "by-set":
        assert ((split == "test") == (frame["set"] == "b")).all()


@settings(max_examples=40)
@given(frame=cohorts(), seed=st.integers(0, 50))
def test_random_is_stratified_by_the_patients_highest_label(frame: pd.DataFrame, seed: int) -> None:
    patients = frame.assign(split=split_patients(frame, "random", seed)).groupby("subject_id").agg({"label": "max", "split": "first"})
    for _, stratum in patients.groupby("label"):
        counts = stratum["split"].value_counts()
        for name, fraction in {"train": 0.7, "validation": 0.15, "test": 0.15}.items():
            assert abs(counts.get(name, 0) - fraction * len(stratum)) <= 1


def test_the_seed_matters() -> None:
    frame = pd.DataFrame({"stay_id": range(100), "subject_id": range(100), "label": 0})
    assert not split_patients(frame, "random", 0).equals(split_patients(frame, "random", 1))


def test_by_set_needs_two_sets() -> None:
    with pytest.raises(TardiffError, match="by-set"):
        split_patients(pd.DataFrame({"stay_id": [1], "subject_id": [1], "label": [0], "set": ["a"]}), "by-set", 0)


def test_by_id_needs_patients_on_both_sides() -> None:
    with pytest.raises(TardiffError, match=r"--test-after 7 leaves every patient on one side"):
        split_patients(pd.DataFrame({"subject_id": [1, 5], "label": [0, 1]}), "by-id", 0, 7)
