"""What every source must do, run over all of them; then each source's values against plain pandas that shares no code with it."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import ibis
import numpy as np
import pandas as pd
import pytest

from data_prep.concepts import Concepts, Place, load_concepts
from data_prep.grid import Grid, hourly, to_arrays
from data_prep.sources import SOURCES, Source, open_source
from tardiff.errors import TardiffError

OUTCOMES = ("death_minute", "discharge_minute", "next_minute", "order", "onset_minute", "stays_in_admission")
HOURS = 24


@pytest.fixture(autouse=True)
def backend() -> Iterator[None]:
    """A connection for tables in memory, closed when the test ends."""
    before, connection = ibis.options.default_backend, ibis.duckdb.connect()
    ibis.options.default_backend = connection
    yield
    ibis.options.default_backend = before
    connection.disconnect()


def grid(source: Source, concepts: Concepts, names: tuple[str, ...], stays: pd.DataFrame) -> np.ndarray:
    """Values [N, C, T] of the first day, stays in the order of their ids."""
    events = source.events(concepts.places(source.name, names), 60.0 * HOURS)
    ids = np.sort(stays["stay_id"].to_numpy())
    cells_of = Grid(names, HOURS, 1.0)
    windows = ibis.memtable(pd.DataFrame({"stay_id": ids, "row": np.arange(len(ids)), "start": 0.0}))
    cells = hourly(events, windows, concepts, source.name, cells_of).to_pyarrow()
    return to_arrays(cells.to_batches(), cells_of, concepts, np.arange(len(ids)), np.full(len(ids), HOURS, np.int32))[0]


def drawn(rows: pd.DataFrame, group: tuple[Place, ...]) -> "pd.Series[bool]":
    """Rows of the specimen that these places ask for."""
    (specimen,) = {place.specimen for place in group}
    return rows["specimen"] == specimen if specimen else pd.Series(True, rows.index)


class SourceContract:
    """A subclass names a source and gives its folder; the tests here run on each."""

    name: str
    choice = "vitals"

    @pytest.fixture
    def raw(self, real_data: Path) -> Path:
        raise NotImplementedError

    @pytest.fixture
    def source(self, raw: Path) -> Source:
        return open_source(self.name, raw, ())

    def test_stays(self, source: Source) -> None:
        stays = source.stays()
        assert len(stays) > 0
        assert stays["stay_id"].is_unique
        for column in ("stay_id", "subject_id"):
            assert stays[column].dtype == np.int64
        for column in ("minutes", "age", "died", *(name for name in OUTCOMES if name in stays)):
            assert stays[column].dtype == np.float64, column
        assert (stays["minutes"] >= 0).all()
        assert stays["died"].isin([0, 1]).where(stays["died"].notna(), True).all()
        assert stays["age"].dropna().between(0, 120).all()
        if source.sets:
            assert set(stays["set"]) == set(source.sets)
        for descriptor in (descriptor for descriptor in load_concepts().statics[source.name] if not descriptor.variable):
            column = stays[descriptor.source_column]
            assert column.notna().any()
            if descriptor.kind == "categorical":
                assert column.isin([*descriptor.categories, ""]).any()
            else:
                assert column.dtype == np.float64

    def test_events(self, source: Source) -> None:
        concepts = load_concepts()
        places = concepts.places(source.name, concepts.select(source.name, self.choice))
        events = source.events(places, 600.0)
        required = {"stay_id": "int64", "item": "string", "minute": "float64", "available_minute": "float64", "value": "float64"}
        optional = {"text": "string", "unit": "string", "specimen": "string", "order": "int64"}
        found = {name: str(kind) for name, kind in events.schema().items()}
        assert required.items() <= found.items() <= {**required, **optional}.items()
        rows = events.to_pandas()
        assert len(rows) > 0
        assert rows[list(required)].notna().all(axis=None) or rows.loc[rows["value"].isna(), "text"].notna().all()
        assert set(rows["item"]) <= {place.item for place in places}
        assert set(rows["stay_id"]) <= set(source.stays()["stay_id"])
        assert rows["minute"].max() < 600
        assert (rows["available_minute"] >= rows["minute"]).all()

    def test_limits_and_half_open_bins(self, source: Source) -> None:
        """The whole grid, computed a second time from the same events without the package's code."""
        concepts = load_concepts()
        names = concepts.select(source.name, self.choice)
        stays = source.stays()
        rows = source.events(concepts.places(source.name, names), 60.0 * HOURS).to_pandas()
        rows = rows[(rows["minute"] >= 0) & (rows["available_minute"] < 60 * HOURS)].assign(hour=lambda r: (r["minute"] // 60).astype(int))
        values = grid(source, concepts, names, stays)
        ids = np.sort(stays["stay_id"].to_numpy())
        for channel, name in enumerate(names):
            variable = concepts.variables[name]
            groups = variable.found[source.name]
            plain = (Place(p.item, p.table, p.label, p.units, specimen=p.specimen) == p for group in groups for p in group)
            if not groups or not all(plain):
                continue
            known = values[:, channel][~np.isnan(values[:, channel])]
            assert ((known >= np.float32(variable.limits[0])) & (known <= np.float32(variable.limits[1]))).all()
            plausible = rows[rows["value"].between(*variable.limits)].sort_values(["minute", "value"])
            expected = None
            for group in groups:
                of_group = plausible[plausible["item"].isin([p.item for p in group]) & drawn(plausible, group)].groupby(
                    ["stay_id", "hour"]
                )["value"]
                part = of_group.agg(variable.aggregation).clip(*variable.limits)
                expected = part if expected is None else expected.combine_first(part)
            assert expected is not None
            table = np.full((len(ids), HOURS), np.nan)
            table[np.searchsorted(ids, expected.index.get_level_values(0)), expected.index.get_level_values(1)] = expected
            np.testing.assert_allclose(values[:, channel], table, rtol=1e-6, atol=1e-6, err_msg=name)

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

    @pytest.fixture
    def source(self, real_data: Path) -> Source:
        return open_source(self.name, real_data / "physionet2012", ("a",))

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

    @pytest.fixture
    def raw(self, real_data: Path) -> Path:
        return real_data / "physionet2019"

    def test_values_of_some_records(self, source: Source, raw: Path) -> None:
        concepts = load_concepts()
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
                    if place.convert:
                        continue
                    column = frame[place.item].where(frame[place.item].between(*concepts.variables[name].limits))
                    expected = column.reindex(range(1, HOURS + 1)).to_numpy()
                    np.testing.assert_allclose(values[np.searchsorted(stays.sort_index().index, stay), channel], expected, rtol=1e-6)
                    seen += np.isfinite(expected).sum()
        assert seen > 2000


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


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (("80|60|1|NaN|NaN|-3|1|0", "fast|60|1|NaN|NaN|-3|2|0"), ("line 3", "HR", "'fast'")),
        (("80|60|1|NaN|NaN|-3|1|0", "81|60|1|NaN|-3|2|0"), ("line 3", "40 fields")),
        (("80|60|1|NaN|NaN|-3|2|0", "81|60|1|NaN|NaN|-3|2|0"), ("line 3", "ICULOS 2")),
        (("inf|60|1|NaN|NaN|-3|1|0",), ("line 2", "HR", "'inf'")),
        (("80|60|1|NaN|NaN|-3|1.5|0",), ("line 2", "ICULOS 1.5")),
        (("|60|1|NaN|NaN|-3|1|0",), ("line 2", "HR", "''")),
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
