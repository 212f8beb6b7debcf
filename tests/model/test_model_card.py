import re
import shutil

import msgspec
import pytest
import yaml

from tardiff.data.dataset import Channel, Task
from tardiff.errors import TardiffError
from tardiff.model.model_card import BEGIN, END, UNEVALUATED, add_evaluation, model_card


def number(value):
    return {"value": value, "low": value - 0.01, "high": value + 0.01, "n": 10, "seeds": 2}


def result_of(generator):
    """As much of an evaluation as a card shows: one set of this generator, one of another."""
    scores = {"metrics": {"auprc": number(0.4), "auroc": number(0.7)}, "model": "gru"}
    far = {"ks": {"mean": number(0.1)}}
    private = {"nearer_train": number(0.5), "copies": {"count": 0, "n": 10}}
    sets = ("mine", "theirs")
    return {
        "synthetic": {"mine": {"made_by": {"generator": generator}}, "theirs": {"made_by": {}}},
        "test": {"rows": 20, "positives": 5, "split": "test", "classes": ["survived", "died"], "content_hash": "sha256:1"},
        "utility": {
            "cells": [
                {"protocol": "TRTR", "synthetic": None, **scores},
                *({"protocol": "TSTR", "synthetic": name, **scores} for name in sets),
            ]
        },
        "fidelity": {"floor": far, "sets": dict.fromkeys(sets, far)},
        "privacy": {"sets": dict.fromkeys(sets, private)},
    }


def test_training_writes_the_card(run):
    path, pipeline = run
    text = (path / "README.md").read_text()
    assert text == model_card(pipeline.card, pipeline.codec)
    head = yaml.safe_load(text.split("---\n")[1])
    assert head["library_name"] == "tardiff"
    assert "license" not in head, "that is the user's to choose"
    assert "synthetic-data" in head["tags"]
    counts = f"{pipeline.card.class_counts[0]} survived, {pipeline.card.class_counts[1]} died"
    for part in (pipeline.card.data_hash, counts, "hr (bpm), dbp (mmHg)", "| steps | 60 |", "## Limits", UNEVALUATED):
        assert part in text
    losses = re.findall(r"^\| (\d+) \| ([\d.]+) \| ([\d.]+) \|$", text, re.M)
    assert [int(step) for step, *_ in losses] == [entry["step"] for entry in pipeline.card.history]


def test_names_cannot_break_the_card(run):
    pipeline = run[1]
    strange = "a|b\n# <script>alert(1)</script>"
    card = msgspec.structs.replace(pipeline.card, source=strange, task=Task(strange, strange, (strange, strange)))
    channels = tuple(Channel(strange, strange, (0, 1), "mean", 0) for _ in range(4))
    codec = msgspec.structs.replace(pipeline.codec, channels=channels, orderings=())
    text = model_card(card, codec)
    assert "<script" not in text
    assert len(text.splitlines()) == len(model_card(pipeline.card, pipeline.codec).splitlines())


def test_an_evaluation_is_added_and_the_rest_stays(run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run[0], folder)
    path, card = folder / "README.md", run[1].card
    path.write_text(path.read_text().replace("# license: choose", "license: mit # chosen"))
    before = path.read_text()
    add_evaluation(folder, result_of(card.data_hash))
    once = path.read_text()
    assert "| mine | gru | 0.400 [0.390, 0.410] | 0.700 [0.690, 0.710] |" in once
    assert "| mine | 0.100 [0.090, 0.110] | 0.500 [0.490, 0.510] | 0 of 10 |" in once
    assert "theirs" not in once
    assert once.partition(BEGIN)[0] == before.partition(BEGIN)[0]
    assert once.partition(END)[2] == before.partition(END)[2]
    add_evaluation(folder, result_of(card.data_hash))
    assert path.read_text() == once
    path.unlink()
    add_evaluation(folder, result_of(card.data_hash))
    assert path.read_text() == once.replace("license: mit # chosen", "# license: choose")


def test_a_card_of_another_generator_is_refused(run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run[0], folder)
    with pytest.raises(TardiffError, match="no set of this evaluation was drawn by a generator that learnt from sha256:"):
        add_evaluation(folder, result_of("sha256:0"))
    (folder / "README.md").write_text("mine alone")
    with pytest.raises(TardiffError, match=r"README\.md: the lines .* are gone"):
        add_evaluation(folder, result_of(run[1].card.data_hash))
    assert (folder / "README.md").read_text() == "mine alone"
