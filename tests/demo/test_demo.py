"""The six steps in a row; in a folder of its own, so that two workers start it early: no test takes longer."""

from importlib import import_module

from tardiff.settings import ClassifierSettings, DemoSettings, EvaluateSettings, GuidanceSettings, TrainSettings


def test_demo_ends_in_a_page(tmp_path, monkeypatch, capsys):
    demo_module = import_module("tardiff.commands.demo")
    monkeypatch.setattr(demo_module, "TRAINING", TrainSettings(steps=30, batch_size=64, widths=(16, 16), validate_every=15))
    monkeypatch.setattr(demo_module, "CLASSIFIER", ClassifierSettings(width=16, epochs=2))
    monkeypatch.setattr(demo_module, "GUIDANCE", GuidanceSettings(pilot=64))
    monkeypatch.setattr(demo_module, "EVALUATION", EvaluateSettings(quick=True, bootstrap=50))
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
        assert str(tmp_path / "demo" / name) in printed
    assert (tmp_path / "demo" / "data" / "manifest.json").stat().st_mode & 0o044
