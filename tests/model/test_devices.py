"""Nothing on the way from noise to a sample leaves its device but where that is meant; no GPU is needed to see it.

On torch's `meta` device a tensor has no numbers, so whatever looks at one fails; and a spy notes every look on the CPU. The probability
flow is left out: torchdiffeq keeps the times of its steps on the device, and the network's step is read from them.
"""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode

import tardiff
from tardiff.base.device import device_of, here, use_device, wide
from tardiff.base.noise import normal, row_seeds, uniform
from tardiff.classifier.folder import fit_classifier
from tardiff.data.codec import Z_LIMIT, _interpolated, _put_in_order
from tardiff.data.resolution import ABSENT, FIRST_GRID
from tardiff.errors import TardiffError
from tardiff.guidance.build import build_guide
from tardiff.guidance.gradient_guide import gradient_over_x
from tardiff.guidance.log import GuidanceLog
from tardiff.guidance.objectives import log_probability
from tardiff.model.diffusion import noise_schedule
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.model.sampling import dpm_solver, sample
from tardiff.refine.awm import MatchingGenerator
from tardiff.refine.discriminator import DiscriminatorRows, DiscriminatorTrainer
from tardiff.refine.ppo import LossWeights, loss_terms
from tardiff.refine.run import _copy
from tardiff.refine.settings import DiscriminatorSettings
from tardiff.refine.trajectories import DiffusionGenerator
from tardiff.settings import ClassifierSettings, GuidanceSettings, SamplerSettings
from tardiff.synthesis.run import synthesise

META = torch.device("meta")
GUIDES = (GuidanceSettings(), GuidanceSettings(objective="cosine=1,contrastive=1,raw=1,entropy=1", through_denoiser=True))
LOOKS = ("cpu", "numpy", "item", "tolist", "nonzero", "__bool__", "__float__", "__int__", "__index__", "__array__")
MEANT = {
    "model.denoisers.guided": "the time of a step, which the solver keeps on the CPU",
    "model.sampling._reverse": "the times of a scheduler, which are on the CPU, and the state of the random generators",
    "model.pipeline.__call__": "samples come back to be decoded, and are looked at once",
    "data.statics.sample": "descriptors, a few numbers a row, are drawn by a tree on the CPU",
    "data.codec._physical": "decoding",
    "data.codec._put_in_order": "decoding",
    "data.codec.decode": "decoding",
    "data.codec.repaired": "how much decoding had to move",
    "guidance.log.__call__": "four sums a step",
    "synthesis.finish.moved": "one number of a data set",
    "refine.trajectories.of": "where the steps lie",
}
"""Where a tensor's numbers are looked at, and why that is right."""


