"""Every MIMIC-IV variable of the demo's 140 stays, against plain pandas written from the publisher's item ids.

Nothing of the package is used to say what is expected: ids, ranges, conversions and rules stand here a second time.
"""

from pathlib import Path
from typing import Any, NamedTuple

import ibis
import numpy as np
import pandas as pd
import pytest

from data_prep import PrepareSettings, prepare
from data_prep.concept_files import load_concepts
from data_prep.grid import Grid, hourly, to_arrays
from data_prep.sources import open_source
from tardiff.data.dataset import Split

HOURS = 24
ARTERIAL = {"ph", "pao2", "paco2", "base_excess", "sao2"}
"""Results that count only if item 52033 says ART. of the same specimen."""


class Rule(NamedTuple):
    """Item ids in order of preference, plausible range, and what an hour holds."""

    ids: tuple[tuple[int, ...], ...]
    low: float
    high: float
    hour: str


LINE_SYS, LINE_DIA, LINE_MEAN = (220050, 225309), (220051, 225310), (220052, 225312)
CUFF_SYS, CUFF_DIA, CUFF_MEAN = (220179,), (220180,), (220181,)
URINE = (226559, 226560, 226561, 226584, 226563, 226564, 226565, 226567, 226557, 226558, 227489, 227488)
RULES = {
    "hr": Rule(((220045,),), 1, 300, "mean"),
    "sbp": Rule((LINE_SYS, CUFF_SYS), 1, 300, "mean"),
    "dbp": Rule((LINE_DIA, CUFF_DIA), 1, 200, "mean"),
    "map": Rule((LINE_MEAN, CUFF_MEAN), 1, 250, "mean"),
    "sbp_arterial": Rule((LINE_SYS,), 1, 300, "mean"),
    "dbp_arterial": Rule((LINE_DIA,), 1, 200, "mean"),
    "map_arterial": Rule((LINE_MEAN,), 1, 250, "mean"),
    "sbp_cuff": Rule((CUFF_SYS,), 1, 300, "mean"),
    "dbp_cuff": Rule((CUFF_DIA,), 1, 200, "mean"),
    "map_cuff": Rule((CUFF_MEAN,), 1, 250, "mean"),
    "resp": Rule(((220210, 224690),), 1, 70, "mean"),
    "temp": Rule(((223762, 223761),), 26, 45, "mean"),
    "spo2": Rule(((220277,),), 1, 100, "mean"),
    "gcs_eye": Rule(((220739,),), 1, 4, "last"),
    "gcs_verbal": Rule(((223900,),), 1, 5, "last"),
    "gcs_motor": Rule(((223901,),), 1, 6, "last"),
    "fio2": Rule(((223835, 50816),), 21, 100, "last"),
    "sao2": Rule(((50817,),), 20, 100, "last"),
    "ph": Rule(((50820,),), 6.3, 8.4, "last"),
    "pao2": Rule(((50821,),), 32, 700, "last"),
    "paco2": Rule(((50818,),), 1, 200, "last"),
    "base_excess": Rule(((50802,),), -25, 25, "last"),
    "lactate": Rule(((50813,),), 0.1, 30, "last"),
    "glucose": Rule(((50931, 50809, 225664, 220621, 226537),), 10, 2000, "mean"),
    "creatinine": Rule(((50912,),), 0.1, 60, "last"),
    "bun": Rule(((51006,),), 0, 250, "last"),
    "sodium": Rule(((50983,),), 50, 225, "last"),
    "potassium": Rule(((50971,),), 1, 12, "last"),
    "chloride": Rule(((50902,),), 50, 175, "last"),
    "bicarbonate": Rule(((50882,),), 1, 60, "last"),
    "calcium": Rule(((50893,),), 2, 20, "last"),
    "calcium_ionized": Rule(((50808,),), 0.1, 5, "last"),
    "magnesium": Rule(((50960,),), 0.1, 10, "last"),
    "phosphate": Rule(((50970,),), 0.1, 40, "last"),
    "albumin": Rule(((50862,),), 0.6, 6, "last"),
    "bilirubin": Rule(((50885,),), 0.1, 60, "last"),
    "bilirubin_direct": Rule(((50883,),), 0, 50, "last"),
    "alp": Rule(((50863,),), 1, 5000, "last"),
    "alt": Rule(((50861,),), 1, 25_000, "last"),
    "ast": Rule(((50878,),), 1, 25_000, "last"),
    "cholesterol": Rule(((50907,),), 10, 1000, "last"),
    "troponin_t": Rule(((51003,),), 0, 50, "last"),
    "ck": Rule(((50910,),), 0, 100_000, "last"),
    "ckmb": Rule(((50911,),), 0, 1000, "last"),
    "crp": Rule(((50889,),), 0, 1000, "last"),
    "wbc": Rule(((51301, 51300, 51755, 51756),), 0, 1000, "last"),
    "hemoglobin": Rule(((51222,),), 1, 25, "last"),
    "hematocrit": Rule(((51221,),), 1, 75, "last"),
    "platelets": Rule(((51265,),), 1, 2000, "last"),
    "neutrophils": Rule(((51256,),), 0, 100, "last"),
    "lymphocytes": Rule(((51244,),), 0, 100, "last"),
    "bands": Rule(((51144,),), 0, 100, "last"),
    "mch": Rule(((51248,),), 10, 60, "last"),
    "mchc": Rule(((51249,),), 10, 60, "last"),
    "mcv": Rule(((51250,),), 40, 160, "last"),
    "inr": Rule(((51237,),), 0.5, 25, "last"),
    "pt": Rule(((51274,),), 5, 200, "last"),
    "ptt": Rule(((51275,),), 10, 200, "last"),
    "fibrinogen": Rule(((51214,),), 10, 2000, "last"),
    "urine": Rule((URINE,), 0, 2000, "sum"),
    "weight": Rule(((226512,), (226531,), (224639,)), 20, 500, "last"),
    "height": Rule(((226730,), (226707,)), 10, 230, "last"),
}
WORDS_ONLY = {"tube", "capillary_refill"}
"""Charted in words, which the rebuilt chartevents of the demo does not hold."""


