"""The dictionary of variables: what is in it, what a file of one's own changes, and what is wrong with it."""

import re
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from prep_raw import RawMimic

from data_prep import PrepareSettings, prepare
from data_prep.concept_files import load_concepts
from data_prep.concepts import check_items
from tardiff import cli, commands
from tardiff.errors import TardiffError

BENCHMARK17 = (
    *("capillary_refill", "dbp", "fio2", "gcs_eye", "gcs_motor", "gcs", "gcs_verbal", "glucose", "hr", "height", "map", "spo2", "resp"),
    *("sbp", "temp", "weight", "ph"),
)


def own(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "my.yaml"
    path.write_text(text)
    return path


def test_sets() -> None:
    concepts = load_concepts()
    vitals = concepts.select("mimic_iv", "vitals")
    assert vitals == ("hr", "sbp", "dbp", "map", "resp", "temp", "spo2") == concepts.select("mimic_iv", "tardiff")
    assert concepts.select("mimic_iv", "benchmark17") == BENCHMARK17
    assert len(concepts.select("physionet2012", "all")) == 37
    assert {"gcs", "ph", "creatinine", "inr", "urine", "weight", "height"} <= set(concepts.select("mimic_iv", "all"))
    with pytest.raises(TardiffError, match=r"physionet2012 has no 'capillary_refill', 'gcs_eye'.* of 'benchmark17'"):
        concepts.select("physionet2012", "benchmark17")


def test_an_own_file_adds_and_changes(tmp_path: Path) -> None:
    concepts = load_concepts(
        own(
            tmp_path,
            """
            variables:
              ldh: {label: Lactate dehydrogenase, unit: IU/L, limits: [1, 50000], limits_from: me, aggregation: last, normal: 200}
              hr: {limits: [20, 250], limits_from: me}
            found:
              mimic_iv:
                ldh: {table: labevents, item: 50954, label: Lactate Dehydrogenase (LD), units: [IU/L, units]}
            units: {mg/dL: [mg%]}
            sets: {mine: [hr, ldh]}
            """,
        )
    )
    assert concepts.select("mimic_iv", "mine") == ("hr", "ldh")
    assert concepts.select("mimic_iv", "all")[-1] == "ldh"
    heart = concepts.variables["hr"]
    assert (heart.limits, heart.aggregation, heart.found["mimic_iv"][0][0].item) == ((20, 250), "mean", "220045")
    assert concepts.variables["ldh"].found["mimic_iv"][0][0].units == ("iu/l", "u/l", "units/l", "units")
    assert concepts.variables["creatinine"].found["mimic_iv"][0][0].units == ("mg/dl", "mg%")


def test_descriptors_are_replaced_by_name(tmp_path: Path) -> None:
    plain = load_concepts().statics["mimic_iv"]
    text = "statics: {mimic_iv: [{name: age, unit: years, limits: [40, 120]}, {name: first_lactate, variable: lactate}]}"
    statics = load_concepts(own(tmp_path, text)).statics["mimic_iv"]
    assert [each.name for each in statics] == [*(each.name for each in plain), "first_lactate"]
    assert statics[0].limits == (40, 120)
    assert (statics[-1].unit, statics[-1].limits) == ("mmol/L", (0.1, 30))
    assert load_concepts(own(tmp_path, text)).statics["physionet2012"] == load_concepts().statics["physionet2012"]


def test_the_digest_is_of_the_meaning(tmp_path: Path) -> None:
    plain = load_concepts().digest()
    assert load_concepts(own(tmp_path, "# a comment\nvariables: {hr: {limits: [1,   300.0]}}\n")).digest() == plain
    for change in ("variables: {hr: {limits: [2, 300]}}", "variables: {gcs_eye: {normal: 3}}", "orderings: [[gcs, hr]]"):
        assert load_concepts(own(tmp_path, change)).digest() != plain
    assert load_concepts().with_intubated("normal").digest() != plain


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("variables: {hr: {units: bpm}}", ("variables.hr", "units")),
        ("variables: {hr: {limits: [300, 1]}}", ("variables.hr", "not increasing")),
        ("variables: {hr: {normal: 400}}", ("variables.hr", "normal 400")),
        ("variables: {hr: 80}", ("variables.hr", "names")),
        ("variables: {ldh: {label: LDH}}", ("variables.ldh", "unit")),
        ("variables: [hr]", ("variables",)),
        ("vitals: [hr]", ("'vitals'", "variables")),
        ("found: {mimic_iv: {pulse: {item: 1}}}", ("found.mimic_iv.pulse", "'pulse'")),
        ("found: {mimic_iv: {hr: {item: 1, convert: kelvin}}}", ("found.mimic_iv.hr", "kelvin")),
        ("found: {mimic_iv: {hr: [{item: 1}, {item: 1}]}}", ("found.mimic_iv.hr", "twice")),
        ("found: {mimic_iv: {hr: []}}", ("found.mimic_iv.hr", "no place")),
        ("found: {mimic_iv: {hr: 220045}}", ("found.mimic_iv.hr",)),
        ("found: {mimic_iv: {gcs: {sum_of: [gcs_eye, ear]}}}", ("found.mimic_iv.gcs", "'ear'")),
        ("found: {mimic_iv: {gcs: {sum_of: [gcs_eye, hr]}}}", ("found.mimic_iv.gcs", "'hr' is a mean")),
        ("sets: {mine: [hr, pulse]}", ("sets.mine", "'pulse'")),
        ("sets_of: {physionet2012: {mine: [hr, spo2]}}", ("sets_of.physionet2012.mine", "'spo2'")),
        ("orderings: [[hr, pulse]]", ("orderings", "'pulse'")),
        ("statics: {mimic_iv: [{name: shoe, variable: shoe_size}]}", ("statics.mimic_iv", "'shoe_size'")),
        ("statics: {mimic_iv: [{nmae: shoe}]}", ("statics.mimic_iv",)),
        ("variables: {hr: ", ("YAML",)),
        ("variables: {hr: {normal: 80}, hr: {normal: 90}}", ("'hr' stands twice", "line 1")),
        ("variables:", ("variables",)),
        ("", ("sections",)),
        ("variables: {hr: !!python/object/apply:os.system [true]}", ("YAML",)),
    ],
)
def test_what_is_wrong_names_file_and_entry(text: str, words: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(TardiffError) as caught:
        load_concepts(own(tmp_path, text))
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in (str(tmp_path / "my.yaml"), *words)), message


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(TardiffError, match=r"none\.yaml"):
        load_concepts(tmp_path / "none.yaml")


