"""What a sample depends on is frozen while the harness runs: a changed default would make its figures another package's."""

import dataclasses

import pytest
import yaml

from experiments.harness.protocol import HERE
from tardiff.model import charting, diffusion, training
from tardiff.refine import settings as refine
from tardiff.settings import (
    AdaptSettings,
    ClassifierSettings,
    GuidanceSettings,
    SamplerSettings,
    SelectionSettings,
    TrainSettings,
)

FROZEN = yaml.safe_load((HERE / "frozen.yaml").read_text())
SETTINGS = {
    "train": TrainSettings,
    "classifier": ClassifierSettings,
    "guidance": GuidanceSettings,
    "selection": SelectionSettings,
    "sampler": SamplerSettings,
    "adapt": AdaptSettings,
    "refine": refine.RefineSettings,
    "policy": refine.PolicySettings,
}


@pytest.mark.parametrize("name", SETTINGS)
def test_defaults_are_those_that_the_figures_are_of(name):
    assert _plain(dataclasses.asdict(SETTINGS[name]())) == FROZEN[name]


def test_constants_of_training_are_those_that_the_figures_are_of():
    here = {name: getattr(training, name) for name in ("WARM_UP", "LOW_NOISE", "PEAKS", "SHIFT", "STRETCH", "HIDDEN")}
    of_charts = {name: getattr(charting, name) for name in ("KEEP", "LAGS", "GAPS", "HEADS")}
    assert _plain(here | of_charts | {"PROCESS": diffusion.PROCESS}) == FROZEN["constants"]


def _plain(value):
    if isinstance(value, dict):
        return {key: _plain(of) for key, of in value.items()}
    return [_plain(of) for of in value] if isinstance(value, list | tuple) else value
