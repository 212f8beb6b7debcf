import contextlib
import io
import json
import re
from dataclasses import replace

import msgspec
import numpy as np
import pytest
import torch

from tardiff.base.checkpoint import weights_hash
from tardiff.base.noise import row_seeds
from tardiff.cli import main
from tardiff.data.labels import draw_labels
from tardiff.data.resolution import ABSENT
from tardiff.errors import TardiffError
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.refine import DiscriminatorSettings, PPOSettings, RefineSettings, refine, reward
from tardiff.refine.early_stopping import EarlyStopping
from tardiff.refine.generator import decoded
from tardiff.refine.log import Log
from tardiff.refine.rewards import FACTORIES
from tardiff.refine.run import _copy
from tardiff.refine.trajectories import DiffusionGenerator
from tests.conftest import make_dataset
from tests.refine.conftest import logged

SETTINGS = RefineSettings(iterations=3, rows=64, steps=4, check_every=2, check_rows=64, ema_decay=0.5)
DISCRIMINATOR = DiscriminatorSettings(width=16, warm_up=5, updates=2, batch_size=32)


def run(base, out, settings=SETTINGS, ppo=PPOSettings(), **options):
    return refine(base[0], base[2], out, settings, ppo, DISCRIMINATOR, progress=False, **options)


def weights(pipeline):
    return torch.cat([p.detach().flatten() for p in pipeline.unet.parameters()])


@pytest.fixture(scope="module")
def refined(base, tmp_path_factory):
    """A refined folder, made from the command line, and what that printed."""
    out = tmp_path_factory.mktemp("refined") / "out"
    asked = {"iterations": 3, "rows": 64, "steps": 4, "check-every": 2, "check-rows": 64, "ema-decay": 0.5}
    asked |= {f"discriminator.{name}": value for name, value in (("width", 16), ("warm-up", 5), ("updates", 2), ("batch-size", 32))}
    options = [str(word) for name, value in asked.items() for word in (f"--{name}", value)]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        main(["refine", str(base[1]), "--data", str(base[1].parent / "data"), "--out", str(out), *options, "--allow-worse"])
    return out, printed.getvalue()


def test_resumed_refinement_ends_in_the_same_weights(base, refined, tmp_path, killed_before):
    settings = replace(SETTINGS, allow_worse=True)
    with killed_before(2):
        run(base, tmp_path / "out", settings)
    assert not (tmp_path / "out").exists()
    with pytest.raises(TardiffError, match="other settings or data"):
        run(base, tmp_path / "out", replace(settings, seed=1))
    resumed = run(base, tmp_path / "out", settings)
    assert torch.equal(weights(resumed.pipeline), weights(TarDiffPipeline.from_pretrained(refined[0])))
    assert resumed.iteration == json.loads((refined[0] / "refinement.json").read_text())["iteration"]
    assert logged(tmp_path / "out") == logged(refined[0])
    assert not (tmp_path / "out.partial").exists()


def test_refined_folder_is_a_pipeline_folder_like_any_other(base, refined, clf, tmp_path):
    out, printed = refined
    assert re.search(r"an iteration costs [\d.]+ x sampling its 64 records; 3 iterations and 2 checks take about [\d.]+ minutes", printed)
    assert "TSTR AUPRC" in printed.splitlines()[-1]
    loaded = TarDiffPipeline.from_pretrained(out)
    assert not torch.equal(weights(loaded), weights(base[0]))
    told = loaded.card.refinement
    assert told["worse"] == json.loads((out / "refinement.json").read_text())["verdict"]["worse"]
    assert told["verdict"] in printed
    assert (told["rewards"], told["method"], told["base"]) == ("discriminator=1", "ppo", weights_hash(base[0].unet))
    assert msgspec.structs.replace(loaded.card, refinement={}) == base[0].card
    assert "rewards have refined them" in (out / "README.md").read_text()
    assert "| rewards | discriminator=1 |" in (out / "README.md").read_text()
    assert {"refinement.jsonl", "refinement.json", "refinement.png"} <= {file.name for file in out.iterdir()}
    clf[1].save(tmp_path / "clf")
    guided = ["sample", str(out), "--classifier", str(tmp_path / "clf"), "--n", "20", "--pilot", "64", "--steps", "5", "--out", "guided"]
    main([*guided[:-1], str(tmp_path / "guided")])
    main(["sample", str(out), "--guidance", "none", "--n", "20", "--steps", "5", "--out", str(tmp_path / "plain")])