def test_items_are_checked() -> None:
    places = load_concepts().places("mimic_iv", ("weight",))
    rows = {"226512": "Admission Weight (Kg)", "226531": "Admission Weight (lbs.)", "224639": "Daily Weight"}

    def items(unit: str = "kg", **changed: str) -> pd.DataFrame:
        labels = {**rows, **changed}
        units = {"226512": unit, "226531": "None", "224639": "KG "}
        return pd.DataFrame({"itemid": list(labels), "label": list(labels.values()), "unitname": [units[item] for item in labels]})

    check_items(places, items(), "d_items")
    with pytest.raises(TardiffError, match=r"226512.*'stone'.*'kg'"):
        check_items(places, items("stone"), "d_items")
    with pytest.raises(TardiffError, match=r"224639.*'Dry Weight'.*'Daily Weight'"):
        check_items(places, items(**{"224639": "Dry Weight"}), "d_items")
    with pytest.raises(TardiffError, match="224639"):
        check_items(places, items().iloc[:2], "d_items")


def test_the_files_that_help_and_document_show_are_some(tmp_path: Path) -> None:
    help_text = re.search(r"\n( +variables:\n.*?)\n\n", commands.variables.__doc__ or "", re.S)
    document = re.search(r"```yaml\n(.*?)```", (Path(__file__).parents[2] / "docs" / "reference" / "variables.md").read_text(), re.S)
    assert help_text is not None
    assert document is not None
    for shown in (textwrap.dedent(help_text[1]), document[1]):
        concepts = load_concepts(own(tmp_path, shown))
        assert concepts.select("mimic_iv", "ldh,hr") == ("ldh", "hr")
        assert concepts.variables["hr"].limits == (20, 250)