def converted(rows: pd.DataFrame) -> "pd.Series[float]":
    """Every value in the unit of its variable."""
    item, value = rows["itemid"], rows["value"].astype(float)
    value = value.mask(item.isin([223761, 223762]) & (value >= 60), (value - 32) / 1.8)
    value = value.mask(item.isin([223835, 50816]) & (value > 0.2) & (value <= 1), value * 100)
    value = value.mask(item.isin([223835, 50816]) & (value > 1) & (value < 20))
    value = value.mask(item == 226531, value * 0.45359237)
    return value.mask(item == 226707, value * 2.54)


@pytest.fixture(scope="module")
def raw(real_data: Path) -> Path:
    return real_data / "mimic-iv-demo-2.2"


@pytest.fixture(scope="module")
def stays(raw: Path) -> pd.DataFrame:
    frame = pd.read_csv(raw / "icu/icustays.csv.gz", parse_dates=["intime", "outtime"]).sort_values("stay_id", ignore_index=True)
    assert len(frame) == 140
    following = frame.sort_values("intime").groupby("subject_id")["intime"].shift(-1).reindex(frame.index)
    return frame.assign(until=frame["outtime"].where(following.isna() | (frame["outtime"] <= following), following))


@pytest.fixture(scope="module")
def entries(raw: Path, stays: pd.DataFrame) -> pd.DataFrame:
    """Everything of the first 24 hours: stay_id, itemid, hour, known (hours), order, value, art."""
    charted = pd.read_csv(raw / "icu/chartevents.csv.gz", usecols=["stay_id", "charttime", "itemid", "valuenum"])
    counts = charted["itemid"].value_counts()
    assert len(charted) == 668_832
    assert (counts[220045], counts[220277], counts[223761]) == (13_913, 13_540, 3_379)
    assert counts[220179] == pytest.approx(8345, abs=5)
    assert all(counts[item] == pytest.approx(3260, abs=20) for item in (220739, 223900, 223901))
    charted = charted.rename(columns={"valuenum": "value"}).assign(known=charted["charttime"], order=0)
    put_out = pd.read_csv(raw / "icu/outputevents.csv.gz", usecols=["stay_id", "charttime", "storetime", "itemid", "value"])
    assert len(put_out) == 9362
    put_out = put_out.assign(known=put_out["charttime"], order=pd.to_datetime(put_out["storetime"]).astype("int64"))

    labs = pd.read_csv(raw / "hosp/labevents.csv.gz", low_memory=False)
    assert len(labs) == 107_727
    arterial = labs.loc[(labs["itemid"] == 52033) & (labs["value"] == "ART."), "specimen_id"]
    labs["art"] = labs["specimen_id"].isin(arterial)
    labs = labs[["subject_id", "charttime", "storetime", "itemid", "valuenum", "labevent_id", "art"]]
    labs = labs.rename(columns={"valuenum": "value", "storetime": "known", "labevent_id": "order"})
    labs = labs.merge(stays[["subject_id", "stay_id", "intime", "until"]], on="subject_id")
    labs = labs[pd.to_datetime(labs["charttime"]).between(labs["intime"], labs["until"], inclusive="left")]

    rows = pd.concat([charted.merge(stays[["stay_id", "intime"]]), put_out.merge(stays[["stay_id", "intime"]]), labs], ignore_index=True)
    rows["known"] = rows["known"].fillna(rows["charttime"])
    for column in ("charttime", "known"):
        rows[column] = (pd.to_datetime(rows[column]) - rows["intime"]) / pd.Timedelta(hours=1)
    rows = rows[(rows["charttime"] >= 0) & (rows["charttime"] < HOURS) & (rows["known"] < HOURS)]
    rows = rows.assign(hour=np.floor(rows["charttime"]), value=converted(rows)).dropna(subset="value")
    return rows.sort_values(["charttime", "known", "order", "value"])


