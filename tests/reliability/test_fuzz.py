"""Whatever is in a file: a reader returns what it has checked, or raises TardiffError, and nothing else."""

import copy
import io
import json
import pickle
import shutil
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_prep.concept_files import CONCEPTS, load_concepts
from data_prep.onsets import read_onsets
from data_prep.settings import PrepareSettings, SimulateSettings
from data_prep.sources.table_layout import read_layout
from data_prep.tasks import TASKS, load_tasks
from data_prep.yaml_files import read_yaml
from tardiff import settings as all_settings
from tardiff.base.checkpoint import plain
from tardiff.base.files import read_struct
from tardiff.classifier.folder import ClassifierFolder
from tardiff.data.codec import Codec
from tardiff.data.dataset import Dataset
from tardiff.data.statics import StaticModel
from tardiff.errors import TardiffError
from tardiff.evaluate.readers import read_synthetic
from tardiff.model.card import Card
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.refine import settings as refine_settings
from tardiff.refine.policy_folder import PolicyPipeline
from tardiff.refine.settings_file import settings_from
from tardiff.report.page import render
from tardiff.report.report_input import ReportInput
from tests.conftest import make_dataset
from tests.prep.prep_small import LAYOUT

pytestmark = pytest.mark.slow

LIKE = make_dataset(40)
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 12),
    st.sampled_from([2**31, -(2**63), 10**30, 1e308, -1e-308, 0.5, float("nan"), float("inf"), -float("inf")]),
    st.sampled_from(["", "x", "hr", "../x", "\x00", "\u2603", "9" * 400, "1e5"]),
    st.lists(st.integers(-1, 3), max_size=3),
    st.dictionaries(st.sampled_from(["a", "name", "limits"]), st.integers(0, 3), max_size=2),
)
"""Numbers are small, or so large that nothing of that size is begun."""


def fuzz(examples: int = 40) -> Callable[[Any], Any]:
    health = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]
    return settings(max_examples=examples, suppress_health_check=health, derandomize=True, database=None)


@st.composite
def spoilt_bytes(draw: Callable[..., Any], good: bytes) -> bytes:
    """Some bytes changed, removed, put in, or cut off."""
    content = bytearray(good)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(content)))
        length = draw(st.integers(0, 9))
        content[at : at + length] = draw(st.binary(max_size=9))
    return bytes(content[: draw(st.integers(0, len(content)))] if draw(st.booleans()) else content)


def spots(tree: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value of a tree; of a long list, to the ends."""
    keys = list(tree) if isinstance(tree, dict) else list(range(len(tree))) if isinstance(tree, list) else []
    few = keys if len(keys) < 12 or isinstance(tree, dict) else [*keys[:2], keys[-1]]
    return [(*above, key) for key in few] + [spot for key in few for spot in spots(tree[key], (*above, key))]


@st.composite
def spoilt_tree(draw: Callable[..., Any], good: Any) -> Any:
    """A value or two replaced by an odd one, or gone, or one too many."""
    tree = copy.deepcopy(good)
    for _ in range(draw(st.integers(1, 2))):
        if not (places := spots(tree)):
            return draw(ODD)
        *way, last = draw(st.sampled_from(places))
        owner = tree
        for key in way:
            owner = owner[key]
        what = draw(st.sampled_from(["put", "put", "put", "remove", "add"]))
        if what == "put":
            owner[last] = draw(ODD)
        elif what == "remove":
            del owner[last]
        elif isinstance(owner, dict):
            owner["more"] = draw(ODD)
        else:
            owner.append(draw(ODD))
    return tree


def allowed(read: Callable[[], Any]) -> Any:
    """What was read; None if it was refused as it should be."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return read()
        except TardiffError:
            return None


READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "data/manifest.json": ("DATA", Dataset.load),
    "run/codec.json": ("RUN", lambda path: Codec.load(path / "codec.json")),
    "run/statics.json": ("RUN", lambda path: StaticModel.load(path / "statics.json")),
    "run/card.json": ("RUN", lambda path: read_struct(path / "card.json", Card)),
    "run/model_index.json": ("RUN", TarDiffPipeline.from_pretrained),
    "run/unet/config.json": ("RUN", TarDiffPipeline.from_pretrained),
    "run/scheduler/scheduler_config.json": ("RUN", TarDiffPipeline.from_pretrained),
    "clf/classifier.json": ("CLF", ClassifierFolder.load),
    "policy/policy.json": ("POLICY", PolicyPipeline.from_pretrained),
    "eval/metrics.json": ("EVAL", lambda path: render(ReportInput.load(path))),
    "eval/figures.json": ("EVAL", lambda path: render(ReportInput.load(path))),
}