def test_log_holds_what_shows_reward_hacking(refined):
    first, *_, last = logged(refined[0])
    shown = {"reward/discriminator", "reward_spread/discriminator", "diversity", "nearest", "approx_kl", "kl", "clip_fraction", "ratio"}
    shown |= {"discriminator_fake", "discriminator_train", "discriminator_held", "pseudo", "gradient_norm"}
    assert shown <= first.keys()
    assert {"score", "worse", "utility", "distance", "marginal", "best", "went_back"} == last["check"].keys()


@pytest.mark.slow
def test_hacked_reward_is_seen_gone_back_from_and_not_written(base, tmp_path, monkeypatch, killed_before):
    """A reward that is easy to raise and worth nothing: the checks find it out."""

    @reward("loud")
    def loud(samples):
        return samples.x0.mean((1, 2)).numpy()

    rates = []
    go_back = EarlyStopping._go_back
    monkeypatch.setattr(EarlyStopping, "_go_back", lambda self: (go_back(self), rates.append(self.optimizer.param_groups[0]["lr"])))
    settings = replace(SETTINGS, rewards="loud=1", kl=0.0, iterations=8, check_every=4, ema_decay=0.0)
    ppo = PPOSettings(learning_rate=1e-2, clip_coef=5e-2, share=1.0)
    with pytest.raises(TardiffError, match="is worse than its base") as refusal:
        run(base, tmp_path / "out", settings, ppo)
    assert not (tmp_path / "out").exists()
    assert "--allow-worse" in str(refusal.value)
    history = logged(tmp_path / "out.partial")
    assert history[3]["check"]["went_back"]
    assert history[3]["reward/loud"] > history[0]["reward/loud"] + 0.3
    assert history[4]["reward/loud"] < history[0]["reward/loud"] + 0.2  # back at the base
    assert rates[0] == 0.5e-2
    with killed_before(6):  # after it went back
        run(base, tmp_path / "again", settings, ppo)
    with pytest.raises(TardiffError, match="is worse than its base"):
        run(base, tmp_path / "again", settings, ppo)
    assert logged(tmp_path / "again.partial") == history
    worse = run(base, tmp_path / "out", replace(settings, allow_worse=True), ppo)
    assert worse.check.worse
    told = TarDiffPipeline.from_pretrained(tmp_path / "out").card.refinement
    assert (told["rewards"], told["worse"]) == ("loud=1", True)
    del FACTORIES["loud"]


@pytest.mark.slow
def test_ppo_removes_a_shift_of_one_channel(base, tmp_path):
    """Half a standard deviation of heart rate, in a base that is right otherwise; the discriminator's reward alone."""
    shifted = _copy(base[0])
    label = draw_labels("train", shifted.card.class_counts, 512, 0)

    def level(pipeline):
        samples = decoded(pipeline.codec, DiffusionGenerator(pipeline, 6).sample(label, row_seeds(9, range(512))))
        return float(samples.x0[:, 0][samples.chart[:, 0] != ABSENT].mean())

    right = level(shifted)
    with torch.no_grad():
        shifted.unet.leave[2].bias[0] -= 0.28
    shift = level(shifted) - right
    assert 0.4 < shift < 0.6
    settings = RefineSettings(iterations=14, rows=128, steps=6, check_rows=512, ema_decay=0.0)
    ppo = PPOSettings(learning_rate=3e-3, clip_coef=3e-4)
    discriminator = DiscriminatorSettings(width=16, ratio=0.7, batch_size=64, warm_up=60)
    refined = refine(shifted, base[2], tmp_path / "out", settings, ppo, discriminator, progress=False)
    assert abs(level(refined.pipeline) - right) < shift / 2


