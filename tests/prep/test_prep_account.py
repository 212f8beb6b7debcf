"""The account of entries adds up: read = kept + every loss, counted a second time by plain pandas."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data_prep import PrepareSettings, prepare
from data_prep.account import NOT_ASKED, accounts, check, warnings
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


def test_what_is_kept_of_a_mean_is_what_its_steps_hold(demo: Path, tmp_path: Path) -> None:
    """Heart rate only: the entries inside the limits and the windows of the rows."""
    dataset = prepare(PrepareSettings("mimic-iv", tmp_path / "out", demo, variables="hr", concepts=_plain(tmp_path)))
    chart = pd.read_csv(demo / "icu/chartevents.csv.gz", usecols=["stay_id", "charttime", "itemid", "valuenum"], parse_dates=["charttime"])
    stays = pd.read_csv(demo / "icu/icustays.csv.gz", parse_dates=["intime"]).set_index("stay_id")["intime"]
    heart = chart[chart["itemid"] == 220045]
    minute = (heart["charttime"] - heart["stay_id"].map(stays)) / pd.Timedelta(minutes=1)
    rows = np.concatenate([split.stay_id for split in dataset.splits.values()])
    seen = heart["stay_id"].isin(rows) & (minute >= 0) & (minute < 1440)
    plausible = heart["valuenum"].between(1, 300)
    assert by_table(dataset)["chartevents"].kept == (seen & plausible).sum()
    assert by_table(dataset)["chartevents"].lost.get("outside the limits", 0) == (seen & ~plausible & heart["valuenum"].notna()).sum()


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
