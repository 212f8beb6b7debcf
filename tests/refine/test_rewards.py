import re
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

import tardiff.refine.reward_terms  # noqa: F401 (it registers the rewards)
from tardiff.data.codec import Codec
from tardiff.data.dataset import Dataset
from tardiff.data.statics import StaticModel
from tardiff.errors import TardiffError
from tardiff.refine import reward
from tardiff.refine.discriminator import DiscriminatorRows, DiscriminatorTrainer
from tardiff.refine.rewards import FACTORIES, Context, WeightedRewards, parse_weights
from tardiff.refine.settings import DiscriminatorSettings
from tests.conftest import make_dataset, samples_of


@pytest.fixture(scope="module")
def context(clf):
    data = make_dataset().completed()
    codec = clf[1].codec
    statics = StaticModel.fit(data.train, data.manifest)
    trainer = DiscriminatorTrainer(DiscriminatorRows.of(data.train, codec, statics), None, 2, DiscriminatorSettings(width=16), 1e-3, 0)
    return Context(codec, statics, data, trainer, clf[1])


def rewarded(name, context, split):
    return np.asarray(FACTORIES[name](context)(samples_of(context.codec, split)))


BAD = {
    "discriminator=1,beauty=2": "unknown reward 'beauty' \\(known: discriminator, influence",
    "fidelity=much": "--rewards fidelity=much: the weight must be a number above 0",
    "fidelity": "the weight must be a number",
    "fidelity=-1": "the weight must be a number above 0",
    "fidelity=nan": "the weight must be a number above 0",
    "fidelity=1,fidelity=2": "fidelity is named twice",
    "": "unknown reward ''",
}


@pytest.mark.parametrize("text", BAD)
def test_bad_weights_are_named(text):
    with pytest.raises(TardiffError, match=BAD[text]):
        parse_weights(text)


def test_weights_are_read():
    assert parse_weights("discriminator=1, fidelity=0.25") == {"discriminator": 1.0, "fidelity": 0.25}


@pytest.mark.parametrize("name", ["influence", "value"])
def test_rewards_that_serve_a_classifier_need_one(name, context):
    with pytest.raises(TardiffError, match=f"reward {name} needs --classifier"):
        WeightedRewards.of(f"{name}=1", replace(context, classifier=None))


@pytest.mark.parametrize("name", list(FACTORIES))
def test_every_reward_is_a_finite_number_a_sample(name, context):
    result = rewarded(name, context, context.data.split("test"))
    assert result.shape == (len(context.data.split("test")),)
    assert np.isfinite(result).all()
    assert result.std() > 0 or name == "privacy"


def test_copies_are_faithful_and_not_private(context):
    train, test = context.data.train, context.data.split("test")
    assert rewarded("fidelity", context, train) == pytest.approx(0, abs=1e-6)
    assert (rewarded("fidelity", context, test) < 0).all()
    assert rewarded("privacy", context, train) == pytest.approx(-1, abs=1e-6)
    assert rewarded("privacy", context, test).mean() > -0.1  # strangers pay nothing, or nearly


def test_jumps_and_values_at_their_limits_are_implausible(context):
    test = context.data.split("test")
    values = test.values.copy()
    values[0, 0, ::2], values[0, 0, 1::2] = 0, 300
    mask = test.mask.copy()
    mask[0, 0] = 1
    before, after = rewarded("plausibility", context, test), rewarded("plausibility", context, replace(test, values=values, mask=mask))
    assert after[0] < before[0] - 0.1
    assert np.allclose(after[1:], before[1:])


def test_limits_at_which_real_values_stand_are_nothing_strange(context):
    """A saturation of 100 %, a urine output of 0."""
    limit = context.data.manifest.channels[0].limits[1]

    def full(split, rows):
        values, mask = split.values.copy(), split.mask.copy()
        values[rows, 0], mask[rows, 0] = limit, 1
        return replace(split, values=values, mask=mask)

    data = context.data
    usual = Dataset(data.manifest, data.splits | {"train": full(data.train, slice(0, 20))})
    test = full(data.split("test"), slice(0, 1))
    strange, plain = rewarded("plausibility", context, test), rewarded("plausibility", replace(context, data=usual), test)
    assert plain[0] > strange[0] + 0.1
    assert np.allclose(strange[1:], rewarded("plausibility", context, data.split("test"))[1:])


