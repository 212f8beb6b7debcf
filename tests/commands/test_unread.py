"""Options that a command would not read are refused; the others are not."""

import json

import pytest

from tardiff.cli import main
from tardiff.commands.unread import RULES

SAMPLE = "sample RUN --n 5 --out out"
COMPARE = "compare DATA --out out"
LADDER = f"{COMPARE} --from RUN --from-classifier CLF"
REFUSED = [
    ("prepare physionet2012 --raw raw --out out --stays 30", "stays"),
    ("prepare simulate --raw raw --out out", "raw"),
    ("prepare mimic-iv --raw raw --out out --schemas a,b", "schemas"),
    ("prepare meds --raw raw --out out --lab-time storetime", "lab-time"),
    ("train DATA --out out --policy-settings policy.yaml", "policy-settings"),
    ("train DATA --out out --model policy --steps 4000", "steps"),
    ("train DATA --out out --language-model model", "language-model"),
    ("train DATA --out out --language.epochs 3", "language.epochs"),
    ("train DATA --out out --model language --steps 4000", "steps"),
    ("train DATA --out out --model language --language.rank 4", "language.rank"),
    ("train DATA --out out --model language --language-model model --language.width 64", "language.width"),
    ("train DATA --out out --delta 1e-6", "delta"),
    ("train DATA --out out --epsilon 8 --accumulate 2", "accumulate"),
    ("fit-classifier DATA --out out --architecture summary --width 16", "width"),
    (f"{SAMPLE.replace('RUN', 'POLICY')} --guidance none --steps 10", "steps"),
    (f"{SAMPLE} --sampler ode --eta 0", "eta"),
    (f"{SAMPLE} --guidance classifier-free --objective cosine=1", "objective"),
    (f"{SAMPLE} --objective cosine=1 --curvature last-layer", "curvature"),
    (f"{SAMPLE} --objective label=1,entropy=1 --guidance-data DATA", "guidance-data"),
    (f"{SAMPLE} --objective cosine=1 --guidance-rows wrong", "guidance-rows"),
    (f"{SAMPLE} --guidance none --privacy-quantile 0.05", "privacy-quantile"),
    (f"{SAMPLE} --objective repulsion=1 --strength 0.1 --classifier CLF", "classifier"),
    (f"{SAMPLE} --objective=raw=1 --strength 0 --clip 2", "clip"),
    (f"{SAMPLE} --guidance classifier-free --strength 0.2", "strength"),
    (f"{SAMPLE} --guidance none --through-denoiser", "through-denoiser"),
    (f"{SAMPLE} --guidance none --no-through-denoiser", "no-through-denoiser"),
    (f"{SAMPLE.replace('RUN', 'FREE')} --cfg_scale 2", "cfg-scale"),
    (f"{SAMPLE} --guidance none --window 0.4", "window"),
    (f"{SAMPLE} --strength 0.1 --pilot 64", "pilot"),
    (f"{SAMPLE} --select-from 3", "select-from"),
    (f"{SAMPLE} --guidance none --classifier CLF", "classifier"),
    ("augment DATA --out out --guidance none --objective label=1", "objective"),
    ("augment DATA --out out --guidance none --strength 0.1", "strength"),
    ("augment DATA --out out --run RUN --budget-minutes 1", "budget-minutes"),
    ("augment DATA --out out --no-gate --batches 2", "batches"),
    (f"{COMPARE} --refined RUN --methods none,smote", "refined"),
    (f"{COMPARE} --run RUN --methods none,smote", "run"),
    (f"{COMPARE} --ratios 0.5 --methods none,smote", "ratios"),
    (f"{COMPARE} --run RUN --budget-minutes 1", "budget-minutes"),
    (f"{COMPARE} --local 300", "local"),
    (f"{LADDER} --run RUN", "run"),
    (f"{LADDER} --methods local,adapted --strength 0.1", "strength"),
    (f"{LADDER} --methods local,adapted --from-data DATA", "from-data"),
    ("refine RUN --data DATA --out out --classifier CLF", "classifier"),
    ("refine POLICY --data DATA --out out --share 0.5", "share"),
    ("refine RUN --data DATA --out out --rewards fidelity=1 --discriminator.warm-up 0", "discriminator.warm-up"),
    ("evaluate --real DATA --synthetic SYN --out out --quick --seeds 2", "seeds"),
    ("demo --out out --raw raw", "raw"),
]
READ = [
    f"{SAMPLE} --sampler ddim --eta 0",
    f"{SAMPLE} --objective cosine=1,contrastive=0.5 --strength 0.1 --clip 2 --window 0.3",
    f"{SAMPLE} --objective raw=1 --curvature last-layer --guidance-data DATA --guidance-rows wrong",
    f"{SAMPLE} --objective repulsion=1,label=1 --strength 0.1 --pilot 64",
    f"{SAMPLE} --guidance none --select influence --classifier CLF --guidance-data DATA",
    f"{SAMPLE} --guidance classifier-free --cfg-scale 3 --window 0.5",
    f"{SAMPLE} --pilot 64",
    f"{SAMPLE} --guidance none --privacy-filter DATA --privacy-quantile 0.05",
    f"{SAMPLE} --guidance none --select influence --select-from 3 --classifier CLF",
    f"{SAMPLE.replace('RUN', 'FREE')} --guidance none --classifier CLF",
    f"{SAMPLE.replace('RUN', 'POLICY')} --guidance none --seed 3",
    f"{COMPARE} --methods none,unguided --run RUN --ratios 0.5",
    f"{LADDER} --methods local,guided-alone,selected --from-data DATA --strength 0.1 --ratios 0.5 --local 300",
    "train DATA --out out --model policy --policy-settings policy.yaml --seed 3",
    "train DATA --out out --model language --language-model model --language.rank 4 --seed 3",
    "train DATA --out out --model language --language.width 64",
    "refine RUN --data DATA --out out --classifier CLF --rewards influence=1",
    "refine RUN --data DATA --out out --rewards fidelity=1,discriminator=0.5 --discriminator.warm-up 0",
    "evaluate --real DATA --synthetic SYN --out out --seeds 2",
    "prepare table --raw raw --out out --lab-time charttime",
]


@pytest.fixture
def error(tmp_path, monkeypatch, capsys):
    """What a command line says, in a folder where RUN, FREE (learnt without labels) and POLICY are known by their first file."""
    for name, classes in (("RUN", ["a", "b"]), ("FREE", [""])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "card.json").write_text(json.dumps({"task": {"classes": classes}}))
    (tmp_path / "POLICY").mkdir()
    (tmp_path / "POLICY" / "policy.json").touch()
    monkeypatch.chdir(tmp_path)

    def call(line):
        with pytest.raises(SystemExit) as stop:
            main(line.split())
        assert stop.value.code == 2
        return capsys.readouterr().err

    return call


@pytest.mark.parametrize(("line", "option"), REFUSED)
def test_one_line_names_the_option_and_what_it_needs(line, option, error):
    said = error(line)
    assert said.startswith(f"tardiff: error: {line.split()[0]}: --{option} would not be read; it needs ")
    assert said.count("\n") == 1


@pytest.mark.parametrize("line", READ)
def test_options_that_are_read_are_not_refused(line, error):
    assert "would not be read" not in error(line)


def test_every_rule_has_a_line_above():
    met = {(line.split()[0], option.removeprefix("no-")) for line, option in REFUSED}
    for command, rules in RULES.items():
        for rule in rules:
            assert any((command, option) in met for option in rule.options), rule
