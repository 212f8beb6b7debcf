"""The dictionary of variables: what is in it, what a file of one's own changes, and what is wrong with it."""

from pathlib import Path

import pandas as pd
import pytest

from data_prep.concepts import check_items, load_concepts
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
              crp: {label: C-reactive protein, unit: mg/L, limits: [0, 600], limits_from: me, aggregation: last, normal: 5}
              hr: {limits: [20, 250], limits_from: me}
            found:
              mimic_iv:
                crp: {table: labevents, item: 50889, label: C-Reactive Protein, units: [mg/L, mg%]}
            units: {mg/dL: [mg%]}
            sets: {mine: [hr, crp]}
            """,
        )
    )
    assert concepts.select("mimic_iv", "mine") == ("hr", "crp")
    assert concepts.select("mimic_iv", "all")[-1] == "crp"
    heart = concepts.variables["hr"]
    assert (heart.limits, heart.aggregation, heart.found["mimic_iv"][0][0].item) == ((20, 250), "mean", "220045")
    assert concepts.variables["crp"].found["mimic_iv"][0][0].units == ("mg/l", "mg%")
    assert concepts.variables["creatinine"].found["mimic_iv"][0][0].units == ("mg/dl", "mg%")


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
        ("variables: {crp: {label: CRP}}", ("variables.crp", "unit")),
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
