"""What every source must do, run over all of them; then each source's values against plain pandas that shares no code with it."""

import io
import re
import shlex
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import ibis
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from prep_meds import write_meds
from prep_small import LAYOUT, STAYS, charted, write_table, write_yaib

from data_prep import PrepareSettings, prepare
from data_prep.concept_files import load_concepts
from data_prep.concepts import Concepts, Place
from data_prep.grid import Grid, hourly, to_arrays
from data_prep.sources import SOURCES, Source, open_source
from tardiff import cli
from tardiff.data.dataset import Dataset
from tardiff.data.meds import export_meds
from tardiff.errors import TardiffError

OUTCOMES = (
    "died",
    "unit_minutes",
    "death_minute",
    "death_day_minute",
    "discharge_minute",
    "next_minute",
    "order",
    "onset_minute",
    "stays_in_admission",
)
HOURS = 24


def grid(source: Source, concepts: Concepts, names: tuple[str, ...], stays: pd.DataFrame, as_charted: bool = False) -> np.ndarray:
    """Values [N, C, T] of the first day, stays in the order of their ids; nothing is cut off where a stay ends."""
    events = source.events(concepts.places(source.name, names), 60.0 * HOURS)
    ids = np.sort(stays["stay_id"].to_numpy())
    slots_of = Grid(concepts, source.name, names, HOURS, as_charted=as_charted)
    windows = ibis.memtable(pd.DataFrame({"stay_id": ids, "row": np.arange(len(ids)), "start": 0.0}))
    slots = hourly(events, windows, slots_of).to_pyarrow()
    return to_arrays(slots.to_batches(), slots_of, np.arange(len(ids)), np.full(len(ids), HOURS, np.int32))[0]


def drawn(rows: pd.DataFrame, group: tuple[Place, ...]) -> "pd.Series[bool]":
    """Rows of the specimen that these places ask for."""
    (specimen,) = {place.specimen for place in group}
    return rows["specimen"] == specimen if specimen else pd.Series(True, rows.index)