def test_the_listing_has_every_place(capsys: pytest.CaptureFixture[str]) -> None:
    concepts = load_concepts()
    cli.main(["variables", "mimic-iv"])
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    for name in concepts.known("mimic_iv"):
        items = [place.item for place in concepts.places("mimic_iv", [name])]
        assert items or "sum of" in lines[name]
        assert all(item in lines[name] for item in items)
    cli.main(["variables"])
    everything = capsys.readouterr().out
    assert all(f"\n{name} " in everything for name in concepts.variables)
    with pytest.raises(SystemExit) as caught:
        cli.main(["variables", "nowhere"])
    assert caught.value.code == 2


CONSCIOUSNESS = "gcs_eye,gcs_verbal,gcs_motor,gcs,tube,capillary_refill"


@pytest.mark.parametrize(("choice", "verbal", "total"), [("keep", 1, 10), ("normal", 5, 14), ("missing", np.nan, np.nan)])
def test_mimic_words_and_the_intubated(choice: Any, verbal: float, total: float, raw_mimic: RawMimic, tmp_path: Path) -> None:
    for stay in range(20):
        raw_mimic.chart(stay, "2150-01-01 00:40:00", "", 220739, "To Speech")
        raw_mimic.chart(stay, "2150-01-01 00:40:00", "1", 223900, "No Response-ETT")
        raw_mimic.chart(stay, "2150-01-01 00:41:00", "6", 223901, "Obeys Commands")
        raw_mimic.chart(stay, "2150-01-01 01:40:00", "4", 220739, "Spontaneously")
        raw_mimic.chart(stay, "2150-01-01 01:45:00", "5", 223900, "Oriented")
        raw_mimic.chart(stay, "2150-01-01 01:50:00", "", 223901, "Not a known answer")
        raw_mimic.chart(stay, "2150-01-01 01:50:00", "", 224308, "Abnormal >3 Seconds")
        raw_mimic.chart(stay, "2150-01-01 00:20:00", "200", 226531)
    settings = PrepareSettings("mimic-iv", tmp_path / "out", raw_mimic.write(), variables=CONSCIOUSNESS, gcs_intubated=choice)
    dataset = prepare(settings)
    expected = [[3, 4], [verbal, 5], [6, np.nan], [total, np.nan], [1, 0], [np.nan, 1]]
    np.testing.assert_array_equal(dataset.train.values[0, :, :2], expected)
    weight = dataset.train.static[:, dataset.manifest.static_names.index("first_weight")]
    np.testing.assert_allclose(weight, 90.718474, rtol=1e-6)
    assert dataset.manifest.settings["gcs_intubated"] == choice


def test_a_unit_that_the_dictionary_does_not_know(raw_mimic: RawMimic, tmp_path: Path) -> None:
    raw_mimic.chart(3, "2150-01-01 02:00:00", "1.5", unit="Hz")
    raw = raw_mimic.write()
    with pytest.raises(TardiffError, match=r"220045.*'hz'.*bpm"):
        prepare(PrepareSettings("mimic-iv", tmp_path / "out", raw, variables="hr"))
    assert not (tmp_path / "out").exists()
    accepted = own(tmp_path, "units: {bpm: [hz]}")
    prepare(PrepareSettings("mimic-iv", tmp_path / "out", raw, variables="hr", concepts=accepted))