def copied(good: Mapping[str, Path], kind: str, where: Path) -> Path:
    """A folder that may be spoilt."""
    return Path(shutil.copytree(good[kind], where / kind.lower()))


@pytest.mark.parametrize("file", READERS)
def test_json_of_the_package(file: str, good, tmp_path) -> None:
    kind, read = READERS[file]
    folder, whole = copied(good, kind, tmp_path), (tmp_path / file).read_bytes()

    @fuzz(10 if read == TarDiffPipeline.from_pretrained else 40)  # diffusers takes its time
    @given(st.one_of(spoilt_tree(json.loads(whole)).map(lambda tree: json.dumps(tree).encode()), spoilt_bytes(whole)))
    def check(content: bytes) -> None:
        (tmp_path / file).write_bytes(content)
        allowed(lambda: read(folder))

    check()


TENSORS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "data/validation.safetensors": ("DATA", Dataset.load),
    "run/unet/diffusion_pytorch_model.safetensors": ("RUN", TarDiffPipeline.from_pretrained),
    "clf/guidance.safetensors": ("CLF", ClassifierFolder.load),
    "policy/policy.safetensors": ("POLICY", PolicyPipeline.from_pretrained),
}


@pytest.mark.parametrize("file", TENSORS)
def test_tensors_of_the_package(file: str, good, tmp_path) -> None:
    kind, read = TENSORS[file]
    folder, whole = copied(good, kind, tmp_path), (tmp_path / file).read_bytes()
    size = int.from_bytes(whole[:8], "little")
    header, body = json.loads(whole[8 : 8 + size]), whole[8 + size :]

    def lying(tree: Any) -> bytes:
        words = json.dumps(tree).encode()
        return len(words).to_bytes(8, "little") + words + body

    @fuzz(10 if read == TarDiffPipeline.from_pretrained else 30)
    @given(st.one_of(spoilt_tree(header).map(lying), spoilt_bytes(whole)))
    def check(content: bytes) -> None:
        (tmp_path / file).unlink()  # for what was mapped stays mapped
        (tmp_path / file).write_bytes(content)
        allowed(lambda: read(folder))

    check()


CONCEPT = {"variables": {"new": {"label": "New", "unit": "u", "limits": [1, 9], "limits_from": "us", "aggregation": "mean", "normal": 2}}}
FOUND = {"found": {"mimic_iv": {"new": {"table": "labevents", "item": 1, "label": "L"}}}, "sets": {"mine": ["new", "hr"]}}
YAML = {
    "concepts": (CONCEPT | FOUND | {"orderings": [["new", "hr"]]}, load_concepts),
    "task": ({"mine": yaml.safe_load(TASKS.read_text())["decompensation"]}, load_tasks),
    "layout": (yaml.safe_load(LAYOUT), read_layout),
    "policy settings": (
        plain(refine_settings.PolicySettings()),
        lambda path: settings_from(read_yaml(path), refine_settings.PolicySettings(), str(path)),
    ),
}


@pytest.mark.parametrize("kind", YAML)
def test_yaml(kind: str, tmp_path) -> None:
    whole, read = YAML[kind]
    words = yaml.safe_dump(whole)
    assert CONCEPTS.is_file()

    @fuzz(40)
    @given(st.one_of(spoilt_tree(whole).map(lambda tree: yaml.safe_dump(tree).encode()), spoilt_bytes(words.encode())))
    def check(content: bytes) -> None:
        (tmp_path / "own.yaml").write_bytes(content)
        allowed(lambda: read(tmp_path / "own.yaml"))

    check()


