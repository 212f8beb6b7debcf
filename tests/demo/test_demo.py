"""The six steps in a row, of few stays and with models too small to be good."""

from dataclasses import replace
from importlib import import_module

import data_prep
from tardiff.settings import ClassifierSettings, DemoSettings, EvaluateSettings, GuidanceSettings, TrainSettings
from tests.conftest import light_evaluation


def test_demo_ends_in_a_page(tmp_path, monkeypatch, capsys):
    demo_module, prepare = import_module("tardiff.commands.demo"), data_prep.prepare
    monkeypatch.setattr(data_prep, "prepare", lambda settings: prepare(replace(settings, stays=250)))
    monkeypatch.setattr(demo_module, "TRAINING", TrainSettings(steps=30, batch_size=64, widths=(16, 16), blocks=1, validate_every=15))
    monkeypatch.setattr(demo_module, "CLASSIFIER", ClassifierSettings("gru", width=16, epochs=2))
    monkeypatch.setattr(demo_module, "GUIDANCE", GuidanceSettings(pilot=64))
    monkeypatch.setattr(demo_module, "EVALUATION", EvaluateSettings(("logistic",), seeds=1, ratios=(1.0,), bootstrap=50, workers=1))
    with light_evaluation():
        demo_module.demo(tmp_path / "demo", DemoSettings())
    text = (tmp_path / "demo" / "index.html").read_text()
    assert "What are these synthetic patients worth?" in text
    assert "themselves simulated" in text
    assert "Does guidance help?" in text
    assert "tardiff prepare simulate --task" in text
    printed = capsys.readouterr().out
    for number in range(1, 7):
        assert f"[{number}/6]" in printed
    for name in ("data", "run", "classifier", "unguided", "guided", "evaluation", "index.html"):
        assert (tmp_path / "demo" / name).exists()
    assert printed.rstrip().endswith(str(tmp_path / "demo" / "index.html"))
    assert len(printed.splitlines()) <= 7 + 15
    assert (tmp_path / "demo" / "data" / "manifest.json").stat().st_mode & 0o044
