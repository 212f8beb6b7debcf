"""Attacks that see the models: on classifiers and their guidance rows, where each is listed, and what they refuse."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from tardiff.classifier.folder import fit_classifier
from tardiff.data.codec import Codec
from tardiff.data.dataset import UNLABELLED, Dataset
from tardiff.errors import TardiffError
from tardiff.evaluate import evaluate, table
from tardiff.evaluate.privacy.denoising import denoising
from tardiff.evaluate.privacy.guidance import classifier_loss, gradient_alignment
from tardiff.evaluate.privacy.trial import Trial
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.settings import ClassifierSettings, EvaluateSettings
from tests.conftest import light_evaluation, make_dataset

QUICK = EvaluateSettings(quick=True, models=("logistic",), seeds=1, bootstrap=20, workers=1)


@pytest.fixture(scope="module")
def guided(toy):
    """A classifier whose guidance serves the validation rows, which it did not learn."""
    return fit_classifier(toy[1], ClassifierSettings(architecture="summary", epochs=4), "validation")


def test_the_stored_gradient_gives_guidance_rows_away():
    """40 guidance rows that the classifier did not learn: their gradients' mean alone tells of them."""
    whole = make_dataset(400)
    data = Dataset(whole.manifest, {**whole.splits, "validation": whole.split("validation").take(slice(40))}).completed()
    folder = fit_classifier(data, ClassifierSettings(width=32, epochs=3), "validation")
    trial = Trial.draw(data, "validation", "guidance", 2000, 0)
    assert trial.judged("gradient", "white", gradient_alignment(trial, folder))["auc"]["low"] > 0.55


@pytest.mark.slow
def test_a_classifier_that_learnt_by_heart_gives_its_rows_away():
    """Labels that nothing tells can only be learnt by heart; stopped on the rows that it learns, a classifier does."""
    whole = make_dataset(240)
    coins = {name: replace(split, label=np.arange(len(split)) % 2) for name, split in whole.splits.items()}
    train_rows = coins["train"].take(slice(60))
    folder = fit_classifier(
        Dataset(whole.manifest, {"train": train_rows, "validation": train_rows}).completed(),
        ClassifierSettings(width=32, epochs=60, patience=60, batch_size=16, learning_rate=1e-2, weight_decay=0.0, dropout=0.0),
    )
    trial = Trial.draw(Dataset(whole.manifest, {**coins, "train": train_rows}), "train", "guidance", 2000, 0)
    assert trial.judged("loss", "white", classifier_loss(trial, folder))["auc"]["low"] > 0.55


@pytest.fixture(scope="module")
def result(toy, run, guided):
    sets = {"test": Dataset(toy[1].manifest, {"train": toy[1].split("test")})}
    with light_evaluation():
        return evaluate(toy[1], sets, QUICK, pipeline=run[1], classifiers={"mine": guided})


def test_attacks_are_listed_where_they_belong(result):
    found = result["privacy"]

    def names(attacks):
        return [(a["attack"], a["box"], a["members"]) for a in attacks]

    black = ["nearest neighbour", "density ratio", "shadow classifier"]
    blind = [(a, "black", m) for m in ("train", "guidance") for a in black]
    assert names(found["sets"]["test"]["attacks"]) == [*blind, ("calibrated distance", "black", "train")]
    assert names(found["generator"]) == [("calibrated denoising", "white", "train"), ("calibrated charting", "white", "train")]
    assert names(found["classifiers"]["mine"]) == [
        ("guidance loss", "white", "train"),
        ("guidance loss", "white", "guidance"),
        ("guidance gradient", "white", "guidance"),
    ]
    assert found["rows"] == 240
    assert found["references"] == {"models": 1, "steps": 7, "rows": 120, "others": 120, "reason": None}
    for attack in [*found["generator"], found["sets"]["test"]["attacks"][-1]]:
        assert attack["control"]["n"] == attack["n_others"] == 120


def test_the_table_tells_all(result):
    text = table(result)
    assert max(map(len, text.splitlines())) <= 120
    for words in (
        "the generator",
        "calibrated denoising",
        "reference model",
        "mine",
        "guidance gradient",
        "k-anonymity of the descriptors",
        "near copies",
    ):
        assert words in text


def test_models_of_other_data_are_refused(toy, run, clf, tmp_path):
    other = make_dataset(100).completed()
    sets = {"a": Dataset(other.manifest, {"train": other.train})}
    with pytest.raises(TardiffError, match="--run was made from another data set"):
        evaluate(other, sets, QUICK, pipeline=run[1])
    with pytest.raises(TardiffError, match="--classifier gru was made from another data set"):
        evaluate(other, sets, QUICK, classifiers={"gru": clf[1]})
    elsewhere = fit_classifier(toy[1], ClassifierSettings(width=8, epochs=1), codec=Codec.fit(other.train, other.manifest))
    with pytest.raises(TardiffError, match="reads another space"):
        evaluate(toy[1], {"a": Dataset(toy[1].manifest, {"train": toy[1].train})}, QUICK, pipeline=run[1], classifiers={"far": elsewhere})


def test_a_generator_without_labels_can_be_attacked(toy, run):
    labelled = run[1]
    card = msgspec.structs.replace(labelled.card, task=UNLABELLED, class_counts=(sum(labelled.card.class_counts),))
    pipeline = TarDiffPipeline(labelled.unet, labelled.charting, labelled.scheduler, labelled.codec, labelled.statics, card)
    rows = toy[1].train.take(slice(20))
    relabelled = replace(rows, label=1 - rows.label)
    np.testing.assert_array_equal(denoising(relabelled, pipeline, 1, 0), denoising(rows, pipeline, 1, 0))
    assert not np.array_equal(denoising(relabelled, labelled, 1, 0), denoising(rows, labelled, 1, 0))