def computed(entries: pd.DataFrame, name: str) -> "pd.Series[float]":
    """{(stay, hour): value} of one variable."""
    ids, low, high, how = RULES[name]
    hours = None
    for group in ids:
        rows = entries[entries["itemid"].isin(group)]
        if name in ARTERIAL:
            rows = rows[rows["art"] == True]  # noqa: E712  (missing for what is not a result)
        most = rows["itemid"].map({227488: 10_000, 227489: 10_000}).fillna(high)
        rows = rows[(rows["value"] >= low) & (rows["value"] <= most)]
        signed = rows["value"].where(rows["itemid"] != 227488, -rows["value"])
        slots = signed.groupby([rows["stay_id"], rows["hour"]]).agg(how)
        slots = slots.clip(low, high) if how == "sum" else slots
        hours = slots if hours is None else hours.combine_first(slots)
    assert hours is not None
    return hours


@pytest.fixture(scope="module")
def prepared(raw: Path) -> dict[str, np.ndarray]:
    """What the package makes of it: an array [140, 24] for each variable that the dictionary has for MIMIC-IV."""
    concepts = load_concepts()
    grid = Grid(concepts, "mimic_iv", concepts.known("mimic_iv"), HOURS)
    before, connection = ibis.options.default_backend, ibis.duckdb.connect()
    ibis.options.default_backend = connection
    source = open_source("mimic-iv", raw, ())
    ids = np.sort(source.stays()["stay_id"].to_numpy())
    windows = ibis.memtable(pd.DataFrame({"stay_id": ids, "row": np.arange(140), "start": 0.0}))
    events = source.events(concepts.places("mimic_iv", grid.names), 60.0 * HOURS)
    batches = hourly(events, windows, grid).to_pyarrow().to_batches()
    values, _ = to_arrays(batches, grid, np.arange(140), np.full(140, HOURS, np.int32))
    ibis.options.default_backend = before
    connection.disconnect()
    return {name: values[:, channel] for channel, name in enumerate(grid.names)}


def table(hours: "pd.Series[float]", stays: pd.DataFrame) -> np.ndarray:
    slots = pd.MultiIndex.from_product([stays["stay_id"], np.arange(float(HOURS))])
    return hours.reindex(slots).to_numpy().reshape(140, HOURS)


def test_the_whole_dictionary_is_checked(prepared: dict[str, Any]) -> None:
    assert set(prepared) == {*RULES, "gcs", *WORDS_ONLY}


@pytest.mark.parametrize("name", RULES)
def test_every_hour_of_every_stay(name: str, prepared: dict[str, np.ndarray], entries: pd.DataFrame, stays: pd.DataFrame) -> None:
    expected = table(computed(entries, name), stays)
    assert np.isfinite(expected).sum() >= 2, "the demo must hold some of it"
    np.testing.assert_allclose(prepared[name], expected, rtol=1e-6, atol=2e-6)


def test_gcs_is_the_sum_where_all_three_were_scored(prepared: dict[str, np.ndarray], entries: pd.DataFrame, stays: pd.DataFrame) -> None:
    scores = [computed(entries, name) for name in ("gcs_eye", "gcs_verbal", "gcs_motor")]
    expected = table(scores[0] + scores[1] + scores[2], stays)
    assert np.isfinite(expected).sum() > 800
    np.testing.assert_array_equal(prepared["gcs"], expected.astype(np.float32))


def test_words_that_the_demo_lacks_give_nothing(prepared: dict[str, np.ndarray]) -> None:
    for name in WORDS_ONLY:
        assert np.isnan(prepared[name]).all()


def test_weight_and_height_as_descriptors(raw: Path, stays: pd.DataFrame, tmp_path: Path) -> None:
    """The best group that was charted from a day before the stay to the cutoff, and of it the first value; none from after."""
    charted = pd.read_csv(raw / "icu/chartevents.csv.gz", usecols=["stay_id", "charttime", "itemid", "valuenum"]).dropna()
    charted = charted.rename(columns={"valuenum": "value"}).merge(stays[["stay_id", "intime"]])
    charted["hour"] = (pd.to_datetime(charted["charttime"]) - charted["intime"]) / pd.Timedelta(hours=1)
    charted = charted[charted["hour"].between(-24, HOURS, inclusive="left")].assign(value=converted)
    charted = charted.sort_values(["hour", "value"])
    dataset = prepare(PrepareSettings("mimic-iv", tmp_path / "out", raw, variables="hr"))
    split = Split.concatenate(list(dataset.splits.values()))
    for name, known in {"weight": 0.9, "height": 0.4}.items():
        ids, low, high, _ = RULES[name]
        expected = None
        for group in ids:
            rows = charted[charted["itemid"].isin(group) & charted["value"].between(low, high)]
            first = rows.groupby("stay_id")["value"].first()
            expected = first if expected is None else expected.combine_first(first)
        assert expected is not None
        column = split.static[:, dataset.manifest.static_names.index(f"first_{name}")]
        np.testing.assert_allclose(column, expected.reindex(split.stay_id).to_numpy(), rtol=1e-6)
        assert np.isfinite(column).mean() > known
