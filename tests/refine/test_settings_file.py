import re
from dataclasses import replace
from pathlib import Path

import pytest

from data_prep.yaml_files import read_yaml
from tardiff.errors import TardiffError
from tardiff.refine.settings import DiscriminatorSettings, PolicySettings, PPOSettings
from tardiff.refine.settings_file import settings_from

DEFAULT = PolicySettings()


def given(text, tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    return settings_from(read_yaml(path), DEFAULT, "policy.yaml")


def test_the_page_shows_every_setting_at_its_default(tmp_path):
    """So changing any default takes the page along."""
    page = (Path(__file__).parents[2] / "docs" / "explanation" / "ppo.md").read_text()
    (example,) = re.findall(r"```yaml\n(.*?)```", page, re.S)
    ppo, discriminator = PPOSettings(1.0, 1.0, 1, 1, 0.5, 9.0), DiscriminatorSettings(8, 1.0, 1, 1, 1, 0.0, 0.0, 1.0)
    others = PolicySettings(1, 8, 1, 1, 0.5, 1, 64, 0.0, 0.0, ppo, discriminator)
    (tmp_path / "policy.yaml").write_text(example)
    assert settings_from(read_yaml(tmp_path / "policy.yaml"), others, "policy.yaml") == DEFAULT


@pytest.mark.parametrize("text", ["", "# nothing", "{}", "ppo:\n", "ppo: {}\ndiscriminator:\n"])
def test_what_is_not_given_keeps_its_default(text, tmp_path):
    assert given(text, tmp_path) == DEFAULT


def test_what_is_given_takes_its_place(tmp_path):
    """In nested settings, too, beside defaults of the record policy; 1e-3, which YAML takes for a text, is a number."""
    changed = given("iterations: 7\nppo: {clip_coef: 1e-3}\ndiscriminator: {r1: 2}\n", tmp_path)
    ppo, discriminator = replace(DEFAULT.ppo, clip_coef=0.001), replace(DEFAULT.discriminator, r1=2.0)
    assert changed == replace(DEFAULT, iterations=7, ppo=ppo, discriminator=discriminator)


BAD = {
    "colour: red": "unknown field 'colour' \\(known: iterations, rows",
    "ppo: {clip: 1}": "ppo: unknown field 'clip' \\(known: learning_rate, clip_coef",
    "ppo: {kl: 1}": "ppo: unknown field 'kl'",
    "iterations: many": "iterations: Expected `int`, got `str`",
    "iterations: 2.5": "iterations: Expected `int`, got `float`",
    "iterations: true": "iterations: Expected `int`, got `bool`",
    "ema_decay: much": "ema_decay: Expected `float`, got `str`",
    "iterations: 0": "iterations 0: must be at least 1",
    "vf_coef: -1": "vf_coef -1.0: must be at least 0",
    "ppo: {max_grad_norm: 0}": "ppo: max_grad_norm 0.0: must be above 0",
    "ppo: {learning_rate: .nan}": "ppo: learning_rate nan: must be above 0",
    "discriminator: {width: 12}": "discriminator: width 12: give a multiple of 8",
    "discriminator: 5": "discriminator: expected fields with names",
    "- 1": "expected fields with names",
}


@pytest.mark.parametrize("text", BAD)
def test_the_file_and_the_field_are_named(text, tmp_path):
    with pytest.raises(TardiffError, match=f"^policy.yaml: {BAD[text]}"):
        given(text, tmp_path)
