import json
from dataclasses import replace

import msgspec
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tardiff.base.progress import Bar
from tardiff.data.dataset import Dataset, Task
from tardiff.data.holdout import held_out
from tardiff.errors import TardiffError
from tardiff.evaluate import evaluate, table, write
from tardiff.evaluate.judges import COST
from tardiff.evaluate.lookup import cell, difference
from tardiff.evaluate.plots import save_png, trajectories, utility_forest
from tardiff.evaluate.run import effective
from tardiff.settings import EvaluateSettings

from ..conftest import light_evaluation
from .toys import CHANNELS, MANIFEST, real, rows, synthetic

SETTINGS = EvaluateSettings(models=("logistic", "trees"), seeds=3, ratios=(0.5,), bootstrap=100, workers=1)


@pytest.fixture(scope="module", autouse=True)
def _light_evaluation():
    with light_evaluation():
        yield


@pytest.fixture(scope="module")
def sets():
    good, shuffled = rows(300, 8), rows(300, 9)
    return {
        "good": synthetic(good),
        "twin": synthetic(good),
        "shuffled": synthetic(replace(shuffled, label=np.random.default_rng(0).permutation(shuffled.label))),
        "short": synthetic(rows(60, 7)),
    }


@pytest.fixture(scope="module")
def phases():
    """Titles of the progress bars of the evaluation, in order."""
    return []


@pytest.fixture(scope="module")
def result(sets, phases):
    begin = Bar.__init__

    def told(self, things, **options):
        phases.append(options["desc"])
        begin(self, things, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Bar, "__init__", told)
        return evaluate(real(), sets, SETTINGS)


def test_each_phase_says_what_it_is_for_and_none_comes_twice(result, phases):
    assert len(set(phases)) == len(phases)
    assert [phase for phase in phases if "fitting" in phase] == ["utility: fitting models", "realism: fitting discriminators"]
    assert "privacy: attacks" in phases


def value(result, *identity, metric="auroc"):
    return cell(result, *identity)["metrics"][metric]["value"]


def test_good_rows_teach_and_shuffled_ones_do_not(result):
    for model in SETTINGS.models:
        assert value(result, model, "TRTR") > 0.88
        assert value(result, model, "TSTR", "good") > 0.88
        assert 0.25 < value(result, model, "TSTR", "shuffled") < 0.75
        assert value(result, model, "TRTS", "good") > 0.85
        assert 0.35 < value(result, model, "TRTS", "shuffled") < 0.65
    assert 0.35 < value(result, "mask-only", "mask-only") < 0.65
    harm = difference(result, "logistic", "TSTR", "shuffled", None, "good")["metrics"]["auroc"]
    assert harm["high"] < -0.1


def test_a_twin_differs_by_exactly_nothing(result):
    twins = [d for d in result["utility"]["differences"] if d["synthetic"] == "twin" and d["against"]["synthetic"] == "good"]
    assert len(twins) == len(SETTINGS.models) * (1 + len(SETTINGS.ratios))
    for twin in twins:
        for number in twin["metrics"].values():
            assert (number["value"], number["low"], number["high"]) == (0, 0, 0)


def test_every_number_says_what_it_rests_on(result):
    rows = {"good": 300, "twin": 300, "shuffled": 300, "short": 60}
    for item in result["utility"]["cells"] + result["utility"]["differences"]:
        for number in item["metrics"].values():
            assert number["low"] <= number["value"] <= number["high"]
            assert (number["n"], number["seeds"]) == (rows[item["synthetic"]] if item["protocol"] == "TRTS" else 240, 3)
    assert len(result["utility"]["seeds"]) == 3
    assert set(result["versions"]) > {"tardiff", "torch"}


def test_rows_used_are_recorded(result):
    half = cell(result, "trees", "TSRTR", "good", 0.5)
    assert (half["real_rows"], half["synthetic_rows"], half["short_of_rows"]) == (240, 120, False)
    short = cell(result, "trees", "TSRTR", "short", 0.5)
    assert (short["synthetic_rows"], short["short_of_rows"]) == (60, True)
    assert cell(result, "trees", "TSTR", "short")["real_rows"] == 0


@pytest.mark.slow
def test_another_seed_is_another_draw(result, sets):
    other = evaluate(real(), {"good": sets["good"]}, replace(SETTINGS, seed=1, models=("trees",), ratios=()))
    assert value(other, "trees", "TSTR", "good") != value(result, "trees", "TSTR", "good")


