"""The commands `augment` and `compare`, from folder to folder."""

import dataclasses
import json

import msgspec
import numpy as np
import pytest

from tardiff.augment import run as augment_run
from tardiff.augment.gate import Gain, Gated
from tardiff.compare import cells
from tardiff.compare import run as compare
from tardiff.compare.baselines import BASELINES
from tardiff.data.contract import Form, arranged
from tardiff.data.dataset import Dataset, Task
from tardiff.errors import TardiffError
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.settings import METHODS, AugmentSettings, CompareSettings
from tests.augment.toys import TINY
from tests.conftest import call

FEW = CompareSettings("logistic", "none,class_weight,unguided,guided", seeds=1, ratios=(0.5,), bootstrap=20, workers=1)


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    """The smallest generator and guides, in place of what the budget buys."""
    monkeypatch.setattr(cells, "training_settings", lambda *_: TINY)
    fit_guide = cells.fit_guide
    monkeypatch.setattr(cells, "fit_guide", lambda *told: fit_guide(*told, architecture="summary", epochs=1))


class TestCompare:
    def test_from_folder_to_folder(self, toy, run, tmp_path, capsys):
        options = ["--seeds", 1, "--ratios", 0.5, "--bootstrap", 20, "--by", "sex", "--workers", 1]
        out = tmp_path / "out"
        assert call("compare", toy[0], "--model", "logistic", "--run", run[0], *options, "--out", out) == 0
        printed = capsys.readouterr().out
        assert "Left out: refined. Needed: a refined pipeline folder (--refined)." in printed
        assert printed.startswith("One draw") or "\nOne draw" in printed
        assert "too few seeds to tell guided augmentation" in printed
        assert "No synthetic rows beat" not in printed
        assert {f.name for f in out.iterdir()} == {"metrics.json", "results.jsonl", "table.txt", "verdict.txt", "forest.png"}
        result = json.loads((out / "metrics.json").read_text())
        assert list(result["methods"]) == ["none", "tuned", "class_weight", *BASELINES, "unguided", "guided"]
        assert list(result["methods"]["guided"]["groups"]) == ["all", "sex=female", "sex=male"]
        assert result["methods"]["none"]["groups"]["all"]["auprc"]["against_first"]["value"] == 0
        assert result["methods"]["guided"]["chosen"][0]["ratio"] == 0.5
        assert {found["candidates"] for name, found in result["methods"].items() if name != "none"} == {2}
        heads = "Brier Brier, Platt scaling Brier, isotonic slope slope, Platt scaling slope, isotonic"
        assert f"method {heads}" in " ".join((out / "table.txt").read_text().split())
        assert not (tmp_path / "out.partial").exists()

    @pytest.mark.slow
    def test_goes_on_where_it_stopped_and_ends_in_the_same(self, toy, tmp_path, monkeypatch):
        whole = compare.compare(toy[1], tmp_path / "whole", FEW)
        ran = []
        plain = cells.Comparison.cell

        def stop_at_the_third(self, method, seed):
            ran.append(method)
            if len(ran) == 3:
                raise KeyboardInterrupt
            return plain(self, method, seed)

        monkeypatch.setattr(cells.Comparison, "cell", stop_at_the_third)
        with pytest.raises(KeyboardInterrupt):
            compare.compare(toy[1], tmp_path / "parts", FEW)
        with pytest.raises(TardiffError, match="other settings or data"):
            compare.compare(toy[1], tmp_path / "parts", CompareSettings("trees"))
        resumed = compare.compare(toy[1], tmp_path / "parts", FEW)
        assert ran == ["none", "class_weight", "unguided", "unguided", "guided"]
        assert resumed == whole

    @pytest.mark.slow
    def test_judged_rows_choose_nothing(self, toy, tmp_path):
        """Other test labels change the figures and nothing that was chosen or trained."""
        from dataclasses import replace

        data = toy[1]
        flipped = replace(data.splits["test"], label=1 - data.splits["test"].label)
        other = Dataset(data.manifest, {**data.splits, "test": flipped}).completed()
        comparisons = [compare.opened(d, FEW, tmp_path / str(i)) for i, d in enumerate((data, other))]
        first, second = (c.cell("guided", 7) for c in comparisons)
        assert first["groups"]["all"]["values"] != second["groups"]["all"]["values"]
        for field in ("validation_auprc", "chosen", "rows"):
            assert first[field] == second[field]

    def test_validation_rows_that_judge_choose_nothing_either(self, toy, tmp_path):
        settings = CompareSettings("logistic", "none", seeds=1, on="validation", bootstrap=10)
        comparison = compare.opened(toy[1], settings, tmp_path)
        used = np.concatenate([s.subject_id for s in comparison.data.splits.values()])
        assert not np.isin(comparison.judged.subject_id, used).any()
        assert sorted(used) == sorted(toy[1].train.subject_id)

    def test_a_method_of_no_name(self):
        with pytest.raises(TardiffError, match="--methods adasyn: unknown"):
            CompareSettings(methods="none,adasyn")
        with pytest.raises(TardiffError, match="--methods : unknown"):
            CompareSettings(methods="none,")
        with pytest.raises(TardiffError, match="must be none"):
            CompareSettings(methods="smote")

    def test_spaces_after_commas_are_no_part_of_a_name(self):
        assert CompareSettings(methods="none, class_weight ,smote").ways(METHODS) == ("none", "class_weight", "smote")
        with pytest.raises(TardiffError, match="--methods none: is named twice"):
            CompareSettings(methods="none, none")

    def test_a_generator_of_other_rows(self, run, tmp_path):
        from tests.conftest import make_dataset

        with pytest.raises(TardiffError, match="--run: the generator was trained on other rows"):
            compare.compare(make_dataset(50).completed(), tmp_path / "out", FEW, run[1])

    def test_an_adapted_generator_has_seen_the_rows_that_choose(self, toy, run, tmp_path):
        card = msgspec.structs.replace(run[1].card, adaptation={"rows": 240})
        adapted = TarDiffPipeline(run[1].unet, run[1].charting, run[1].scheduler, run[1].codec, run[1].statics, card)
        with pytest.raises(TardiffError, match="--run: was adapted to rows that choose here"):
            compare.opened(toy[1], FEW, tmp_path, adapted)

    def test_another_order_is_put_in_order(self, toy, run, tmp_path):
        """Channels, descriptors, categories and classes as the generator has them, whatever order the data have."""
        settings = CompareSettings("logistic", "none,unguided", seeds=1, ratios=(0.5,), bootstrap=10)
        there = compare.opened(reordered(toy[1]), settings, tmp_path, run[1])
        here = compare.opened(toy[1], settings, tmp_path, run[1])
        assert there.data.manifest == here.data.manifest
        np.testing.assert_array_equal(there.judged.label, here.judged.label)

    @pytest.mark.parametrize(
        ("changes", "says"),
        [
            ({"step_hours": 0.5}, "DATA: a step is 0.5 h, for --run it is 1 h"),
            ({"task": Task("sepsis", "", ("survived", "died"))}, "DATA: has the task 'sepsis', --run has 'death'"),
            ({"task": Task("death", "", ("survived", "lost"))}, "DATA: class 'died' is missing"),
        ],
    )
    def test_another_meaning_is_one_line(self, toy, run, tmp_path, changes, says):
        data = Dataset(msgspec.structs.replace(toy[1].manifest, **changes), toy[1].splits).completed()
        with pytest.raises(TardiffError, match=says) as error:
            compare.compare(data, tmp_path / "out", FEW, run[1])
        assert "\n" not in str(error.value)

    def test_another_unit_or_name_is_one_line(self, toy, run, tmp_path):
        first, *others = toy[1].manifest.channels
        for change, says in (({"unit": "Hz"}, "in 'Hz', --run has it in"), ({"name": "pulse"}, f"DATA: channel '{first.name}' is missing")):
            channels = (msgspec.structs.replace(first, **change), *others)
            data = Dataset(msgspec.structs.replace(toy[1].manifest, channels=channels, orderings=()), toy[1].splits).completed()
            with pytest.raises(TardiffError, match=says):
                compare.compare(data, tmp_path / "out", FEW, run[1])


