"""Long tables as they come: times, keys, labels, words, precision and encodings; neighbours of each kind of mistake."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from prep_ward import STAYS, Ward, lost, same, ward

from data_prep import PrepareSettings, prepare
from data_prep.labels import chosen_labels, class_codes
from data_prep.sources.columns import TextTable
from tardiff.errors import TardiffError

PHASES = (Phase.explicit, Phase.generate)
FEW = settings(max_examples=4, derandomize=True, phases=PHASES, suppress_health_check=list(HealthCheck))

ENDINGS = st.sampled_from([".csv", ".parquet"])
NUMBERS = st.sampled_from(["float64", "Int64", "str"])


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A new folder each time it is asked for."""
    return lambda: tmp_path_factory.mktemp("ward") / "raw"


def refused(of: Ward, folder: Path, *words: str, **choices: Any) -> str:
    with pytest.raises(TardiffError) as caught:
        of.prepare(folder, **choices)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message
    return message


# Times

FORMS = ["%Y-%m-%d %I:%M:%S %p", "%Y-%m-%d %H:%M:%S EST", "%d/%m/%Y %H:%M", "%Y-%m-%d %H:%M:%S Europe/Berlin", "%H:%M"]


@FEW
@given(form=st.sampled_from(FORMS))
def test_a_time_that_is_not_understood_is_refused(folder: Any, form: str) -> None:
    changed = ward()
    changed.events["at"] = changed.events["at"].dt.strftime(form)
    refused(changed, folder(), "charted.csv: row 2: at is not a time")