def test_gru_and_another_test_set(sets):
    elsewhere = Dataset(MANIFEST, {"train": rows(150, 5)})
    settings = replace(SETTINGS, models=("gru",), seeds=1, ratios=())
    found = evaluate(real(), {"good": sets["good"]}, settings, test=elsewhere)
    assert found["test"]["split"] == "train"
    assert cell(found, "gru", "TRTR")["metrics"]["auprc"]["n"] == 150
    assert value(found, "gru", "TSTR", "good") > 0.8
    assert "with real" not in table(found)


def test_quick_is_spelt_out():
    quick = effective(EvaluateSettings(quick=True))
    assert (quick.models, quick.seeds, quick.ratios, quick.max_rows) == (("trees", "logistic"), 3, (1.0,), 4000)


def test_every_number_has_real_data_beside_it(result):
    floor = result["fidelity"]["floor"]
    assert {"ks", "mmd", "alpha_precision", "told_apart_trees", "frechet"} < floor.keys()
    for numbers in result["fidelity"]["sets"].values():
        assert numbers.keys() == floor.keys()
    assert floor["mmd"]["p_value"] > 0.01
    assert result["fidelity"]["sets"]["twin"]["frechet"]["n"] == 60  # as many rows of every set
    forecast = result["forecast"]
    assert forecast["real"]["value"] < forecast["carried_forward"]["value"]
    assert result["subgroups"] == []  # nothing is known of these patients


def test_large_sets_are_thinned_out(sets):
    found = evaluate(real(), {"good": sets["good"]}, replace(SETTINGS, models=("logistic",), seeds=1, ratios=(), max_rows=100))
    assert cell(found, "logistic", "TRTR")["real_rows"] == 100
    assert cell(found, "logistic", "TSTR", "good")["synthetic_rows"] == 100
    assert cell(found, "logistic", "TSTR", "good")["metrics"]["auroc"]["n"] == found["test"]["rows"] == 100


def test_an_interrupted_evaluation_goes_on_to_the_same_numbers(result, sets, tmp_path, monkeypatch):
    settings = replace(SETTINGS, models=("logistic",), seeds=1, ratios=())
    whole = evaluate(real(), {"good": sets["good"]}, settings, cache=tmp_path / "whole")

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("tardiff.evaluate.fidelity.embedding._fit", stop)
        patch.setattr("tardiff.evaluate.fidelity.embedding.COST", {**COST, "tcn": 0})  # it would be the first fit, and is the last
        with pytest.raises(KeyboardInterrupt):
            evaluate(real(), {"good": sets["good"]}, settings, cache=tmp_path / "half")
    kept = set((tmp_path / "half").iterdir())
    assert 0 < len(kept) < len(set((tmp_path / "whole").iterdir()))
    stamps = {path: path.stat().st_mtime_ns for path in kept}
    again = evaluate(real(), {"good": sets["good"]}, settings, cache=tmp_path / "half")
    assert json.dumps(again) == json.dumps(whole)
    assert {path: path.stat().st_mtime_ns for path in kept} == stamps


def test_table_is_narrow_and_holds_the_numbers(result):
    text = table(result)
    assert max(map(len, text.splitlines())) <= 120
    assert f"{value(result, 'trees', 'TSTR', 'good', metric='auprc'):.3f}" in text
    for words in (
        "Utility, trees",
        "Difference twin - good",
        "What twin costs compared with good",
        "real held-out (floor)",
        "copies",
        "fewer rows",
        "worse than the floor",
    ):
        assert words in text


def test_writing(result, sets, tmp_path):
    write(result, tmp_path / "out", real(), sets)
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == result
    assert (tmp_path / "out" / "table.txt").read_text() == table(result)
    assert {file.name for file in (tmp_path / "out").glob("*.png")} == {"utility.png", "trajectories.png"}
    weights = load_file(tmp_path / "out" / "encoder.safetensors")
    assert weights.keys() == result.encoder.keys()
    assert all(torch.equal(weights[name], result.encoder[name]) for name in weights)
    with pytest.raises(TardiffError, match="exists already"):
        write(result, tmp_path / "out", real(), sets)