def reordered(data):
    """Everything that has a name, the other way round."""
    manifest = data.manifest
    form = Form.of_manifest(manifest)
    statics = tuple(msgspec.structs.replace(static, categories=static.categories[::-1]) for static in manifest.statics[::-1])
    return arranged(data, dataclasses.replace(form, channels=form.channels[::-1], statics=statics, classes=form.classes[::-1]), "DATA")


class TestAugment:
    def test_from_folder_to_folder(self, toy, run, clf, tmp_path, capsys):
        assert (
            call("augment", toy[0], "--classifier", clf[0], "--run", run[0], "--ratio", 0.5, "--no-gate", "--out", tmp_path / "more") == 0
        )
        printed = capsys.readouterr().out
        assert "guidance moved the values by" in printed
        assert "of the training rows are synthetic (array `synthetic`" in printed
        made, real = Dataset.load(tmp_path / "more"), toy[1]
        missing = np.bincount(real.train.label)[0] - np.bincount(real.train.label)[1]
        assert made.train.synthetic.sum() == round(0.5 * missing)
        assert (made.train.label[made.train.synthetic == 1] == 1).all()
        assert made.manifest.settings["augment"]["ratio"] == 0.5
        frame = made.frame()
        assert frame.groupby("synthetic")["stay_id"].nunique()[1] == made.train.synthetic.sum()

        assert call("augment", tmp_path / "more", "--out", tmp_path / "again") == 2
        assert "holds synthetic rows already" in capsys.readouterr().err
        assert call("compare", tmp_path / "more", "--out", tmp_path / "c") == 2
        assert "the training split holds synthetic rows" in capsys.readouterr().err
        assert call("sample", run[0], "--guidance", "none", "--n", 40, "--steps", 2, "--out", tmp_path / "made") == 0
        assert call("compare", tmp_path / "made", "--on", "validation", "--out", tmp_path / "c") == 2
        assert "DATA holds synthetic records; compare on the real ones" in capsys.readouterr().err
        evaluation = ["evaluate", "--real", tmp_path / "more", "--synthetic", f"a={toy[0]}", "--out", tmp_path / "e"]
        assert call(*evaluation) == 2
        assert "was augmented with synthetic rows" in capsys.readouterr().err

    def test_for_a_subgroup(self, toy, run, clf, tmp_path):
        shared = ["augment", toy[0], "--classifier", clf[0], "--run", run[0], "--ratio", 0.5, "--no-gate"]
        assert call(*shared, "--subgroup", "sex=female", "--out", tmp_path / "women") == 0
        assert call(*shared, "--subgroup", "sex=male", "--out", tmp_path / "men") == 0
        women, men = (Dataset.load(tmp_path / name).train for name in ("women", "men"))
        assert not np.array_equal(women.values, men.values, equal_nan=True)

    def test_a_subgroup_needs_guidance_rows(self, toy, tmp_path, capsys):
        call("augment", toy[0], "--objective", "label=1", "--subgroup", "sex=female", "--out", tmp_path / "x")
        assert "--subgroup needs one of cosine, raw, contrastive" in capsys.readouterr().err

    def test_what_the_gate_refuses_is_not_told_as_an_array_that_is_not_there(self, toy, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr(augment_run, "gated", lambda *_: Gated([], [Gain(-0.1, 0.05)]))
        assert call("augment", toy[0], "--out", tmp_path / "same") == 0
        printed = capsys.readouterr().out
        assert "the gate lets nothing through, no row is added: held-out AUPRC -0.100" in printed
        assert "array `synthetic`" not in printed
        assert Dataset.load(tmp_path / "same").train.synthetic is None

    def test_a_ratio_that_makes_no_row_is_not_called_balance(self, toy):
        with pytest.raises(TardiffError, match=r"--ratio 0\.0001: that share of what the rarest class lacks \(\d+ rows\) is no row"):
            augment_run.augment(toy[1], AugmentSettings(ratio=1e-4, gate=False))

    def test_bad_numbers(self):
        with pytest.raises(TardiffError, match="--ratio 0"):
            AugmentSettings(ratio=0)