class Spy(TorchFunctionMode):
    """Notes from where in the package a tensor's numbers are looked at."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_function__(self, function, types, args=(), kwargs=None):
        name = getattr(function, "__name__", "")
        if name in LOOKS or function is torch.equal:
            self.seen.add(self._place())
        return function(*args, **(kwargs or {}))

    @staticmethod
    def _place():
        frame, root = sys._getframe(2), Path(tardiff.__file__).parent
        while frame is not None:
            file = Path(frame.f_code.co_filename)
            if root in file.parents and not frame.f_code.co_name.startswith("<"):
                return ".".join((*file.relative_to(root).with_suffix("").parts, frame.f_code.co_name))
            frame = frame.f_back
        return "outside"


@pytest.fixture
def on_meta(run, clf):
    """A pipeline and a classifier without numbers."""
    return TarDiffPipeline.from_pretrained(run[0]).to(META), clf[1].to(META)


def charted(pipeline, rows):
    shape = rows, len(pipeline.codec.channels), pipeline.codec.steps
    return torch.full(shape, FIRST_GRID, device=META), torch.zeros(rows, dtype=torch.int64, device=META)


@pytest.mark.parametrize("guidance", GUIDES, ids=("default", "all objectives"))
@pytest.mark.parametrize("name", ["ddim", "dpm"])
def test_a_solver_and_a_guide_look_at_no_number(name, guidance, on_meta):
    pipeline, folder = on_meta
    chart, label = charted(pipeline, 7)
    guide = build_guide(pipeline, [folder], guidance, 0.3)
    scheduler = {"ddim": noise_schedule(), "dpm": dpm_solver(1)}[name]
    static = torch.empty(7, pipeline.statics.features, device=META)
    x0 = sample(
        pipeline.with_cfg(2.0, 0.4).denoiser(),
        scheduler,
        label,
        chart,
        seeds=range(7),
        static=static,
        steps=2,  # of which the first is guided
        guide=guide,
        project=pipeline.codec.project,
    )
    assert x0.shape == chart.shape
    assert x0.device == META


def test_charts_look_at_no_number(on_meta):
    pipeline, _ = on_meta
    _, label = charted(pipeline, 3)
    static = torch.empty(3, pipeline.statics.features, device=META)
    assert pipeline.charting.sample(label, range(3), pipeline.codec.steps, static).device == META


@pytest.mark.parametrize("kind", [DiffusionGenerator, MatchingGenerator])
def test_an_update_by_ppo_looks_at_no_number(kind, run):
    generator = kind(TarDiffPipeline.from_pretrained(run[0]).to(META), 4)
    optimizer = torch.optim.Adam(generator.module.parameters())
    rollout = generator.sample(np.arange(6) % 2, row_seeds(0, range(6)))
    rows, advantage = torch.arange(6, device=META), torch.empty(6, device=META)
    scored = generator.score(rollout, rows, rows % 3)
    loss, logged = loss_terms(scored, rollout.log_prob[rows, rows % 3], advantage, advantage, 0.1, LossWeights(kl=0.1))
    loss.backward()
    optimizer.step()
    assert all(tensor.device == META for tensor in (loss, *logged.values()))


def test_a_discriminator_looks_at_no_number(toy, run):
    codec, statics = run[1].codec, run[1].statics
    rows = DiscriminatorRows.of(toy[1].train, codec, statics)
    trainer = DiscriminatorTrainer(rows, None, 2, DiscriminatorSettings(width=16), 1e-3, 0, META)
    assert trainer.logit(rows).device == META


def test_samples_leave_the_device_where_that_is_meant(run, clf):
    with Spy() as spy:
        synthesise(run[1], 8, classifier=clf[1], guidance=GuidanceSettings(strength=0.3), sampler=SamplerSettings(steps=4), progress=False)
        DiffusionGenerator(_copy(run[1]), 4).sample(np.arange(6) % 2, row_seeds(0, range(6)))
    assert spy.seen == MEANT.keys()


def test_noise_is_drawn_where_it_is_wanted():
    for draw in (normal, uniform):
        assert draw("x", [1, 2], 0, (3, 4), META).device == META


def test_a_device_that_the_machine_lacks_is_one_line():
    for name in ("cuda", "mps", "tpu"):
        if name == "cuda" and torch.cuda.is_available():
            continue
        with pytest.raises(TardiffError, match=f"--device {name}: this machine has none; it has cpu"):
            use_device(name)
    assert use_device("cpu") == here() == torch.device("cpu")
    assert use_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_a_pipeline_goes_to_a_device_by_name(run):
    pipeline = TarDiffPipeline.from_pretrained(run[0])
    assert pipeline.to("cpu") is pipeline
    assert pipeline.device == device_of(pipeline.charting) == torch.device("cpu")


@pytest.mark.parametrize("architecture", ["gru", "lstm"])
def test_a_guide_does_without_cudnn_and_nothing_else_does(architecture, toy):
    folder = fit_classifier(toy[1], ClassifierSettings(architecture, width=8, epochs=1))
    used = []
    network = next(module for module in folder.classifier.modules() if isinstance(module, torch.nn.RNNBase))
    network.register_forward_hook(lambda *_: used.append(torch.backends.cudnn.enabled))
    x0, chart = (
        torch.zeros(4, len(folder.codec.channels), folder.codec.steps),
        torch.full((4, len(folder.codec.channels), folder.codec.steps), 2),
    )
    gradient = gradient_over_x(log_probability(folder.classifier), folder.codec.seen, x0, chart, torch.zeros(4, dtype=torch.int64))
    folder.classifier.probability(folder.codec.seen(x0, chart))
    assert gradient.any()
    assert used == [False, True]


def test_maps_on_a_device_are_those_of_records(run):
    codec = run[1].codec
    for value_map in codec.maps:
        score = np.linspace(-1.5 * Z_LIMIT, 1.5 * Z_LIMIT, 301)
        value = _interpolated(torch.from_numpy(score), value_map.score, value_map.value)
        np.testing.assert_allclose(value.numpy(), value_map.to_value(score), rtol=1e-9, atol=1e-9)
        back = _interpolated(value, value_map.value, value_map.score).clamp(-Z_LIMIT, Z_LIMIT)
        np.testing.assert_allclose(back.numpy(), value_map.to_score(value.numpy()), rtol=1e-9, atol=1e-9)


def test_order_on_a_device_is_that_of_records(run):
    codec = run[1].codec
    score = normal("order", range(50), 0, (2, codec.steps))
    chart = (uniform("order", range(50), 0, (2, codec.steps)) < 0.7).long() * FIRST_GRID
    maps = codec.maps[1], codec.maps[2]  # diastolic and systolic
    ordered = codec._in_order(score, chart != ABSENT, [1, 2])
    wanted = np.stack([m.to_value(score[:, k].double().numpy()) for k, m in enumerate(maps)], axis=1)
    _put_in_order(wanted, (chart != ABSENT).numpy(), [0, 1])
    found = np.stack([m.to_value(wide(ordered)[:, k].numpy()) for k, m in enumerate(maps)], axis=1)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-2)


def test_what_a_guide_did_is_summed_once(run):
    log = GuidanceLog()
    run[1](np.zeros(3, dtype=np.int64), row_seeds(0, range(3)), SamplerSettings(steps=4), callback=log)
    assert [record["step"] for record in log.summary()] == [0, 1, 2, 3]
    assert all(record["update"] > 0 for record in log.summary())
