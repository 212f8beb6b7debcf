import re

import msgspec
import yaml

from tardiff.data.dataset import Channel, Task
from tardiff.model.model_card import UNEVALUATED, model_card


def test_training_writes_the_card(run):
    path, pipeline = run
    text = (path / "README.md").read_text()
    assert text == model_card(pipeline.card, pipeline.codec)
    head = yaml.safe_load(text.split("---\n")[1])
    assert head["library_name"] == "tardiff"
    assert "license" not in head, "that is the user's to choose"
    assert "synthetic-data" in head["tags"]
    counts = f"{pipeline.card.class_counts[0]} survived, {pipeline.card.class_counts[1]} died"
    for part in (pipeline.card.data_hash, counts, "hr (bpm), dbp (mmHg)", "| steps | 60 |", UNEVALUATED):
        assert part in text
    losses = re.findall(r"^\| (\d+) \| ([\d.]+) \| ([\d.]+) \|$", text, re.M)
    assert [int(step) for step, *_ in losses] == [entry["step"] for entry in pipeline.card.history]


def test_it_has_the_fields_of_hugging_face(run):
    sections = re.findall(r"^## (.+)$", (run[0] / "README.md").read_text(), re.M)
    assert sections == [
        "Model Details",
        "Uses",
        "Bias, Risks, and Limitations",
        "How to Get Started with the Model",
        "Training Details",
        "Evaluation",
        "Environmental Impact",
    ]
    assert f"Training read {60 * 32:,} rows (32 in each of 60 steps)" in (run[0] / "README.md").read_text()


def test_names_cannot_break_the_card(run):
    pipeline = run[1]
    strange = "a|b\n# <script>alert(1)</script>"
    card = msgspec.structs.replace(pipeline.card, source=strange, task=Task(strange, strange, (strange, strange)))
    channels = tuple(Channel(strange, strange, (0, 1), "mean", 0) for _ in range(4))
    codec = msgspec.structs.replace(pipeline.codec, channels=channels, orderings=())
    text = model_card(card, codec)
    assert "<script" not in text
    assert len(text.splitlines()) == len(model_card(pipeline.card, pipeline.codec).splitlines())