def synthetic_files() -> dict[str, bytes]:
    """A good file of each kind."""
    x, label = LIKE.train.values, LIKE.train.label
    table = LIKE.frame().query("split == 'train'").head(60).to_csv(index=False).encode()
    frame, zipped, plain = io.BytesIO(), io.BytesIO(), io.BytesIO()
    pd.read_csv(io.BytesIO(table)).to_parquet(frame)
    np.savez(zipped, x=x, label=label)
    np.save(plain, x)
    pickled = {f"{protocol}.pkl": pickle.dumps({"x": x, "label": label}, protocol) for protocol in (0, 2, pickle.HIGHEST_PROTOCOL)}
    return {"a.csv": table, "a.parquet": frame.getvalue(), "a.npz": zipped.getvalue(), "a.npy": plain.getvalue(), **pickled}


@pytest.mark.parametrize(("name", "whole"), synthetic_files().items(), ids=list(synthetic_files()))
def test_files_of_other_generators(name: str, whole: bytes, tmp_path) -> None:
    np.save(tmp_path / "a.label.npy", LIKE.train.label)

    @fuzz(40)
    @given(spoilt_bytes(whole))
    def check(content: bytes) -> None:
        (tmp_path / name).write_bytes(content)
        read = allowed(lambda: read_synthetic(tmp_path / name, LIKE))
        if read is not None:
            read.check("what was read")

    check()


CELL = st.one_of(
    st.integers(-5, 50), st.sampled_from(["", "nan", "inf", "-inf", "x", "1e400", "hr", "train", "test", '"', "\x00", "9" * 30])
)


@fuzz(60)
@given(st.lists(st.tuples(*[CELL] * 6), max_size=4))
def test_tables_of_other_generators(tmp_path, rows: list[tuple[Any, ...]]) -> None:
    good = ["train,7,0,0,hr,80", "train,8,1,1,hr,90"]
    lines = ["split,stay_id,label,hour,variable,value", *good, *(",".join(map(str, row)) for row in rows)]
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    allowed(lambda: read_synthetic(tmp_path / "a.csv", LIKE))


@fuzz(60)
@given(spoilt_bytes(b"stay_id,onset_minute\n7,60\n8,\n9,90.5\n"), st.lists(st.tuples(CELL, CELL), max_size=3))
def test_onsets(tmp_path, content: bytes, rows: list[tuple[Any, Any]]) -> None:
    stays = pd.DataFrame({"stay_id": [7, 8, 9]})
    (tmp_path / "a.csv").write_bytes(content + "".join(f"{a},{b}\n" for a, b in rows).encode())
    allowed(lambda: read_onsets(tmp_path / "a.csv", stays))


KINDS = [
    kind
    for module in (all_settings, refine_settings)
    for kind in vars(module).values()
    if isinstance(kind, type) and kind.__module__ == module.__name__
]


@pytest.mark.parametrize("kind", [*KINDS, PrepareSettings, SimulateSettings], ids=lambda kind: kind.__name__)
def test_settings(kind: type) -> None:
    """Numbers of every size, and texts, in every field of their kind; types are tyro's and mypy's care."""
    needed = {"source": "mimic-iv", "out": "out"}
    given_by = {field.name: field.default for field in fields(kind)}
    numbers = {name: value for name, value in given_by.items() if isinstance(value, int | float) and not isinstance(value, bool)}
    several = {name: value for name, value in given_by.items() if isinstance(value, tuple) and value and not isinstance(value[0], str)}
    words = {name for name, value in given_by.items() if isinstance(value, str)}
    whole, real = st.integers(-(10**12), 10**12), st.floats()
    choices = {name: whole if isinstance(value, int) else real for name, value in numbers.items()}
    choices |= {name: st.lists(whole if isinstance(value[0], int) else real, max_size=3).map(tuple) for name, value in several.items()}
    choices |= {name: st.text(max_size=8) for name in words & {"methods", "rewards", "memory"}}

    @fuzz(40)
    @given(st.fixed_dictionaries({}, optional=choices))
    def check(chosen: dict[str, Any]) -> None:
        made = allowed(lambda: kind(**{k: v for k, v in needed.items() if k in given_by}, **chosen))
        for name in numbers if made is not None else ():
            assert name == "step_hours" or abs(getattr(made, name)) < sys.float_info.max

    check()