def test_checks_sample_by_as_many_steps_as_training(base, tmp_path, monkeypatch):
    used, call = [], TarDiffPipeline.__call__
    monkeypatch.setattr(
        TarDiffPipeline, "__call__", lambda self, label, seeds, sampler: (used.append(sampler.steps), call(self, label, seeds, sampler))[1]
    )
    run(base, tmp_path / "out", replace(SETTINGS, allow_worse=True))
    assert used == [4, 4, 4]  # of the base, and after 2 and 3 iterations


@pytest.mark.slow
def test_awm_raises_a_reward_and_resumes(base, clf, tmp_path, killed_before):
    """The same loop, with another probability."""
    settings = replace(SETTINGS, rewards="influence=1", method="awm", kl=0.0, iterations=6, check_every=6, allow_worse=True)
    ppo = PPOSettings(learning_rate=3e-3, clip_coef=1e-2, share=1.0, minibatch_size=64)
    straight = run(base, tmp_path / "out", settings, ppo, classifier=clf[1])
    with killed_before(3):
        run(base, tmp_path / "again", settings, ppo, classifier=clf[1])
    resumed = run(base, tmp_path / "again", settings, ppo, classifier=clf[1])
    assert torch.equal(weights(resumed.pipeline), weights(straight.pipeline))
    rewarded = [line["reward/influence"] for line in logged(tmp_path / "out")]
    assert np.mean(rewarded[-2:]) > rewarded[0]


def test_a_refined_generator_makes_no_claim_of_privacy(base, tmp_path):
    """Its rewards read training rows without noise, whatever its base did."""
    private = _copy(base[0])
    private.card = msgspec.structs.replace(private.card, privacy={"epsilon": 1.0})
    run((private, *base[1:]), tmp_path / "out", replace(SETTINGS, iterations=1, allow_worse=True))
    assert TarDiffPipeline.from_pretrained(tmp_path / "out").card.privacy == {}


BAD = {
    "unknown reward": (["--rewards", "beauty=1"], "unknown reward 'beauty'"),
    "weight not a number": (["--rewards", "fidelity=much"], "the weight must be a number above 0"),
    "influence without classifier": (["--rewards", "influence=1"], "reward influence needs --classifier"),
    "no iterations": (["--iterations", "0"], "--iterations 0: must be at least 1"),
    "negative kl": (["--kl", "-1"], "--kl -1.0"),
    "nothing of a group": (["--discriminator.ratio", "0"], "error: --discriminator.ratio 0.0: must be above 0"),
    "odd width": (["--discriminator.width", "9"], "width 9: give a multiple of 8"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_status_2(case, base, tmp_path, capsys):
    arguments, message = BAD[case]
    with pytest.raises(SystemExit) as stop:
        main(["refine", str(base[1]), "--data", str(base[1].parent / "data"), "--out", str(tmp_path / "out"), *arguments])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert len([line for line in error.splitlines() if line.startswith("tardiff: error: ")]) == 1
    assert message in error
    assert list(tmp_path.iterdir()) == []


def test_data_of_another_codec_or_task_is_refused(base, tmp_path):
    with pytest.raises(TardiffError, match="not the data set that the generator was trained on"):
        refine(base[0], make_dataset(100).completed(), tmp_path / "out", SETTINGS, progress=False)
    with pytest.raises(TardiffError, match="has the task 'unlabelled'"):
        refine(base[0], base[2].unlabelled(), tmp_path / "out", SETTINGS, progress=False)


def test_tracking_says_what_it_needs(base, tmp_path, monkeypatch):
    monkeypatch.setattr("accelerate.utils.is_tensorboard_available", lambda: False)
    with pytest.raises(TardiffError, match=r"--track needs TensorBoard: pip install 'tardiff\[track\]'"):
        run(base, tmp_path / "out", replace(SETTINGS, track=True))


def test_tracking_writes_events(tmp_path):
    pytest.importorskip("tensorboard")
    log = Log(tmp_path / "events")
    log.open()
    log.add({"iteration": 1, "kl": 0.5, "check": {"score": 1.0, "worse": False, "distance": {"value": 0.0}}})
    log.close()
    assert any(file.stat().st_size > 0 for file in (tmp_path / "events").rglob("events.out.tfevents*"))