def test_figures_show_every_set_and_evaluator(result, sets, tmp_path):
    records = trajectories(real(), sets)
    assert len(records.axes) == (1 + len(sets)) * len(CHANNELS)
    forest = utility_forest(result)
    assert len(forest.axes) == 2 * len(SETTINGS.models)
    labels = [tick.get_text() for tick in forest.axes[0].get_yticklabels()]
    assert labels[:3] == ["real", "good", "real + 0.5 x good"]
    for name, figure in {"a": records, "b": forest}.items():
        save_png(figure, tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000


def test_held_out_rows_hold_each_class():
    label = np.array([0] * 97 + [1] * 3)
    held = held_out(label, seed=0)
    assert held[label == 1].sum() == 1
    assert held[label == 0].sum() == 19
    assert (held_out(label, seed=1) != held).any()


def refuse(match, other=None, data=None, **settings):
    with pytest.raises(TardiffError, match=match):
        evaluate(data or real(), {"mine": other or synthetic(rows(100, 8))}, replace(SETTINGS, **settings))


def test_what_cannot_be_compared_is_refused():
    part = rows(100, 8)
    refuse("synthetic set 'mine': no row has class 'died'", synthetic(part.take(part.label == 0)))
    for change, match in (
        ({"channels": (msgspec.structs.replace(CHANNELS[0], name="pulse"), *CHANNELS[1:])}, "'mine': channel 'hr' is missing"),
        ({"channels": (msgspec.structs.replace(CHANNELS[0], unit="Hz"), *CHANNELS[1:])}, "'mine': channel hr is in 'Hz'"),
        ({"steps": 12}, "'mine': has 12 steps, the real data set has 6"),
        ({"task": Task("death", "a coin", ("alive", "died"))}, "'mine': class 'survived' is missing"),
    ):
        refuse(match, Dataset(msgspec.structs.replace(MANIFEST, **change), {"train": part}))
    refuse("no validation split", data=Dataset(MANIFEST, {"train": rows(50, 1), "test": rows(50, 3)}))
    three = msgspec.structs.replace(MANIFEST, task=Task("unit", "which", ("a", "b", "c")))
    refuse("task unit: it has 3 classes", data=Dataset(three, real().splits))
    with pytest.raises(TardiffError, match="name at least one"):
        evaluate(real(), {}, SETTINGS)


def test_channels_and_classes_in_another_order_are_put_in_order():
    part = rows(100, 8)
    order, classes = [2, 0, 1], MANIFEST.task.classes
    task = msgspec.structs.replace(MANIFEST.task, classes=classes[::-1])
    manifest = msgspec.structs.replace(MANIFEST, channels=tuple(CHANNELS[c] for c in order), task=task)
    moved = replace(part, values=part.values[:, order], mask=part.mask[:, order], label=1 - part.label)
    ours, theirs = synthetic(part), Dataset(manifest, {"train": moved})
    found, expected = (evaluate(real(), {"mine": data}, replace(SETTINGS, models=("logistic",), seeds=1)) for data in (theirs, ours))
    assert found["utility"] == expected["utility"]
    assert found["fidelity"] == expected["fidelity"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seeds", 0),
        ("bootstrap", 0),
        ("attack_rows", 0),
        ("ratios", (0.0,)),
        ("ratios", (float("inf"),)),
        ("max_rows", -1),
        ("workers", -1),
        ("seed", -1),
        ("models", ("forest",)),
        ("models", ()),
    ],
)
def test_settings_that_mean_nothing_are_refused(field, value):
    with pytest.raises(TardiffError, match=rf"^--{field.replace('_', '-')}.*: must be "):
        replace(SETTINGS, **{field: value})


def test_test_patients_must_be_strangers(sets):
    ours = real()
    with pytest.raises(TardiffError, match="a patient of it is in the real data set's train or validation split"):
        evaluate(ours, {"good": sets["good"]}, EvaluateSettings(quick=True), test=Dataset(ours.manifest, {"train": ours.train}))


def test_one_channel_is_enough():
    def narrow(dataset):
        manifest = msgspec.structs.replace(dataset.manifest, channels=dataset.manifest.channels[:1], orderings=())
        cut = {k: type(s)(**{**s.arrays(), "values": s.values[:, :1], "mask": s.mask[:, :1]}) for k, s in dataset.splits.items()}
        return Dataset(manifest, cut)

    settings = EvaluateSettings(models=("logistic",), seeds=1, ratios=(), bootstrap=20, workers=1)
    found = evaluate(narrow(real()), {"twin": narrow(synthetic(rows(100, 8)))}, settings)
    assert value(found, "logistic", "TSTR", "twin") > 0.6
