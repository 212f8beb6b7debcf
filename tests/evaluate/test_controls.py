"""Positive controls: what is wrong with a set is found, and real rows are told from real rows by nobody."""

import numpy as np
import pytest

from tardiff.evaluate.fidelity import draw_samples
from tardiff.evaluate.fidelity.distance import against_floor
from tardiff.evaluate.fidelity.run import value_distances
from tardiff.evaluate.realism import default_rules, discriminate, discriminators, realism
from tardiff.settings import EvaluateSettings

from .charted import MANIFEST, charted_independently, continuous, one_digit_more, rough, shuffled_descriptors, ward

THREE_FITS = EvaluateSettings(models=("trees",), seeds=3, workers=1)


def samples_of(train, held, **others):
    return draw_samples({"train": train, "held-out": held} | {f"synthetic/{name}": other for name, other in others.items()}, 0)


def told(train, held, settings=THREE_FITS, **others):
    """By set the AUROC by discriminator, and what gives the set away."""
    samples = samples_of(train, held, **others)
    found = discriminate(samples, settings)
    reasons = realism(samples, found, MANIFEST, default_rules())["reasons"]

    def auroc(name):
        return {key.removeprefix("told_apart_"): d.draws[0].mean() for key, d in found.distances[f"synthetic/{name}"].items()}

    return {name: (auroc(name), [reason["words"] for reason in reasons[name]]) for name in others}


@pytest.fixture(scope="module")
def rows():
    return ward(400, 1), ward(400, 2), ward(400, 3)


@pytest.fixture(scope="module")
def found(rows):
    """What is told of every spoilt set, by fewer trees than an evaluation has: what these find is plain."""
    train, held, other = rows
    sets = {f"digit {channel}": one_digit_more(other, channel) for channel in (0, 3)}
    sets |= {"continuous": continuous(other), "rough": rough(other, train, 0.05)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(discriminators, "ROUNDS", 40)
        return told(train, held, **sets, mask=charted_independently(other), shuffled=shuffled_descriptors(other))


def test_real_rows_are_told_from_real_rows_by_nobody():
    auroc, words = told(ward(1200, 1), ward(1200, 2), x=ward(1200, 3))["x"]
    assert auroc.keys() == {"trees", "charting", "descriptors"}
    assert list(auroc.values()) == pytest.approx([0.5] * 3, abs=0.03)
    assert words == []


def test_values_without_resolution_are_found(found):
    auroc, words = found["continuous"]
    assert auroc["trees"] > 0.99
    assert sum("values that are whole numbers 0." in said for said in words) >= 3
    assert 0.4 < auroc["charting"] < 0.6


def test_restless_values_on_the_right_levels_are_found(found):
    auroc, words = found["rough"]
    assert auroc["trees"] > 0.9
    assert len(words) == 5


def test_a_mask_drawn_hour_by_hour_is_found_by_the_mask_alone(rows, found):
    train, held, other = rows
    auroc, words = found["mask"]
    assert auroc["charting"] > 0.65
    assert any(said.startswith("resp: ") for said in words)
    samples = samples_of(train, held, x=charted_independently(other))
    floor, ours = (value_distances(samples[role], samples["train"], MANIFEST) for role in ("held-out", "synthetic/x"))
    against = against_floor(ours, floor)
    assert against["never_charted"]["worst"]["name"] == "resp"
    for key in ("never_charted", "run_lengths", "gap_lengths", "co_observation"):
        assert against[key]["worse"], key
    assert not against["observed_rate"]["worse"]
    assert not against["observed_rate_by_step"]["worse"]


@pytest.mark.parametrize("channel", [0, 3])
def test_one_rounding_removed_is_found_and_named(channel, found):
    auroc, words = found[f"digit {channel}"]
    assert auroc["trees"] > 0.95
    assert words[0].startswith(f"{MANIFEST.channel_names[channel]}: values that are ")


def test_shuffled_descriptors_are_found_by_descriptors_alone(found):
    auroc, _ = found["shuffled"]
    assert auroc["descriptors"] > 0.57
    assert 0.4 < auroc["trees"] < 0.6


@pytest.mark.slow
def test_a_gru_sees_resolution_and_no_difference_between_real_rows(rows):
    train, held, other = rows
    settings = EvaluateSettings(models=("gru",), seeds=3, workers=1)
    assert told(train, held, settings, x=continuous(other))["x"][0]["gru"] > 0.97
    assert told(ward(1200, 1), held, settings, x=ward(1200, 3))["x"][0]["gru"] == pytest.approx(0.5, abs=0.06)


@pytest.fixture(scope="module")
def halves(real_data, tmp_path_factory):
    """Two halves of the training rows of PhysioNet 2012."""
    from data_prep import PrepareSettings, prepare

    out = tmp_path_factory.mktemp("p12") / "data"
    data = prepare(PrepareSettings(source="physionet2012", raw=real_data / "physionet2012", out=out, split="by-set"))
    order = np.random.default_rng(0).permutation(len(data.train))
    half = len(order) // 2
    return data.manifest, data.train.take(order[:half]), data.train.take(order[half:])


@pytest.mark.slow
def test_controls_on_real_rows(halves):
    manifest, train, other = halves
    temp = manifest.channel_names.index("temp")
    sets = {
        "real": other,
        "continuous": continuous(other),
        "rough": rough(other, train, 0.05),
        "mask": charted_independently(other),
        "digit": one_digit_more(other, temp),
        "shuffled": shuffled_descriptors(other),
    }
    samples = draw_samples({"train": train} | {f"synthetic/{name}": split for name, split in sets.items()}, 0)
    found = discriminate(samples, EvaluateSettings(models=("trees",), seeds=3))
    auroc = {name: {key: d.draws[0].mean() for key, d in found.distances[f"synthetic/{name}"].items()} for name in sets}
    assert list(auroc["real"].values()) == pytest.approx([0.5] * 3, abs=0.03)
    for name, key, least in (
        ("continuous", "trees", 0.99),
        ("rough", "trees", 0.9),
        ("mask", "charting", 0.65),
        ("digit", "trees", 0.95),
        ("shuffled", "descriptors", 0.65),
    ):
        assert auroc[name][f"told_apart_{key}"] > least, name
    samples = samples_of(train, other, x=sets["shuffled"])
    floor, ours = (value_distances(samples[role], samples["train"], manifest) for role in ("held-out", "synthetic/x"))
    pairs = against_floor(ours, floor)["descriptor_pairs"]
    assert pairs["worse"]
    assert pairs["worst"]["name"] in ("Gender, Height", "Height, Gender", "Height, AdmissionWeight", "Age, ICUType")
