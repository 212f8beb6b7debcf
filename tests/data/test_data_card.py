"""The data card of synthetic records: Hugging Face's fields, filled from the manifest and the arrays."""

import re

import msgspec
import numpy as np
import yaml

from tardiff.data.data_card import data_card
from tardiff.data.dataset import Dataset, Task
from tests.conftest import make_dataset


def synthetic(**changes):
    """Made-up rows as a generator would leave them."""
    data = make_dataset(rows=1500)
    manifest = msgspec.structs.replace(
        data.manifest, synthetic=True, settings={"seed": 7, "sampler": {"steps": 20}, "movement": {"value": 1}}
    )
    return Dataset(msgspec.structs.replace(manifest, **changes), {"train": data.train}).completed()


def test_saving_writes_the_card_of_synthetic_rows_alone(tmp_path):
    data = synthetic().save(tmp_path / "synthetic")
    text = (tmp_path / "synthetic" / "README.md").read_text()
    assert text == data_card(data)
    make_dataset().save(tmp_path / "real")
    assert not (tmp_path / "real" / "README.md").exists()
    head = yaml.safe_load(text.split("---\n")[1])
    assert head["size_categories"] == ["1K<n<10K"]
    assert "license" not in head, "that is the user's to choose"
    wanted = ["Dataset Details", "Uses", "Dataset Structure", "Dataset Creation", "Bias, Risks, and Limitations", "Evaluation"]
    assert re.findall(r"^## (.+)$", text, re.M) == wanted
    observed = np.isfinite(data.train.values[:, 0]).mean()
    for line in (
        f"| hr | bpm | 0 to 300 | {observed:.1%} |",
        "| seed | 7 |",
        "| sampler.steps | 20 |",
        f"| died | {data.train.label.sum():,} |",
    ):
        assert line in text, line
    assert "movement" not in text


def test_names_cannot_break_the_card():
    strange = 'a|b"\n---\n# <script>alert(1)</script>'
    text = data_card(synthetic(source=strange, task=Task(strange, strange, (strange, strange))))
    assert "<script" not in text
    assert len(text.splitlines()) == len(data_card(synthetic()).splitlines())
    assert "alert(1)" in yaml.safe_load(text.split("\n---\n")[0])["pretty_name"]