class SourceContract:
    """A subclass names a source and gives its folder as the fixture `raw`; the tests here run on each."""

    name: str
    choice = "vitals"
    task = "in_hospital_death"
    hours = HOURS

    @pytest.fixture
    def source(self, raw: Path) -> Source:
        return open_source(self.name, raw, ())

    def settings(self, raw: Path, out: Path) -> PrepareSettings:
        return PrepareSettings(self.name, out, raw, hours=self.hours, variables=self.choice, task=self.task)

    def test_stays(self, source: Source) -> None:
        concepts = source.dictionary(load_concepts())
        stays = source.stays()
        assert len(stays) > 0
        assert stays["stay_id"].is_unique
        for column in ("stay_id", "subject_id"):
            assert stays[column].dtype == np.int64
        for column in ("minutes", "age", *(name for name in OUTCOMES if name in stays)):
            assert stays[column].dtype == np.float64, column
        assert (stays["minutes"] >= 0).all()
        assert "died" not in stays or stays["died"].dropna().isin([0, 1]).all()
        assert all(stays[name].notna().any() for name in OUTCOMES if name in stays), "what a source cannot know has no column"
        assert stays["age"].dropna().between(0, 120).all()
        if source.sets:
            assert set(stays["set"]) == set(source.sets)
        for descriptor in concepts.statics[source.name]:
            if descriptor.variable:
                continue
            column = stays[descriptor.source_column]
            if descriptor.kind == "categorical":
                assert column.isin(list(descriptor.categories)).mean() > 0.3, "codes are those of the dictionary"
                assert column.notna().all()
            else:
                assert column.dtype == np.float64

    def test_events(self, source: Source) -> None:
        concepts = source.dictionary(load_concepts())
        places = concepts.places(source.name, concepts.select(source.name, self.choice))
        events = source.events(places, 600.0)
        core = {"stay_id": "int64", "item": "string", "minute": "float64", "available_minute": "float64", "value": "float64"}
        extra = {"text": "string", "unit": "string", "specimen": "string", "order": "int64", "own": "boolean"}
        kinds = {name: str(kind) for name, kind in events.schema().items()}
        assert {name: kinds.pop(name) for name in core} == core
        assert kinds.items() <= extra.items()
        rows = events.to_pandas()
        assert len(rows) > 0
        assert rows[["stay_id", "item", "minute", "available_minute"]].notna().all(axis=None)
        assert rows["value"].notna().all() or any(place.texts for place in places)
        assert set(rows["item"]) <= {place.item for place in places}
        assert set(rows["stay_id"]) <= set(source.stays()["stay_id"])
        assert rows["minute"].min() >= 0
        assert rows["minute"].max() < 600
        assert (rows["available_minute"] >= rows["minute"]).all()

    def test_limits_and_half_open_bins(self, source: Source) -> None:
        """The whole grid, computed a second time from the same events without the package's code."""
        concepts = source.dictionary(load_concepts())
        names = concepts.select(source.name, self.choice)
        stays = source.stays()
        rows = source.events(concepts.places(source.name, names), 60.0 * HOURS).to_pandas()
        rows = rows[(rows["minute"] >= 0) & (rows["available_minute"] < 60 * HOURS)].assign(hour=lambda r: (r["minute"] // 60).astype(int))
        values = grid(source, concepts, names, stays)
        ids = np.sort(stays["stay_id"].to_numpy())
        late = [column for column in ("minute", "available_minute", "order", "value") if column in rows]
        checked = 0
        for channel, name in enumerate(names):
            variable = concepts.variables[name]
            groups = variable.found[source.name]
            known = values[:, channel][~np.isnan(values[:, channel])]
            assert ((known >= np.float32(variable.limits[0])) & (known <= np.float32(variable.limits[1]))).all()
            if not groups or any(not self.is_plain(place) for group in groups for place in group):
                continue
            plausible = rows[rows["value"].between(*variable.limits)].sort_values(late)
            expected = None
            for group in groups:
                mine = plausible["item"].isin([place.item for place in group]) & drawn(plausible, group)
                of_group = plausible[mine].groupby(["stay_id", "hour"])["value"]
                part = of_group.agg(variable.aggregation).clip(*variable.limits)
                expected = part if expected is None else expected.combine_first(part)
            assert expected is not None
            table = np.full((len(ids), HOURS), np.nan)
            table[np.searchsorted(ids, expected.index.get_level_values(0)), expected.index.get_level_values(1)] = expected
            np.testing.assert_allclose(values[:, channel], table, rtol=1e-6, atol=1e-6, err_msg=name)
            checked += len(expected)
        assert checked > 100

    @staticmethod
    def is_plain(place: Place) -> bool:
        return Place(place.item, place.table, place.label, place.units, specimen=place.specimen) == place

    def test_the_folder_is_the_same_twice_and_nobody_is_in_two_splits(self, raw: Path, tmp_path: Path) -> None:
        for name in "ab":
            prepare(self.settings(raw, tmp_path / name))
        files = sorted(path.name for path in (tmp_path / "a").iterdir())
        assert files == sorted(path.name for path in (tmp_path / "b").iterdir())
        for file in files:
            assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
        splits = Dataset.load(tmp_path / "a").splits.values()
        patients = [subject for split in splits for subject in set(split.subject_id.tolist())]
        assert len(patients) == len(set(patients))

    def test_a_wrong_folder_is_one_line(self, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        for raw in (tmp_path / "none", tmp_path / "empty"):
            with pytest.raises(TardiffError) as caught:
                open_source(self.name, raw, ()).stays()
            assert str(raw) in str(caught.value)
            assert "\n" not in str(caught.value)

    def test_a_set_that_is_not_there(self, raw: Path) -> None:
        with pytest.raises(TardiffError, match="sets"):
            open_source(self.name, raw, ("z",))


class TestPhysioNet2012(SourceContract):
    name = "physionet2012"

    @pytest.fixture(scope="class")
    def source(self, real_data: Path) -> Source:
        return open_source(self.name, real_data / "physionet2012", ("a",))

    def settings(self, raw: Path, out: Path) -> PrepareSettings:
        return replace(super().settings(raw, out), sets="b")

    @pytest.fixture
    def raw(self, real_data: Path) -> Path:
        return real_data / "physionet2012"


class TestMimicIV(SourceContract):
    name = "mimic_iv"
    choice = "all"

    @pytest.fixture
    def raw(self, real_data: Path) -> Path:
        return real_data / "mimic-iv-demo-2.2"


class TestPhysioNet2019(SourceContract):
    name = "physionet2019"
    choice = "all"
    task = "sepsis3"

    @pytest.fixture
    def raw(self, real_data: Path) -> Path:
        return real_data / "physionet2019"

    def test_values_of_some_records(self, source: Source, raw: Path) -> None:
        concepts = source.dictionary(load_concepts())
        names = concepts.select(self.name, "all")
        stays = source.stays().set_index("stay_id")
        values = grid(source, concepts, names, source.stays())
        assert len(stays) == 1000
        assert stays["onset_minute"].notna().sum() == 90
        seen = 0
        with tarfile.open(next(raw.glob("*.tar.gz"))) as archive:
            for member in [member for member in archive if member.name.endswith(".psv")][::25]:
                frame = pd.read_csv(io.BytesIO(archive.extractfile(member).read()), sep="|").set_index("ICULOS")  # type: ignore[union-attr]
                stay = int(Path(member.name).stem[1:])
                row = stays.loc[stay]
                assert row["minutes"] == 60 * frame.index.max()
                assert row["age"] == frame["Age"].iloc[0]
                on = frame.index[frame["SepsisLabel"] == 1]
                assert (row["onset_minute"] == 60 * (on[0] - 1)) if len(on) else np.isnan(row["onset_minute"])
                for channel, name in enumerate(names):
                    ((place,),) = concepts.variables[name].found[self.name]
                    if not self.is_plain(place):
                        continue
                    column = frame[place.item].where(frame[place.item].between(*concepts.variables[name].limits))
                    expected = column.reindex(range(1, HOURS + 1)).to_numpy()
                    np.testing.assert_allclose(values[np.searchsorted(stays.sort_index().index, stay), channel], expected, rtol=1e-6)
                    seen += np.isfinite(expected).sum()
        assert seen > 2000


class TestEICU(SourceContract):
    """Of the demo's tables some are missing, so `vitals` are the three pressures."""

    name = "eicu"

    @pytest.fixture
    def raw(self, real_data: Path) -> Path:
        return real_data / "eicu-demo-2.0"

    def test_what_is_missing_is_said(self, source: Source) -> None:
        concepts = source.dictionary(load_concepts())
        (remark,) = source.remarks()
        assert "vitalPeriodic, nurseCharting" in remark
        assert "hr, resp, temp, spo2" in remark
        assert concepts.select(self.name, "vitals") == ("sbp", "dbp", "map")
        with pytest.raises(TardiffError, match="'hr'"):
            concepts.select(self.name, "hr")

    def test_values(self, source: Source, raw: Path) -> None:
        """Cuff pressures of every stay, and two results of the stays that have any."""
        aperiodic, lab = pd.read_csv(raw / "vitalAperiodic.csv.gz"), pd.read_csv(raw / "lab.csv.gz")
        assert len(aperiodic) == 274_088
        aperiodic = aperiodic[aperiodic["noninvasivemean"].between(1, 250)]
        lab["known"] = lab[["labresultoffset", "labresultrevisedoffset"]].max(axis=1)
        lab = lab[lab["known"] < 1440].sort_values(["labresultoffset", "known", "labresult"])

        def hourly_of(frame: pd.DataFrame, minute: str, value: str, how: str) -> "pd.Series[float]":
            inside = frame[frame[minute].between(0, 1439)]
            return inside.groupby([inside["patientunitstayid"], inside[minute] // 60])[value].agg(how)

        expected = {
            "map": hourly_of(aperiodic, "observationoffset", "noninvasivemean", "mean"),
            "creatinine": hourly_of(lab[lab["labname"] == "creatinine"], "labresultoffset", "labresult", "last"),
            "glucose": hourly_of(lab[lab["labname"].isin(["glucose", "bedside glucose"])], "labresultoffset", "labresult", "mean"),
        }
        assert all(len(slots) > least for slots, least in zip(expected.values(), (30_000, 200, 500), strict=True))
        stays = source.stays()
        ids = np.sort(stays["stay_id"])
        values = grid(source, source.dictionary(load_concepts()), tuple(expected), stays)
        for channel, (name, slots) in enumerate(expected.items()):
            table = np.full((len(ids), HOURS), np.nan)
            table[np.searchsorted(ids, slots.index.get_level_values(0)), slots.index.get_level_values(1)] = slots
            np.testing.assert_allclose(values[:, channel], table, rtol=1e-6, atol=1e-6, err_msg=name)

    def test_outcomes(self, source: Source, raw: Path) -> None:
        patient = pd.read_csv(raw / "patient.csv.gz").set_index("patientunitstayid")
        stays = source.stays().set_index("stay_id").loc[patient.index]
        assert len(stays) == 2520
        assert stays["subject_id"].nunique() == 1841
        assert (patient.groupby(stays["subject_id"].to_numpy())["uniquepid"].nunique() == 1).all()
        hospital = patient["hospitaldischargestatus"].map({"Alive": 0.0, "Expired": 1.0})
        assert (stays["died"][hospital.notna()] == hospital[hospital.notna()]).all()
        assert stays.loc[patient["age"] == "> 89", "age"].eq(90).all()
        single = patient.groupby("uniquepid")["unitvisitnumber"].transform("size") == 1
        assert stays.loc[single, "order"].eq(0).all()
        assert not any(stays.groupby("subject_id")["order"].agg(lambda order: order.duplicated().any() and order.notna().any()))

    def test_all_tables_and_parquet(self, tmp_path: Path) -> None:
        """Made-up tables with everything: monitors go before the nurse's chart, words of a nurse are missing."""
        patient = dict.fromkeys(pd.read_csv(io.StringIO(EICU_PATIENT), nrows=0).columns, "")
        assert patient
        (tmp_path / "patient.csv").write_text(EICU_PATIENT)
        periodic = {
            "patientunitstayid": [1, 1, 1],
            "observationoffset": [0, 5, 60],
            "temperature": [None, 98.6, None],
            "sao2": [97, None, 101],
            "heartrate": [80, 82, None],
            "respiration": [None, None, None],
            "etco2": [None, None, None],
            "systemicsystolic": [None, 120, None],
            "systemicdiastolic": [None, 60, None],
            "systemicmean": [None, 80, None],
        }
        pd.DataFrame(periodic).to_parquet(tmp_path / "vitalPeriodic.parquet")
        aperiodic = "patientunitstayid,observationoffset,noninvasivesystolic,noninvasivediastolic,noninvasivemean\n"
        (tmp_path / "vitalAperiodic.csv").write_text(aperiodic + "1,10,100,50,70\n1,70,110,55,75\n")
        chart = (
            "patientunitstayid,nursingchartoffset,nursingchartentryoffset,nursingchartcelltypevallabel,nursingchartcelltypevalname,nursingchartvalue\n"
            "1,1,2,Heart Rate,Heart Rate,60\n1,61,2000,Heart Rate,Heart Rate,99\n1,62,63,Heart Rate,Heart Rate,paced\n"
            "1,65,66,Respiratory Rate,Respiratory Rate,18\n"
        )
        (tmp_path / "nurseCharting.csv").write_text(chart)
        (tmp_path / "lab.csv").write_text(
            "patientunitstayid,labresultoffset,labresultrevisedoffset,labname,labresult\n1,30,20,Base Deficit,4\n"
        )
        source = open_source("eicu", tmp_path, ())
        concepts = source.dictionary(load_concepts())
        assert source.remarks() == []
        names = ("hr", "sbp", "resp", "spo2", "temp", "base_excess")
        values = grid(source, concepts, names, source.stays())[0, :, :3]
        nan = np.nan
        expected = [[81, nan, nan], [120, 110, nan], [nan, 18, nan], [97, nan, nan], [37, nan, nan], [-4, nan, nan]]
        np.testing.assert_allclose(values, expected, rtol=1e-6)

    def test_a_bad_row_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "patient.csv").write_text(EICU_PATIENT)
        aperiodic = "patientunitstayid,observationoffset,noninvasivesystolic,noninvasivediastolic,noninvasivemean\n1,10,100,50,70\n"
        (tmp_path / "vitalAperiodic.csv").write_text(aperiodic + "1,soon,110,55,75\n")
        with pytest.raises(TardiffError, match=r"vitalAperiodic.csv: row 3: observationoffset is not a number"):
            prepare(PrepareSettings("eicu", tmp_path / "out", tmp_path, variables="map"))


EICU_PATIENT = """\
patientunitstayid,patienthealthsystemstayid,uniquepid,gender,age,admissionheight,admissionweight,unittype,unitvisitnumber,\
unitdischargeoffset,unitdischargestatus,hospitaldischargeyear,hospitaldischargeoffset,hospitaldischargestatus
1,11,a-1,Female,60,170,80,MICU,1,3000,Alive,2014,5000,Alive
2,12,a-2,Male,> 89,,,SICU,1,3000,Expired,2014,3000,Expired
""".replace("\\\n", "")


class TestMeds(SourceContract):
    """The MIMIC-IV demo as MEDS."""

    name = "meds"
    choice = "all"

    @pytest.fixture(scope="class")
    def folder(self, real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return write_meds(real_data / "mimic-iv-demo-2.2", tmp_path_factory.mktemp("meds") / "raw")

    @pytest.fixture
    def raw(self, folder: Path) -> Path:
        return folder

    def test_the_same_as_mimic_iv_itself(self, raw: Path, real_data: Path) -> None:
        """Outcomes and every value, but for laboratory values of which two share a minute: MEDS does not say which came later."""
        mimic = open_source("mimic_iv", real_data / "mimic-iv-demo-2.2", ())
        meds = open_source("meds", raw, ())
        theirs = mimic.stays().sort_values("stay_id", ignore_index=True)
        ours = meds.stays().sort_values("stay_id", ignore_index=True)
        shared = [column for column in theirs if column in ours]
        assert {"minutes", "age", "died", "death_minute", "discharge_minute", "next_minute", "order", "first_careunit"} <= set(shared)
        pd.testing.assert_frame_equal(theirs[shared], ours[shared])
        concepts = load_concepts()
        names = tuple(name for name in concepts.select("mimic_iv", "all") if concepts.variables[name].found["mimic_iv"])
        expected = grid(mimic, concepts, names, theirs, as_charted=True)
        values = grid(meds, meds.dictionary(concepts), names, ours, as_charted=True)
        np.testing.assert_array_equal(np.isnan(values), np.isnan(expected))
        for channel, name in enumerate(names):
            known = ~np.isnan(values[:, channel])
            close = np.isclose(values[:, channel][known], expected[:, channel][known], rtol=1e-6, atol=1e-6)
            lab = concepts.variables[name].found["mimic_iv"][0][0].table == "labevents"
            assert close.all() or (lab and close.mean() > 0.98), name

    def test_results_when_stored(self, real_data: Path, tmp_path: Path) -> None:
        """LAB//RESULT//..., as later versions of MIMIC_IV_MEDS write it."""
        raw = write_meds(real_data / "mimic-iv-demo-2.2", tmp_path / "raw", results_when_stored=True)
        source = open_source("meds", raw, ())
        concepts = source.dictionary(load_concepts())
        values = grid(source, concepts, ("creatinine", "ph", "hr"), source.stays())
        lab = pd.read_csv(real_data / "mimic-iv-demo-2.2/hosp/labevents.csv.gz", parse_dates=["storetime"], low_memory=False)
        icu = pd.read_csv(real_data / "mimic-iv-demo-2.2/icu/icustays.csv.gz", parse_dates=["intime", "outtime"]).sort_values("stay_id")
        lab = lab[(lab["itemid"] == 50912) & lab["valuenum"].between(0.1, 60)]
        for i, (subject, began, ended) in enumerate(icu[["subject_id", "intime", "outtime"]].itertuples(index=False)):
            own = lab[(lab["subject_id"] == subject) & (lab["storetime"] >= began) & (lab["storetime"] < ended)]
            hours = set(((own["storetime"] - began) // pd.Timedelta(hours=1)).astype(int)) & set(range(HOURS))
            assert set(np.flatnonzero(~np.isnan(values[i, 0])).tolist()) == hours
        assert np.isfinite(values).sum(axis=(0, 2)).min() > 50

    def test_the_publishers_split(self, raw: Path, tmp_path: Path) -> None:
        dataset = prepare(PrepareSettings("meds", tmp_path / "out", raw, split="publisher", variables="hr"))
        published = pd.read_parquet(raw / "metadata/subject_splits.parquet").set_index("subject_id")["split"]
        for name, split in dataset.splits.items():
            assert set(published.loc[split.subject_id]) == {{"train": "train", "validation": "tuning", "test": "held_out"}[name]}

    def test_without_ids_of_stays(self, raw: Path, tmp_path: Path) -> None:
        """The standard's own columns are enough; stays are numbered."""
        for shard in (raw / "data").rglob("*.parquet"):
            copy = tmp_path / "meds" / shard.relative_to(raw)
            copy.parent.mkdir(parents=True)
            pq.write_table(pq.read_table(shard).drop_columns(["icustay_id", "hadm_id"]), copy)
        full, bare = open_source("meds", raw, ()).stays(), open_source("meds", tmp_path / "meds", ()).stays()
        assert bare["stay_id"].tolist() == list(range(1, 141))
        for column in ("subject_id", "minutes", "died", "order", "discharge_minute"):
            np.testing.assert_array_equal(bare[column], full.sort_values(["subject_id", "order"])[column], err_msg=column)
        source = open_source("meds", tmp_path / "meds", ())
        concepts = source.dictionary(load_concepts())
        assert np.isfinite(grid(source, concepts, ("hr",), bare)).sum() > 2500

    def test_bad_shards(self, tmp_path: Path) -> None:
        shard = tmp_path / "data" / "0.parquet"
        shard.parent.mkdir()
        shard.write_bytes(b"PAR1")
        with pytest.raises(TardiffError, match=r"0\.parquet: truncated"):
            open_source("meds", tmp_path, ())
        pd.DataFrame({"subject_id": [1], "code": ["A"]}).to_parquet(shard)
        with pytest.raises(TardiffError, match="no column time"):
            open_source("meds", tmp_path, ())
        pd.DataFrame({"subject_id": [1], "time": [pd.Timestamp(0)], "code": ["A"]}).to_parquet(shard)
        with pytest.raises(TardiffError, match="ICU_ADMISSION"):
            open_source("meds", tmp_path, ()).stays()


def test_out_as_meds_and_in_again(real_data: Path, tmp_path: Path) -> None:
    """Channels, values, descriptors, labels and splits of a real data set come back, to the bit."""
    settings = PrepareSettings("physionet2012", tmp_path / "data", real_data / "physionet2012", sets="a", variables="all")
    dataset = prepare(settings)
    export_meds(dataset, tmp_path / "meds")
    again = prepare(PrepareSettings("meds", tmp_path / "again", tmp_path / "meds", task="given", split="publisher", variables="all"))
    assert "order" not in open_source("meds", tmp_path / "meds", ()).stays(), "the calendar of an export tells nothing"
    assert again.manifest.channels == dataset.manifest.channels
    assert again.manifest.statics == dataset.manifest.statics
    for name, split in dataset.splits.items():
        back, there = again.splits[name], np.argsort(split.stay_id)
        here = np.argsort(back.stay_id)
        for array in ("stay_id", "subject_id", "label", "values", "mask", "static", "length", "origin_minute"):
            np.testing.assert_array_equal(back.arrays()[array][here], split.arrays()[array][there], err_msg=array)


class TestYaib(SourceContract):
    name = "yaib"
    task = "given"

    choice = "hr,sbp,spo2,temp,creatinine"

    @pytest.fixture
    def raw(self, tmp_path: Path) -> Path:
        write_yaib(tmp_path / "yaib")
        return tmp_path / "yaib"

    def test_values_and_label(self, source: Source, raw: Path) -> None:
        hours = write_yaib(raw)
        names = ("hr", "spo2", "hemoglobin")
        values = grid(source, source.dictionary(load_concepts()), names, source.stays())
        for channel, column in enumerate(("hr", "o2sat", "hgb")):
            limits = load_concepts().variables[names[channel]].limits
            plausible = hours[column].where(hours[column].between(*limits))
            expected = plausible.to_numpy().reshape(-1, 26)[:, :HOURS]
            np.testing.assert_allclose(values[:, channel], expected, rtol=1e-6)
        stays = source.stays()
        assert stays["given"].tolist() == [str(int(stay % 4 == 0)) for stay in stays["stay_id"]]
        assert (stays["minutes"] == 26 * 60).all()
        assert "two splits" in source.remarks()[-1]

    def test_hours_as_numbers(self, source: Source, raw: Path, tmp_path: Path) -> None:
        write_yaib(tmp_path / "numbers", as_duration=False)
        other = open_source("yaib", tmp_path / "numbers", ())
        concepts = source.dictionary(load_concepts())
        np.testing.assert_array_equal(grid(source, concepts, ("hr",), source.stays()), grid(other, concepts, ("hr",), other.stays()))

    def test_an_hourly_label_is_an_onset(self, source: Source, raw: Path) -> None:
        frame = pd.DataFrame({"stay_id": [1, 1, 1, 2, 2], "time": [4.0, 5.0, 6.0, 0.0, 1.0], "label": [0, 1, 1, 0, 0]})
        frame.to_parquet(raw / "outc.parquet", index=False)
        stays = open_source("yaib", raw, ()).stays().set_index("stay_id")
        assert stays.loc[1, "onset_minute"] == 300
        assert np.isnan(stays.loc[2, "onset_minute"])
        assert "given" not in stays

    @pytest.mark.parametrize(
        ("file", "change", "words"),
        [
            ("sta.parquet", lambda frame: frame.drop(columns="age"), "sta.parquet: there is no column age"),
            ("sta.parquet", lambda frame: pd.concat([frame, frame.head(1)]), "sta.parquet: row 41: its stay_id has a row already"),
            ("sta.parquet", lambda frame: frame.assign(age="old"), "sta.parquet: row 1: age is not a number"),
            ("outc.parquet", lambda frame: frame.drop(columns="label"), "outc.parquet: there is no column label"),
            ("outc.parquet", lambda frame: pd.concat([frame, frame.head(1)]), "a stay has two rows"),
            ("dyn.parquet", lambda frame: frame.assign(time="noon"), "dyn.parquet: time is of type"),
        ],
    )
    def test_bad_files(self, file: str, change: Callable[[pd.DataFrame], pd.DataFrame], words: str, raw: Path) -> None:
        change(pd.read_parquet(raw / file)).to_parquet(raw / file, index=False)
        with pytest.raises(TardiffError) as caught:
            open_source("yaib", raw, ()).stays()
        assert words in str(caught.value)
        (raw / file).write_bytes((raw / file).read_bytes()[:50])
        with pytest.raises(TardiffError, match=rf"{file}: truncated"):
            open_source("yaib", raw, ()).stays()


class TestTable(SourceContract):
    name = "table"
    choice = "all"

    @pytest.fixture
    def raw(self, tmp_path: Path) -> Path:
        write_table(tmp_path / "ward")
        return tmp_path / "ward"

    def test_values(self, source: Source, raw: Path) -> None:
        rows = charted()
        names = ("hr", "lactate_poc")
        values = grid(source, source.dictionary(load_concepts()), names, source.stays())
        for stay in range(1, STAYS + 1):
            own = rows[(rows["stay"] == stay) & rows["minute"].between(0, 1439)]
            heart = own[(own["name"] == "hr") & own["value"].between(1, 300)]
            lactate = own[(own["name"] == "lact") & own["value"].between(0.1, 30)].sort_values(["minute", "value"])
            for hour in range(HOURS):
                here = heart[heart["minute"] // 60 == hour]["value"]
                assert values[stay - 1, 0, hour] == pytest.approx(here.mean(), nan_ok=True, rel=1e-6)
                last = lactate[lactate["minute"] // 60 == hour]["value"]
                assert values[stay - 1, 1, hour] == pytest.approx(last.iloc[-1] if len(last) else np.nan, nan_ok=True, rel=1e-6)

    def test_timestamps_text_ids_and_parquet_give_the_same(self, source: Source, tmp_path: Path) -> None:
        other = tmp_path / "other"
        rows = write_table(other)
        stays = pd.read_csv(other / "stays.csv")
        begin = pd.Timestamp("2150-03-01 10:30:00") + pd.to_timedelta(stays["stay"], unit="D")
        stays["begin"], stays["end"] = begin, begin + pd.Timedelta(minutes=2000)
        rows["time"] = rows["stay"].map(begin.set_axis(stays["stay"])) + pd.to_timedelta(rows["minute"], unit="min")
        for frame in (stays, rows):
            frame["stay"] = frame["stay"].map("A{:03}".format)
        rows.to_parquet(other / "charted.parquet", index=False)
        stays.to_csv(other / "stays.csv", index=False)
        layout = LAYOUT.replace("times: minutes", "times: timestamps").replace("charted.csv", "charted.parquet")
        layout = layout.replace("time: minute,", "time: time,").replace("end: end,", "start: begin, end: end,")
        (other / "table.yaml").write_text(layout)
        there = open_source("table", other, ())
        concepts = source.dictionary(load_concepts())
        names = concepts.select("table", "all")
        np.testing.assert_array_equal(grid(source, concepts, names, source.stays()), grid(there, concepts, names, there.stays()))
        assert there.stays()["order"].max() == 1
        assert there.stays()["next_minute"].notna().sum() == 4

    def test_own_label_and_split(self, raw: Path, tmp_path: Path) -> None:
        dataset = prepare(PrepareSettings("table", tmp_path / "out", raw, variables="hr", task="given", split="publisher"))
        stays = pd.read_csv(raw / "stays.csv").set_index("stay")
        for name, split in dataset.splits.items():
            assert (stays.loc[split.stay_id, "part"] == name).all()
            np.testing.assert_array_equal(split.label, stays.loc[split.stay_id, "readmitted"])
            np.testing.assert_array_equal(split.subject_id, stays.loc[split.stay_id, "patient"])

    @pytest.mark.parametrize(
        ("file", "old", "new", "words"),
        [
            ("table.yaml", "time: minute,", "time: minutes,", ("charted.csv", "no column minutes")),
            ("table.yaml", "concept: hr", "concept: pulse", ("table.yaml: variables.hr", "'pulse'")),
            ("table.yaml", "limits: [0.1, 30]", "limits: [30, 0.1]", ("table.yaml: variables.lact", "limits")),
            ("table.yaml", "unit: mmol/L, ", "", ("table.yaml: variables.lact: unit is missing",)),
            ("table.yaml", "name: lactate_poc", "name: lactate", ("table.yaml: variables.lact", "concept: lactate")),
            ("table.yaml", "times: minutes", "times: fortnights", ("table.yaml", "fortnights", "$.times")),
            ("table.yaml", "died: died", "dead: died", ("table.yaml", "`dead`")),
            ("table.yaml", "charted.csv", "charted.xlsx", ("table.yaml", "charted.xlsx", ".parquet")),
            ("table.yaml", "times: minutes", "times: timestamps", ("table.yaml: stays.start",)),
            ("table.yaml", "times:", "times", ("table.yaml",)),
            ("stays.csv", "\n2,2,", "\n1,2,", ("stays.csv: row 3: stay has a row already",)),
            ("stays.csv", "\n2,2,", "\n2,,", ("stays.csv: row 3: patient is empty",)),
            ("stays.csv", "stay,", "stay;", ("stays.csv", "no column stay", "commas")),
            ("charted.csv", "\n1,120,hr,", "\n1,120,hr,extra,", ("charted.csv: row 33", "5 columns")),
            ("stays.csv", ",no,", ",maybe,", ("stays.csv: row 2: died",)),
            ("stays.csv", "2000,50,", "2000,fifty,", ("stays.csv: row 2: age is not a number",)),
            ("charted.csv", "\n1,120,hr,", "\n1,120,hr,<", ("charted.csv: row 33: value", "is not a number")),
            ("charted.csv", "\n1,120,hr,", "\n1,noon,hr,", ("charted.csv: row 33: minute is not a number",)),
        ],
    )
    def test_a_mistake_is_named(self, file: str, old: str, new: str, words: tuple[str, ...], raw: Path, tmp_path: Path) -> None:
        text = (raw / file).read_text()
        assert old in text
        (raw / file).write_text(text.replace(old, new, 1))
        with pytest.raises(TardiffError) as caught:
            prepare(PrepareSettings("table", tmp_path / "out", raw, variables="all"))
        message = str(caught.value)
        assert "\n" not in message
        for word in words:
            assert word in message
        assert not list(tmp_path.glob("out*"))

    def test_words_may_be_missing_or_numbers(self, raw: Path) -> None:
        (raw / "charted.csv").write_text("stay,minute,name,value\n1,10,hr,80\n1,70,hr,paced\n1,130,hr,<40\n")
        for layout, expected in (
            (LAYOUT.replace("value: value}", "value: value, words_are_missing: true}"), [80, np.nan, np.nan]),
            (LAYOUT.replace("hr: {concept: hr}", "hr: {concept: hr, texts: {<40: 35}}"), [80, np.nan, 35]),
        ):
            (raw / "table.yaml").write_text(layout)
            source = open_source("table", raw, ())
            concepts = source.dictionary(load_concepts())
            np.testing.assert_array_equal(grid(source, concepts, ("hr",), source.stays())[0, 0, :3], expected)


def test_the_table_in_the_document_works(tmp_path: Path) -> None:
    """docs/reference/sources.md shows a table.yaml and the first lines of its two tables: these very texts are prepared."""
    text = (Path(__file__).parents[2] / "docs" / "reference" / "sources.md").read_text()
    blocks = dict(re.findall(r"<!-- (\S+) -->\n```\w*\n(.*?)```", text, re.S))
    assert set(blocks) == {"table.yaml", "charted.csv", "stays.csv"}
    (tmp_path / "ward").mkdir()
    (tmp_path / "ward" / "table.yaml").write_text(blocks["table.yaml"])
    stays, rows = blocks["stays.csv"].splitlines(), blocks["charted.csv"].splitlines()
    # The same patients again and again, under other ids, so that there are enough for three splits.
    for name, (head, *body) in (("stays.csv", stays), ("charted.csv", rows)):
        copies = [re.sub(r"\b(A-|P)(\d)", rf"\g<1>{copy}\g<2>", line) for copy in range(12) for line in body]
        (tmp_path / "ward" / name).write_text("\n".join([head, *copies]) + "\n")
    (command,) = re.findall(r"^tardiff prepare table --raw my-hospital .*$", text, re.M)
    arguments = shlex.split(command.replace("my-hospital", str(tmp_path / "ward")).replace("data/mine", str(tmp_path / "out")))[1:]
    cli.main(arguments)
    dataset = Dataset.load(tmp_path / "out")
    assert dataset.manifest.channel_names == ("hr", "temp", "lactate", "drain")
    assert np.isfinite(dataset.train.values).any(axis=(0, 2)).all()
    assert np.nanmax(dataset.train.values[:, 1]) < 45, "Fahrenheit is read as such"


class Raw2019:
    """A folder in the layout of the 2019 challenge."""

    HEADER = (
        "HR|O2Sat|Temp|SBP|MAP|DBP|Resp|EtCO2|BaseExcess|HCO3|FiO2|pH|PaCO2|SaO2|AST|BUN|Alkalinephos|Calcium|Chloride|Creatinine|"
        "Bilirubin_direct|Glucose|Lactate|Magnesium|Phosphate|Potassium|Bilirubin_total|TroponinI|Hct|Hgb|PTT|WBC|Fibrinogen|Platelets|"
        "Age|Gender|Unit1|Unit2|HospAdmTime|ICULOS|SepsisLabel"
    )

    def __init__(self, root: Path) -> None:
        self.root = root

    def add(self, record: int, *rows: str, name: str = "A", header: str = HEADER) -> None:
        """Each row is its heart rate and its end: Age to SepsisLabel."""
        folder = self.root / f"training_set{name}"
        folder.mkdir(parents=True, exist_ok=True)
        lines = [f"{row.split('|', 1)[0]}|{'NaN|' * 33}{row.split('|', 1)[1]}" for row in rows]
        (folder / f"p{record:06}.psv").write_text("\n".join([header, *lines]) + "\n")


def test_2019_sets_hours_and_onset(tmp_path: Path) -> None:
    raw = Raw2019(tmp_path)
    raw.add(1, "80|60|1|NaN|NaN|-3|4|0", "81|60|1|NaN|NaN|-3|5|1", "NaN|60|1|NaN|NaN|-3|6|1")
    raw.add(100001, "90|50|0|0|1|2|1|1", name="B")
    (tmp_path / "training_setA" / "notes.txt").write_text("passed over")
    source = open_source("physionet2019", tmp_path, ())
    stays = source.stays().set_index("stay_id")
    assert stays["set"].to_dict() == {1: "a", 100001: "b"}
    assert stays["minutes"].to_dict() == {1: 360.0, 100001: 60.0}
    assert stays["onset_minute"].to_dict() == {1: 240.0, 100001: 0.0}
    assert stays["Unit"].to_dict() == {1: "", 100001: "2"}
    assert stays["Gender"].to_dict() == {1: "1", 100001: "0"}
    concepts = load_concepts()
    rows = source.events(concepts.places("physionet2019", ["hr", "spo2"]), 1440.0).to_pandas()
    assert sorted(rows[["stay_id", "minute", "value"]].itertuples(index=False, name=None)) == [(1, 180, 80), (1, 240, 81), (100001, 0, 90)]
    assert open_source("physionet2019", tmp_path, ("b",)).stays()["stay_id"].tolist() == [100001]


def test_2019_by_set_tests_on_the_other_hospital(tmp_path: Path) -> None:
    raw = Raw2019(tmp_path / "raw")
    for first, name in ((1, "A"), (100001, "B")):
        for record in range(first, first + 40):
            onset = 30 if record % 2 else 999
            raw.add(record, *(f"{60 + hour}|60|1|NaN|NaN|-3|{hour}|{int(hour >= onset)}" for hour in range(1, 41)), name=name)
    settings = PrepareSettings("physionet2019", tmp_path / "out", raw.root, variables="hr", task="sepsis3", split="by-set")
    dataset = prepare(settings)
    assert (dataset.split("test").stay_id > 100000).all()
    assert (dataset.train.stay_id < 100000).all()
    # The onset is the start of hour 30, and the label looks 12 hours ahead of an hour drawn for each record.
    for split in dataset.splits.values():
        assert (split.origin_minute >= 1440).all()
        expected = (split.stay_id % 2 == 1) & (29 * 60 - split.origin_minute <= 720)
        np.testing.assert_array_equal(split.label == 1, expected)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (("80|60|1|NaN|NaN|-3|1|0", "fast|60|1|NaN|NaN|-3|2|0"), ("line 3", "HR")),
        (("80|60|1|NaN|NaN|-3|1|0", "81|60|1|NaN|-3|2|0"), ("line 3", "40 fields")),
        (("80|60|1|NaN|NaN|-3|2|0", "81|60|1|NaN|NaN|-3|2|0"), ("line 3", "ICULOS")),
        (("inf|60|1|NaN|NaN|-3|1|0",), ("line 2", "HR")),
        (("80|60|1|NaN|NaN|-3|1.5|0",), ("line 2", "ICULOS")),
        (("|60|1|NaN|NaN|-3|1|0",), ("line 2", "HR")),
    ],
)
def test_2019_a_bad_line(rows: tuple[str, ...], words: tuple[str, ...], tmp_path: Path) -> None:
    raw = Raw2019(tmp_path)
    raw.add(7, "80|60|1|NaN|NaN|-3|1|0")
    raw.add(77, *rows)
    with pytest.raises(TardiffError) as caught:
        open_source("physionet2019", tmp_path, ()).stays()
    for word in ("p000077.psv", *words):
        assert word in str(caught.value)


def test_2019_wrong_header_empty_or_truncated(tmp_path: Path) -> None:
    raw = Raw2019(tmp_path)
    raw.add(7, "80|60|1|NaN|NaN|-3|1|0", header=Raw2019.HEADER.removesuffix("|SepsisLabel"))
    with pytest.raises(TardiffError, match=r"p000007.psv: the first line"):
        open_source("physionet2019", tmp_path, ()).stays()
    raw.add(7)
    with pytest.raises(TardiffError, match="nothing follows"):
        open_source("physionet2019", tmp_path, ()).stays()
    raw.add(7, *(f"{60 + hour}|60|1|NaN|NaN|-3|{hour}|0" for hour in range(1, 200)))
    archive = tmp_path / "archived" / "training_setA.tar.gz"
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as members:
        members.add(tmp_path / "training_setA", "training_setA")
    assert len(open_source("physionet2019", archive.parent, ()).stays()) == 1
    archive.write_bytes(archive.read_bytes()[:-20])
    with pytest.raises(TardiffError, match="truncated"):
        open_source("physionet2019", archive.parent, ()).stays()


def test_every_source_runs_these_tests() -> None:
    assert {kind.name for kind in SourceContract.__subclasses__()} == set(SOURCES)