@FEW
@given(hours=st.integers(-11, 13), half=st.booleans(), space=st.sampled_from(["", " "]), t=st.sampled_from([" ", "T"]))
def test_zones_are_honoured(folder: Any, hours: int, half: bool, space: str, t: str) -> None:
    plain, changed = ward(), ward()
    offset = timedelta(hours=hours, minutes=30 * half)
    hours_off, minutes_off = divmod(abs(offset) // timedelta(minutes=1), 60)
    zone = f"{space}{'-' if offset < timedelta(0) else '+'}{hours_off:02}:{minutes_off:02}"
    changed.events["at"] = (changed.events["at"] + offset).dt.strftime(f"%Y-%m-%d{t}%H:%M:%S") + zone
    for column in ("admitted", "left"):
        changed.stays[column] = changed.stays[column].dt.strftime("%Y-%m-%d %H:%M:%SZ")
    same(plain.prepare(folder()), changed.prepare(folder()))


ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kolkata", "Pacific/Auckland", "+05:30", "-11:00"])


@FEW
@given(events=st.lists(ZONES, min_size=1, max_size=3), stays=ZONES, ending=ENDINGS)
def test_every_zone_gives_the_same_arrays(folder: Any, events: list[str], stays: str, ending: str) -> None:
    """Over the night in which clocks change, too; in text each row may have an offset of its own."""
    plain, changed = ward(), ward()
    night = pd.Timestamp("2024-03-30 10:00") - pd.Timestamp("2024-03-01 10:00")
    for of in (plain, changed):
        of.events["at"] += night
        for column in ("admitted", "left"):
            of.stays[column] += night
    for column in ("admitted", "left"):
        changed.stays[column] = changed.stays[column].dt.tz_localize("UTC").dt.tz_convert(stays)
    at = changed.events["at"].dt.tz_localize("UTC")
    if len(events) == 1:
        changed.events["at"] = at.dt.tz_convert(events[0])
    else:
        changed.events["at"] = [time.tz_convert(events[row % len(events)]).isoformat(" ") for row, time in enumerate(at)]
    same(plain.prepare(folder()), changed.prepare(folder(), ending))


@pytest.mark.parametrize(
    "text", ["2024-03-01 24:00:00", "2024-03-01 10:75:00+01:00", "2024-03-01 10:00:00+05:75", "2024-03-01 10:00+99:00"]
)
def test_a_time_or_an_offset_that_no_clock_shows_is_refused(folder: Any, text: str) -> None:
    for table, column, row in (("events", "at", 3), ("stays", "admitted", 3)):
        changed = ward()
        for frame in (changed.events, changed.stays):
            for name in frame.select_dtypes("datetime"):
                frame[name] = frame[name].astype(str) + ("+00:00" if text.count("+") else "")
        getattr(changed, table).loc[1, column] = text
        refused(changed, folder(), f"row {row}: {column} is not a time")


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
@pytest.mark.parametrize("table", ["stays", "events"])
def test_a_zone_in_one_table_only_is_refused(folder: Any, table: str, ending: str) -> None:
    changed = ward()
    frame = getattr(changed, table)
    for column in frame.select_dtypes("datetime"):
        frame[column] = frame[column].dt.tz_localize("UTC")
    refused(changed, folder(), ending=ending)


@FEW
@given(
    float_keys=st.booleans(),
    times_as_text=st.booleans(),
    values=st.sampled_from(["float64", "float32", "str"]),
    unit=st.sampled_from(["us", "ms", "s"]),
)
def test_csv_and_parquet_give_the_same(folder: Any, float_keys: bool, times_as_text: bool, values: str, unit: str) -> None:
    changed = ward()
    changed.events["at"] = changed.events["at"].astype(str) if times_as_text else changed.events["at"].astype(f"datetime64[{unit}]")
    changed.events["value"] = (changed.events["value"] + 0.1).round(1).astype(values)
    if float_keys:
        changed.events["case"] = changed.events["case"].astype(float)
    same(changed.prepare(folder()), changed.prepare(folder(), ".parquet"))


UNITS = {"microseconds": "us", "milliseconds": "ms", "seconds": "s", "minutes": "min", "hours": "h", "days": "D"}


@FEW
@given(unit=st.sampled_from(sorted(UNITS)), shift=st.integers(0, 100), named=st.booleans(), kind=NUMBERS, ending=ENDINGS)
def test_numbers_count_from_the_start(folder: Any, unit: str, shift: int, named: bool, kind: str, ending: str) -> None:
    """On the clock of the patient's first admission, `shift` hours before each stay, or on that of the stay itself."""
    plain, changed = ward(), ward()
    one = pd.Timedelta(1, UNITS[unit])
    starts = changed.stays["admitted"]
    zero = starts - pd.Timedelta(hours=shift if named else 0) * (changed.stays["case"] % 3)
    changed.events["at"] = (changed.events["at"] - changed.events["case"].map(zero.set_axis(changed.stays["case"]))) / one
    for column in ("admitted", "left"):
        changed.stays[column] = (changed.stays[column] - zero) / one
    if kind != "Int64" or unit in ("microseconds", "milliseconds", "seconds"):  # of what is in whole numbers
        changed.events["at"] = changed.events["at"].astype(kind)
    changed.layout["times"] = unit
    if not named:
        changed.layout["stays"].pop("start")
    one_set, other = plain.prepare(folder()), changed.prepare(folder(), ending)
    for name, split in one_set.splits.items():
        np.testing.assert_array_equal(split.values, other.splits[name].values)
        np.testing.assert_array_equal(split.length, other.splits[name].length)


@given(text=st.text(st.sampled_from("0123456789-: TZ+.PMAEST"), max_size=24))
def test_whatever_is_read_as_a_time_says_it_in_full(text: str) -> None:
    """What a time means is all of its text: with its seconds or offset changed it means something else, or nothing."""
    try:
        (read,) = TextTable(pd.DataFrame({"c": [text]}), "f").times("c")
    except TardiffError:
        return
    if pd.notna(read):
        assert read == pd.Timestamp(text)
        assert not set(text) & set("ZPMAES+")


# Keys


@FEW
@given(write=st.sampled_from(["{}", "{}.0", "{}.00", " {}"]), stays=st.sampled_from(["{}", "{}.0"]), items=st.sampled_from(["{}", "{}.0"]))
def test_a_key_is_the_same_however_it_is_written(folder: Any, write: str, stays: str, items: str) -> None:
    plain, changed = ward(), ward()
    changed.events["case"] = changed.events["case"].map(write.format)
    changed.stays["case"] = changed.stays["case"].map(stays.format)
    changed.events["item"] = changed.events["item"].map({"Pulse": items.format(3027018), "Temp": items.format(3020891)})
    changed.layout["variables"] = {3027018: {"concept": "hr"}, 3020891.0: {"concept": "temp"}}
    same(plain.prepare(folder()), changed.prepare(folder()))


@FEW
@given(share=st.integers(0, STAYS), fault=st.sampled_from(["key", "time"]))
def test_faults_warn_and_stop(folder: Any, share: int, fault: str, capsys: pytest.CaptureFixture[str]) -> None:
    changed = ward()
    wrong = changed.events["case"] <= share
    if fault == "key":
        changed.events["case"] = changed.events["case"].astype(str).mask(wrong, "x" + changed.events["case"].astype(str))
    else:
        changed.events["at"] = changed.events["at"].mask(wrong)
    capsys.readouterr()
    if 2 * share > STAYS:
        refused(changed, folder(), "charted.csv: row 2:", f"{int(wrong.sum())} of {len(wrong)} entries")
        return
    found = lost(changed.prepare(folder()))
    said = capsys.readouterr().err
    counted = found.get("of no stay or patient that the records list" if fault == "key" else "without a time", 0)
    assert counted == wrong.sum()
    assert ("charted.csv: row 2:" in said) == (share > 0)


TEXTS = {"str", "string", "object", "category"}


@FEW
@given(
    key=st.sampled_from(["int8", "int32", "uint16", "Int64", "float32", "float64", *sorted(TEXTS)]),
    stay=st.sampled_from(["int16", "int64", "Int32", "float64", "str", "category"]),
    died=st.sampled_from(["bool", "boolean", "int8", "Int64", "float64", "str", "category"]),
    value=st.sampled_from(["float32", "float64", "Float32", "str", "category"]),
    ending=ENDINGS,
)
def test_types_of_columns_change_nothing(folder: Any, key: str, stay: str, died: str, value: str, ending: str) -> None:
    changed = ward()
    changed.events = changed.events.astype({"case": key, "value": value, "item": "category" if key == "category" else "object"})
    changed.stays = changed.stays.astype({"case": stay, "died": died})
    changed.stays["sex"] = changed.stays["sex"] == "f"
    changed.layout["descriptors"][0]["categories"] = {True: "female", False: "male"}
    made = changed.prepare(folder(), ending)
    same(ward().prepare(folder()), made)
    changed.layout["stays"] |= {"label": "died", "died": ""}
    labelled = changed.prepare(folder(), ending, task="given")
    for split in labelled.splits.values():
        np.testing.assert_array_equal(split.label, split.stay_id % 4 == 0)


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_an_empty_key_is_named(folder: Any, ending: str, capsys: pytest.CaptureFixture[str]) -> None:
    changed = ward()
    changed.events["case"] = changed.events["case"].where(changed.events["case"] != 1)
    capsys.readouterr()
    found = lost(changed.prepare(folder(), ending))
    assert found["of no stay or patient that the records list"] == 20
    assert f"row {1 if ending == '.parquet' else 2}: case is empty" in capsys.readouterr().err


# Labels

WORDS = st.text("abcde ÄÖ", min_size=1, max_size=6).map(str.strip).filter(bool)


@FEW
@given(
    values=st.lists(
        st.one_of(st.integers(-3, 9), st.text("abcde ÄÖ", min_size=1, max_size=6).map(str.strip).filter(bool)),
        min_size=2,
        max_size=4,
        unique_by=str,
    )
)
def test_classes_of_a_table_of_its_own(folder: Any, values: list[Any]) -> None:
    changed = ward()
    label = np.arange(STAYS) % len(values)
    changed.stays["died"] = [str(values[k]) for k in label]
    changed.layout["stays"] |= {"label": "died", "died": ""}
    changed.layout["classes"] = values
    made = changed.prepare(folder(), task="given")
    assert made.manifest.task.classes == tuple(map(str, values))
    for split in made.splits.values():
        np.testing.assert_array_equal(split.label, label[split.stay_id - 1])


@FEW
@given(order=st.permutations(["home", "ward", "0", "1.0"]))
def test_classes_in_another_order_are_the_same_words(folder: Any, order: list[str]) -> None:
    changed = ward(32)
    words = np.array(["home", "ward", "0", "1"])[changed.stays["case"] % 4]
    changed.stays["died"] = words
    changed.layout["stays"] |= {"label": "died", "died": ""}
    changed.layout["classes"] = order
    made = changed.prepare(folder(), task="given")
    names = np.array(made.manifest.task.classes)
    assert names.tolist() == [name.removesuffix(".0") for name in order]
    for split in made.splits.values():
        np.testing.assert_array_equal(names[split.label], words[split.stay_id - 1])


@pytest.mark.parametrize("written", [("0", "1"), ("0.0", "1.0"), ("False", "True"), ("false", "true")])
def test_what_needs_no_classes(folder: Any, written: tuple[str, str]) -> None:
    changed = ward()
    changed.layout["stays"] |= {"label": "died", "died": ""}
    expected = changed.prepare(folder(), task="given")
    changed.stays["died"] = np.array(written)[changed.stays["died"]]
    same(expected, changed.prepare(folder(), task="given"))


@pytest.mark.parametrize(
    ("labels", "word"), [([1, 2], "1, 2"), ([0, 1, 2], "0, 1, 2"), (["yes", "no"], "no, yes"), ([0.5, 1.25], "a task with a limit")]
)
def test_other_labels_are_refused_with_what_was_found(folder: Any, labels: list[Any], word: str) -> None:
    changed = ward()
    changed.layout["stays"] |= {"label": "died", "died": ""}
    changed.stays["died"] = [labels[k % len(labels)] for k in range(STAYS)]
    refused(changed, folder(), word, task="given")


@given(codes=st.lists(st.integers(0, 2), min_size=1), classes=st.permutations([0, 1, 2]))
def test_a_code_is_the_place_among_the_classes(codes: list[int], classes: list[int]) -> None:
    given_, names = class_codes(pd.Series([f"{classes[code]}.0" for code in codes]), classes, "f")
    assert given_.tolist() == codes
    assert names == tuple(map(str, classes))


def test_which_of_several_labels() -> None:
    stays = pd.DataFrame({"stay_id": [7, 7, 8, 7], "given_minute": [30.0, 10.0, 5.0, 20.0], "given": list("cadb")})
    assert chosen_labels(stays, "first")["given"].tolist() == ["a", "d"]
    assert chosen_labels(stays, "last")["given"].tolist() == ["c", "d"]
    every = chosen_labels(stays, "all")
    assert every["given"].tolist() == ["a", "b", "c", "d"]
    assert every["events_of"].tolist() == [7, 7, 7, 8]
    assert every["stay_id"].is_unique


# Values


def test_words_among_numbers_are_named_with_what_can_be_done(folder: Any) -> None:
    changed = ward()
    values = changed.events["value"].astype(str)
    pulse = values.index[changed.events["item"] == "Pulse"]
    values[pulse[:3]], values[pulse[3:5]] = "paced", "<40"
    values[pulse[5:10]] = [f"once {k}" for k in range(5)]
    changed.events["value"] = values
    said = refused(changed, folder(), "row 2: value is not a number: 'paced' of 'Pulse' (3), '<40' of 'Pulse' (2) and 5 more; ")
    assert "texts gives" in said
    assert "words_are_missing: true" in said
    assert said.endswith("or drop such entries by --allow-loss")
    assert "once" not in said  # what occurs once may be about one patient


def test_a_listed_name_that_no_row_has_is_named_with_those_that_rows_have(folder: Any, capsys: pytest.CaptureFixture[str]) -> None:
    changed = ward()
    changed.layout["variables"]["temp"] = changed.layout["variables"].pop("Temp")
    changed.prepare(folder())
    times = (changed.events["item"] == "Temp").sum()
    said = capsys.readouterr().err
    assert "charted.csv: no row is named 'temp', which table.yaml lists; the most" in said
    assert f"names that table.yaml does not list are 'Temp' ({times})\n" in said
    ward().prepare(folder())
    assert "no row is named" not in capsys.readouterr().err


def test_an_outcome_that_the_stays_lack_says_how_to_add_it(folder: Any) -> None:
    changed = ward()
    del changed.layout["stays"]["died"]
    refused(changed, folder(), "needs the column died", "write `died: COLUMN` under `stays:` in table.yaml")


def test_one_entry_of_texts_makes_that_variable_lenient_and_no_other(folder: Any) -> None:
    changed = ward()
    changed.layout["variables"]["Temp"] = {"concept": "temp", "texts": {"cold": 34.0}}
    values = changed.events["value"].astype(str)
    changed.events["value"] = values.mask(changed.events["item"] == "Temp", "cool")
    changed.events.loc[1, "value"] = "cold"
    found = lost(changed.prepare(folder()))
    assert found["words that stand for no number"] == (changed.events["value"] == "cool").sum()
    changed.events.loc[2, "value"] = "61,5"
    refused(changed, folder(), "charted.csv: row 4: value is not a number")
    assert lost(changed.prepare(folder(), allow_loss=True))["with a value that is not a number"] == 1


@FEW
@given(power=st.integers(-25, 20), digits=st.integers(1, 999_999), below=st.integers(0, 5))
@example(power=2, digits=250_000, below=9)  # 2.5e-8 within 0 and 100
@example(power=6, digits=123_456, below=11)
@example(power=1, digits=123_456, below=1)
def test_values_keep_their_precision(folder: Any, power: int, digits: int, below: int) -> None:
    changed = ward(8)
    value = float(f"{digits}e{power - 6 - below}")
    changed.layout["variables"]["Temp"] = {"unit": "mol/L", "limits": [0, float(f"1e{power}")], "aggregation": "mean", "normal": 0}
    changed.events["value"] = changed.events["value"].mask(changed.events["item"] == "Temp", value)
    made = changed.prepare(folder())
    seen = made.train.values[:, 1][made.train.mask[:, 1] == 1]
    np.testing.assert_allclose(seen, np.float32(value), rtol=1.2e-7)


def test_a_huge_value_is_outside_the_limits(folder: Any) -> None:
    changed = ward()
    changed.events.loc[3, "value"] = 5e13
    changed.events.loc[4, "value"] = 1e300
    assert lost(changed.prepare(folder()))["outside the limits"] >= 2


def test_an_unknown_end_is_not_zero(folder: Any) -> None:
    changed = ward()
    changed.stays["left"] = changed.stays["left"].mask(changed.stays["case"] % 3 == 0)
    made = changed.prepare(folder())
    assert [(step.rule, step.stays) for step in made.manifest.attrition][3] == ("the end of the stay is known", STAYS - STAYS // 3)


def test_an_unlisted_category_is_told(folder: Any, capsys: pytest.CaptureFixture[str]) -> None:
    changed = ward()
    changed.stays["sex"] = changed.stays["sex"].replace("f", "W")
    made = changed.prepare(folder())
    assert "descriptor sex" in capsys.readouterr().err
    assert [account.lost for account in made.manifest.account or () if account.table == "sex"] == [{"of a category that is not listed": 12}]


# Files


@FEW
@given(encoding=st.sampled_from(["utf-8", "utf-8-sig", "latin-1", "utf-16"]), gz=st.booleans())
def test_encodings(folder: Any, encoding: str, gz: bool) -> None:
    plain, changed = ward(), ward()
    for of in (plain, changed):
        of.events["item"] = of.events["item"].replace("Temp", "Tempé")
        of.layout["variables"]["Tempé"] = of.layout["variables"].pop("Temp")
    expected = plain.prepare(folder())
    ending = ".csv.gz" if gz else ".csv"
    if encoding in ("latin-1", "utf-16"):
        with pytest.raises(TardiffError, match="not UTF-8"):
            changed.prepare(folder(), ending, encoding)
        changed.layout["encoding"] = encoding
    same(expected, changed.prepare(folder(), ending, encoding))


@FEW
@given(
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    last=st.booleans(),
    mark=st.booleans(),
    others=st.lists(st.sampled_from(["", "note", "Case", "ITEM", "a, b", 'q"', "é"]), max_size=4),
)
def test_line_ends_marks_and_other_columns_change_nothing(folder: Any, end: str, last: bool, mark: bool, others: list[str]) -> None:
    """What is not needed may have any name, even one twice."""
    raw = ward().write(folder())
    for name in ("stays", "charted"):
        frame = pd.read_csv(raw / f"{name}.csv", dtype=str, keep_default_na=False)
        extra = pd.DataFrame([['a "b",\nc'] * len(others)] * len(frame), columns=others)
        text = pd.concat([extra, frame], axis=1).to_csv(index=False, lineterminator=end)
        (raw / f"{name}.csv").write_bytes((text if last else text.removesuffix(end)).encode("utf-8-sig" if mark else "utf-8"))
    same(ward().prepare(folder()), prepare(PrepareSettings("table", raw.parent / "out", raw, variables="all")))


def test_a_needed_column_that_stands_twice(folder: Any) -> None:
    raw = ward().write(folder())
    for name, column in (("charted", "item"), ("stays", "died")):
        text = (raw / f"{name}.csv").read_text()
        (raw / f"{name}.csv").write_text("\n".join(f"{line},{column}" for line in text.splitlines()))
        with pytest.raises(TardiffError, match=rf"{name}\.csv: the header has 2 columns {column}"):
            prepare(PrepareSettings("table", raw.parent / "out", raw, variables="all"))
        (raw / f"{name}.csv").write_text(text)


def test_mixed_line_ends_are_one_line(folder: Any) -> None:
    raw = ward().write(folder())
    lines = (raw / "charted.csv").read_bytes().split(b"\n")
    (raw / "charted.csv").write_bytes(b"\r\n".join(lines[:9]) + b"\r\n" + b"\n".join(lines[9:]))
    with pytest.raises(TardiffError, match=r"charted\.csv: mixes line ends"):
        prepare(PrepareSettings("table", raw.parent / "out", raw, variables="all"))


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_wide_table_is_a_long_one(folder: Any, ending: str) -> None:
    plain, changed = ward(), ward()
    changed.events = changed.events.pivot(index=["case", "at"], columns="item", values="value").reset_index()
    changed.layout["layout"] = "wide"
    changed.layout["events"] = {"stay": "case", "time": "at"}
    made = changed.prepare(folder(), ending)
    same(plain.prepare(folder()), made)
    assert lost(made)["without a value"] == changed.events["Temp"].isna().sum()


def test_no_descriptors(folder: Any) -> None:
    changed = ward()
    changed.layout.pop("descriptors")
    assert changed.prepare(folder()).train.static.shape[1] == 0


def test_a_step_that_the_data_do_not_support(tmp_path: Path) -> None:
    from prep_small import write_yaib

    write_yaib(tmp_path / "yaib")
    with pytest.raises(TardiffError, match=r"step_hours: 0\.5 is narrower than the 1 h of yaib"):
        prepare(PrepareSettings("yaib", tmp_path / "out", tmp_path / "yaib", task="given", step_hours=0.5))