def test_records_of_one_step_have_no_spectrum_and_no_jumps(context):
    data = context.data
    first = {name: replace(split, values=split.values[..., :1], mask=split.mask[..., :1]) for name, split in data.splits.items()}
    short = Dataset(msgspec.structs.replace(data.manifest, steps=1), first).completed()
    one = replace(context, codec=Codec.fit(short.train, short.manifest), data=short)
    with pytest.raises(TardiffError, match="records of one step have no spectrum"):
        rewarded("spectral", one, short.train)
    limit = data.manifest.channels[0].limits[1]
    high = replace(short.train, values=np.full_like(short.train.values, limit), mask=np.ones_like(short.train.mask))
    assert rewarded("plausibility", one, short.train).mean() > rewarded("plausibility", one, high).mean()


def test_spectral_reward_asks_the_batch_not_the_patient(context):
    """Among flat records lively ones are good; among real ones none is asked to be average."""
    train = context.data.train
    values = np.where(train.mask == 1, np.float32(80), np.nan)
    values[:40] = train.values[:40]
    result = rewarded("spectral", context, replace(train, values=values))
    assert result[:40].mean() > result[40:].mean() + 0.5
    assert abs(rewarded("spectral", context, train)).mean() < 0.05


def test_a_channel_that_real_rows_never_chart_does_not_outweigh_the_spectrum_of_all_others(context):
    train = context.data.train
    blank = replace(train, values=train.values.copy(), mask=train.mask.copy())
    blank.values[:, 0], blank.mask[:, 0] = np.nan, 0
    silent = replace(context, data=Dataset(context.data.manifest, {**context.data.splits, "train": blank}).completed())
    assert abs(rewarded("spectral", silent, train)).max() < 100


def test_influence_and_value_prefer_rightly_labelled_rows(context):
    train = context.data.train
    wrong = replace(train, label=1 - train.label)
    for name in ("influence", "value"):
        assert rewarded(name, context, train).mean() > rewarded(name, context, wrong).mean()


def test_rewards_are_standardised_before_they_are_weighted(context):
    """A reward's unit does not matter, nor does a class that has more of it."""
    samples = samples_of(context.codec, context.data.split("test"))
    noise = np.random.default_rng(0).normal(size=(2, len(samples.label)))
    big = WeightedRewards({"a": lambda s: 1e6 * noise[0] + 1e8 * s.label, "b": lambda s: noise[1]}, {"a": 1.0, "b": 1.0})
    plain = WeightedRewards({"a": lambda s: noise[0], "b": lambda s: noise[1]}, {"a": 1.0, "b": 1.0})
    assert np.allclose(big(samples)[0], plain(samples)[0])
    assert big(samples)[1]["reward/b"] == pytest.approx(noise[1].mean())
    only = WeightedRewards({"a": lambda s: noise[0], "b": lambda s: noise[1]}, {"a": 1.0, "b": 1e-9})
    assert np.corrcoef(only(samples)[0][samples.label == 0], noise[0][samples.label == 0])[0, 1] == pytest.approx(1)


def test_a_reward_that_is_no_number_is_refused(context):
    samples = samples_of(context.codec, context.data.split("test"))
    with pytest.raises(TardiffError, match=rf"reward odd must be finite, got nan for sample 0 of {len(samples.label)}"):
        WeightedRewards({"odd": lambda s: np.full(len(s.label), np.nan)}, {"odd": 1.0})(samples)
    with pytest.raises(TardiffError, match=r"reward odd must give one number a sample, got shape \(\)"):
        WeightedRewards({"odd": lambda s: np.array(1.0)}, {"odd": 1.0})(samples)


def test_a_reward_of_your_own_as_the_documentation_shows_it(context):
    text = (Path(__file__).parents[2] / "docs" / "how-to" / "own-guide.md").read_text()
    script = next(block for block in re.findall(r"```python\n(.*?)```", text, re.S) if "@reward" in block)
    definition = script[: script.index("pipeline, data")].strip()
    assert len([line for line in definition.splitlines() if line and "import" not in line]) <= 5
    names = {}
    exec(definition, names)
    (name,) = re.findall(r'@reward\("(.*?)"\)', definition)
    weights = parse_weights(f"discriminator=1,{name}=0.3")
    assert rewarded(name, context, context.data.split("test")).shape == (len(context.data.split("test")),)
    assert name in weights
    del FACTORIES[name]
    assert reward is names["reward"]
