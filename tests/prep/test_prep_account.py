"""The account of entries adds up: read = kept + every loss, counted a second time by plain pandas."""

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pytest

from data_prep import PrepareSettings, prepare
from data_prep.account import EMPTY, LATE, LEFT_OUT, LIMITS, NOT_ASKED, OUTSIDE, OUTSIDE_STAYS, accounts, check, warnings
from data_prep.concept_files import load_concepts
from tardiff.data.dataset import Dataset, TableAccount


@pytest.fixture(scope="module")
def demo(real_data: Path) -> Path:
    return real_data / "mimic-iv-demo-2.2"


@pytest.fixture(scope="module")
def prepared(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Everything, with laboratory results from before the stay, which may serve two stays."""
    out = tmp_path_factory.mktemp("account") / "out"
    return prepare(PrepareSettings("mimic-iv", out, demo, variables="all", before_hours=48, min_age=18))


def by_table(dataset: Dataset) -> dict[str, TableAccount]:
    return {account.table: account for account in dataset.manifest.account or ()}


def test_every_entry_of_the_demo_is_read_and_accounted_for(prepared: Dataset, demo: Path) -> None:
    found = by_table(prepared)
    rows = {name: len(pd.read_csv(demo / folder / f"{name}.csv.gz", usecols=[0])) for name, folder in TABLES.items()}
    assert {name: account.read for name, account in found.items()} == rows
    for account in found.values():
        assert account.read == account.kept + sum(account.lost.values())
        assert all(count > 0 for count in account.lost.values())


TABLES = {"chartevents": "icu", "labevents": "hosp", "outputevents": "icu"}


def test_the_demo_counted_by_pandas(prepared: Dataset, demo: Path) -> None:
    """Items not asked for, entries without a value, and results outside every stay, without the package's code."""
    concepts = load_concepts()
    places = concepts.places("mimic_iv", (*concepts.select("mimic_iv", "all"), *concepts.first("mimic_iv")))
    found = by_table(prepared)
    lab = pd.read_csv(demo / "hosp/labevents.csv.gz", low_memory=False, parse_dates=["charttime"])
    asked = lab[lab["itemid"].astype(str).isin({place.item for place in places if place.table == "labevents"} | {"52033"})]
    assert found["labevents"].lost[NOT_ASKED] == len(lab) - len(asked)
    there = asked[asked["valuenum"].notna() | ((asked["itemid"] == 52033) & asked["value"].notna())]
    assert found["labevents"].lost["without a value"] == len(asked) - len(there)
    stays = pd.read_csv(demo / "icu/icustays.csv.gz", parse_dates=["intime", "outtime"]).sort_values(["subject_id", "intime"])
    inside = np.zeros(len(there), bool)
    for subject, of in stays.groupby("subject_id"):
        earlier = pd.Timestamp(0)
        own = (there["subject_id"] == subject).to_numpy()
        following = [*of["intime"].iloc[1:], pd.NaT]
        for begun, ended, after in zip(of["intime"], of["outtime"], following, strict=True):
            since = max(begun - pd.Timedelta(hours=48), min(earlier, begun))
            until = ended if pd.isna(after) else min(ended, after)
            inside |= own & ((there["charttime"] >= since) & (there["charttime"] < until)).to_numpy()
            earlier = ended
    assert found["labevents"].lost["outside every stay"] == (~inside).sum()


PLAIN = "hr,resp,spo2,urine,creatinine,sodium,potassium"
"""Of every table some; of each a value serves one variable, without words or conversions."""


@pytest.mark.parametrize("lab_time", ["storetime", "charttime"])
def test_every_reason_of_every_table_counted_by_pandas(demo: Path, tmp_path: Path, lab_time: Literal["storetime", "charttime"]) -> None:
    """Each entry for the first reason that holds, without the package's code; of the dictionary only items, scales and limits."""
    dataset = prepare(PrepareSettings("mimic-iv", tmp_path / "out", demo, variables=PLAIN, concepts=_plain(tmp_path), lab_time=lab_time))
    concepts = load_concepts()
    rules = pd.DataFrame(
        [
            {"table": place.table, "itemid": int(place.item), "scale": place.scale, "low": low, "high": high}
            for name in PLAIN.split(",")
            for place in concepts.places("mimic_iv", (name,))
            for low, high in [place.limits or concepts.variables[name].limits]
        ]
    )
    stays = pd.read_csv(demo / "icu/icustays.csv.gz", parse_dates=["intime", "outtime"]).sort_values(["subject_id", "intime"])
    following = stays.groupby("subject_id")["intime"].shift(-1)
    stays["until"] = np.minimum(stays["outtime"], following.fillna(stays["outtime"]))
    stays["has_row"] = stays["stay_id"].isin(np.concatenate([split.stay_id for split in dataset.splits.values()]))
    for table, folder in TABLES.items():
        lab, column = table == "labevents", "value" if table == "outputevents" else "valuenum"
        entries = pd.read_csv(demo / folder / f"{table}.csv.gz", low_memory=False, parse_dates=["charttime", "storetime"])
        entries = entries.merge(rules[rules["table"] == table], "left", "itemid").reset_index(names="entry")
        joined = entries.merge(stays, "left", "subject_id" if lab else "stay_id", suffixes=("", "_of_stay"))
        if lab:
            during = (joined["charttime"] >= joined["intime"]) & (joined["charttime"] < joined["until"])
            joined = entries.merge(joined.loc[during, ["entry", "intime", "has_row"]], "left", "entry", validate="one_to_one")
        number, hours = joined[column] * joined["scale"], {}
        for time in ("charttime", "storetime"):
            hours[time] = (joined[time] - joined["intime"]) / pd.Timedelta(hours=1)
        known = hours["storetime"].fillna(hours["charttime"]) if lab and lab_time == "storetime" else hours["charttime"]
        reasons = {
            NOT_ASKED: joined["scale"].isna(),
            EMPTY: number.isna(),
            OUTSIDE_STAYS: joined["intime"].isna(),
            OUTSIDE: ~hours["charttime"].between(0, 24, inclusive="left"),
            LEFT_OUT: joined["has_row"] != True,  # noqa: E712
            LATE: known >= 24,
            LIMITS: ~number.between(joined["low"], joined["high"]),
        }
        expected = pd.Series(np.select(list(reasons.values()), list(reasons), ""), joined.index).value_counts().to_dict()
        account = by_table(dataset)[table]
        assert {**account.lost, "": account.kept} == expected, table
        assert account.read == len(entries) == account.kept + sum(account.lost.values())


def _plain(folder: Path) -> Path:
    """A dictionary whose descriptors need no entries."""
    own = folder / "own.yaml"
    own.write_text("statics: {mimic_iv: [{name: first_weight, unit: kg, column: age}, {name: first_height, unit: cm, column: age}]}\n")
    return own


def test_shares() -> None:
    (account,) = accounts({"t": {NOT_ASKED: 900, "without a time": 51}}, {"t": {"": 49}})
    assert (account.read, account.kept) == (1000, 49)
    assert [fault for fault, _ in check(account, False)] == ["without a time"]
    (account,) = accounts({"t": {"without a time": 1}}, {"t": {"": 99}})
    assert not list(check(account, False)) + list(warnings(account))
    (account,) = accounts({"t": {"without a time": 2}}, {"t": {"": 98}})
    assert not list(check(account, False))
    assert [fault for fault, _ in warnings(account)] == ["without a time"]
    (account,) = accounts({"t": {"outside the window": 99, "with a value that is not a number": 1}}, {"t": {"": 900}})
    assert [fault for fault, _ in check(account, False)] == ["with a value that is not a number"]
    assert not list(check(account, True))
    assert [fault for fault, _ in warnings(account)] == ["with a value that is not a number"]
