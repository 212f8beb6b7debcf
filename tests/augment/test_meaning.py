"""A generator trained elsewhere is matched by names: labels and channels cannot swap."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tardiff.augment import TarDiffSampler
from tardiff.data.dataset import Dataset
from tardiff.errors import TardiffError
from tardiff.settings import GuidanceSettings, SamplerSettings
from tests.augment.toys import records, sampler

NONE = GuidanceSettings(guidance="none")
NAMES = ["hr", "dbp", "sbp", "gcs"]
CLASSES = {0: "survived", 1: "died"}


def drawn(run, **options):
    return TarDiffSampler(
        **{"pipeline": run[1], "guidance": NONE, "channels": NAMES, "random_state": 1, "sampler": SamplerSettings(steps=3), **options}
    )


def synthetic(tool, X, y):
    rows, targets = tool.fit_resample(X, y)
    return rows[tool.synthetic_], np.asarray(targets)[tool.synthetic_]


def test_labels_by_the_pipelines_names(run, toy):
    train = toy[1].train
    X, y = drawn(run, classes=CLASSES).fit_resample(train.values, train.label)
    assert len(np.unique(np.bincount(y))) == 1
    np.testing.assert_array_equal(X[: len(train)], train.values)


def test_words_in_any_alphabet_are_the_same_classes(run, toy):
    """survived, died is the run's order; died, survived is the sampler's."""
    train = toy[1].train
    words = np.array(["survived", "died"])[train.label]
    by_code, codes = synthetic(drawn(run, classes=CLASSES), train.values, train.label)
    by_word, found = synthetic(drawn(run), train.values, words)
    np.testing.assert_array_equal(by_word, by_code)
    assert found.tolist() == [CLASSES[code] for code in codes]


@settings(max_examples=6)
@given(order=st.permutations(range(4)))
def test_channels_in_any_order_keep_their_meaning(order, run, toy):
    train = toy[1].train.take(slice(0, 60))
    expected, _ = synthetic(drawn(run, classes=CLASSES), train.values, train.label)
    named = drawn(run, classes=CLASSES, channels=[NAMES[c] for c in order])
    found, _ = synthetic(named, train.values[:, order], train.label)
    np.testing.assert_array_equal(found, expected[:, order])


def test_a_table_in_another_order_and_a_data_set_of_another_order(run, toy):
    data = toy[1]
    frame = Dataset(data.manifest, {"train": data.train}).frame()
    frame["label"] = np.array(["survived", "died"])[frame["label"]]
    tool = drawn(run, channels=None)
    table, y = tool.fit_resample(frame, None)
    assert set(table["variable"]) == set(frame["variable"])
    assert set(y.iloc[-int(tool.synthetic_.sum()) :]) == {"died"}
    rows, _ = drawn(run, channels=None).fit_resample(Dataset(data.manifest, {"train": data.train}), None)
    assert rows.manifest.channel_names == data.manifest.channel_names


def test_guides_read_the_pipelines_order_too(run, toy):
    train = toy[1].train
    words = np.array(["survived", "died"])[train.label]
    tool = drawn(run, guidance=GuidanceSettings(strength=0.2), model="summary", epochs=1, channels=NAMES[::-1])
    X, _ = tool.fit_resample(train.values[:, ::-1], words)
    assert X.shape[1] == 4
    assert tool.movement_.value > 0


def test_what_is_taken_from_the_pipeline_is_said(run, toy, capsys):
    train = toy[1].train
    drawn(run, classes=CLASSES).fit_resample(train.values, train.label)
    assert "taken from the pipeline, because the rows do not say: units (hr " in capsys.readouterr().err
    units = [channel.unit for channel in run[1].codec.channels]
    drawn(run, classes=CLASSES, units=units, step_hours=1.0).fit_resample(train.values, train.label)
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"channels": None}, "an array does not say which channel is which"),
        ({}, "its classes are survived, died, those of y 0, 1; say which label is which, as in classes="),
        ({"classes": {0: "survived"}}, "classes: has no name of the label 1"),
        ({"classes": {0: "alive", 1: "dead"}}, "those of y alive, dead"),
        ({"classes": CLASSES, "channels": ["hr", "dbp", "sbp", "temp"]}, "channel 'gcs' is missing"),
        ({"classes": CLASSES, "units": ["kPa"] * 4}, "channel hr is in 'kPa', pipeline has it in"),
        ({"classes": CLASSES, "units": ["bpm"]}, "1 units for 4 channels"),
        ({"classes": CLASSES, "step_hours": 0.5}, "a step is 0.5 h, for pipeline it is"),
    ],
)
def test_what_does_not_fit_is_one_line(options, says, run, toy):
    train = toy[1].train
    with pytest.raises(TardiffError, match=says):
        drawn(run, **options).fit_resample(train.values, train.label)


def test_other_records_and_other_tasks_are_refused(run, toy):
    X, y = records()
    with pytest.raises(TardiffError, match="has 6 steps, pipeline has 10"):
        sampler(pipeline=run[1], channels=["hr", "dbp", "sbp"], classes=CLASSES).fit_resample(X, y)
    manifest = toy[1].manifest
    for changes, says in (
        ({"task": msgspec.structs.replace(manifest.task, name="sepsis")}, "has the task 'sepsis', pipeline has 'death'"),
        ({"task": msgspec.structs.replace(manifest.task, classes=("no", "yes"))}, "class 'survived' is missing"),
        ({"step_hours": 2.0}, "a step is 2 h"),
    ):
        data = Dataset(msgspec.structs.replace(manifest, **changes), {"train": toy[1].train})
        with pytest.raises(TardiffError, match=says):
            drawn(run, channels=None).fit_resample(data, None)
