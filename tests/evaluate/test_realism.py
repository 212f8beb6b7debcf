"""What discriminators read, rules, charting, resolution and descriptors, against loops, SciPy and scikit-learn."""

from dataclasses import replace
from itertools import groupby, pairwise

import msgspec
import numpy as np
import pytest
from scipy.stats import linregress, spearmanr
from sklearn.metrics import roc_auc_score

from tardiff.base.noise import stream
from tardiff.cli import main
from tardiff.errors import TardiffError
from tardiff.evaluate.bootstrap import row_weights
from tardiff.evaluate.fidelity import RESAMPLES, Sample, descriptors, missingness, resolution
from tardiff.evaluate.fidelity.distance import Distance, against_floor
from tardiff.evaluate.realism import default_rules, rules_of
from tardiff.evaluate.realism.clinical import clinical, clinical_distance
from tardiff.evaluate.realism.discriminators import FOLDS, _folds
from tardiff.evaluate.realism.profile import profile
from tardiff.evaluate.realism.reasons import in_words
from tardiff.evaluate.realism.records import Records
from tardiff.evaluate.realism.summaries import SUMMARIES, summaries

from .charted import MANIFEST, charted_independently, continuous, shuffled_descriptors, ward


def sample(part):
    return Sample(part, row_weights(len(part), RESAMPLES, stream("test", 0)))


@pytest.fixture(scope="module")
def part():
    """Stays of which some are short."""
    whole = ward(60, 1)
    length = np.where(np.arange(60) % 3, 24, 15).astype(np.int32)
    mask = whole.mask * (np.arange(24) < length[:, None])[:, None]
    mask[0] = 0
    return replace(whole, mask=mask.astype(np.uint8), length=length, values=np.where(mask, whole.values, np.nan).astype(np.float32))


def stretches_of(flags):
    return [len(list(run)) for flag, run in groupby(flags) if flag]


def naive(values, mask, length):
    """The summaries of one channel of one record, by a loop."""
    hours = [t for t in range(length) if mask[t]]
    seen = [float(values[t]) for t in hours]
    gaps = stretches_of([not mask[t] for t in range(length)])
    found = dict.fromkeys(SUMMARIES, np.nan) | {"count": len(hours), "gaps": len(gaps), "longest_gap": max(gaps, default=0)}
    if not hours:
        return found
    found |= {"first_hour": hours[0], "last_hour": hours[-1], "first": seen[0], "last": seen[-1]}
    found |= {"mean": np.mean(seen), "minimum": min(seen), "maximum": max(seen), "sd": np.std(seen)}
    moves = [abs(b - a) for a, b in pairwise(seen)]
    if moves:
        found |= {"change": np.mean(moves), "largest_change": max(moves), "repeats": np.mean([move < 1e-4 for move in moves])}
    for name, step in resolution.GRIDS.items():
        found[name] = np.mean([abs(v / step - round(v / step)) * step < 2e-4 for v in seen])
    return found


def test_summaries_are_those_of_a_loop(part):
    found = summaries(part)
    for i in range(len(part)):
        for c in range(len(MANIFEST.channels)):
            expected = naive(part.values[i, c], part.mask[i, c], part.length[i])
            assert dict(zip(SUMMARIES, found[i, c], strict=True)) == pytest.approx(expected, abs=1e-4, nan_ok=True)


def test_records_keep_time_since_the_last_value(part):
    records = Records.of(part, part)
    channels, steps = part.mask.shape[1:]
    values, mask, since, whole, tenths = np.split(records.series, 5, axis=1)
    assert (mask == part.mask).all()
    assert values[part.mask == 0].max() == 0
    assert values[part.mask == 1].std() == pytest.approx(1, abs=0.2)
    for c in range(channels):
        last = None
        for t in range(steps):
            last = t if part.mask[1, c, t] else last
            assert since[1, c, t] == pytest.approx(1 if last is None else (t - last) / steps)
    assert (whole <= tenths).all()
    assert whole[:, 0].sum() == resolution.on_grid(part.values[:, 0], 1.0).sum()
    assert records.digest != Records.of(part, part.take(np.arange(30))).digest


def test_values_lie_on_grids_in_spite_of_float32():
    for step in resolution.GRIDS.values():
        multiples = (np.arange(0, 3000) * step).astype(np.float32)
        assert resolution.on_grid(multiples, step).all()
        assert not resolution.on_grid(multiples + np.float32(0.04), step).any()
    assert not resolution.on_grid(np.array([np.nan], np.float32), 1.0).any()


def test_lengths_of_runs_and_gaps():
    flags = np.array([[[1, 1, 0, 1, 0, 0]]], bool)
    assert missingness.stretches(flags).tolist() == [[[0, 2, 0, 1, 0, 0]]]
    assert missingness.stretches(~flags).tolist() == [[[0, 0, 1, 0, 0, 2]]]


def test_charting_and_resolution_are_counts(part):
    s = sample(part)
    never = [np.mean([not row.any() for row in part.mask[:, c]]) for c in range(5)]
    assert missingness.never_charted(s)[0] == pytest.approx(never)
    runs = np.bincount([n for row in part.mask[:, 3] for n in stretches_of(row)], minlength=25)[1:]
    assert missingness.run_lengths(s)[0, 3] == pytest.approx(runs / runs.sum(), abs=1e-6)
    gaps = [n for row, end in zip(part.mask[:, 3], part.length, strict=True) for n in stretches_of(row[:end] == 0)]
    assert missingness.gap_lengths(s)[0, 3] == pytest.approx(np.bincount(gaps, minlength=25)[1:] / len(gaps), abs=1e-6)
    table = profile(s, MANIFEST)
    assert table["charting"]["temp"]["gap_length"] == pytest.approx(np.mean(gaps), rel=1e-5)
    seen = part.values[:, 0][part.mask[:, 0] == 1].astype(float)
    assert table["resolution"]["hr"]["whole"] == pytest.approx(np.mean(np.abs(seen - seen.round()) < 1e-3))
    moves = [abs(b - a) for row in part.values[:, 0] for a, b in pairwise(row[np.isfinite(row)].astype(float))]
    assert table["resolution"]["hr"]["change"] == pytest.approx(np.mean(moves), rel=1e-6)
    assert table["resolution"]["hr"]["repeats"] == pytest.approx(np.mean(np.array(moves) < 1e-4))
    assert missingness.total_variation(np.array([0.5, 0.5, 0]), np.array([0, 0.5, 0.5])) == 0.5


def test_pairs_of_descriptors_are_scipys_and_scikit_learns():
    stays = ward(400, 3)
    age, male, height, unit = stays.static.T.astype(float)
    known = np.isfinite(height)
    found = {(p["first"], p["second"]): (p["measure"], p["value"]) for p in profile(sample(stays), MANIFEST)["pairs"]}
    assert found["age", "height"] == ("spearman", pytest.approx(spearmanr(age[known], height[known]).statistic, abs=1e-6))
    assert found["sex=male", "height"] == ("auroc", pytest.approx(roc_auc_score(male[known], height[known]), abs=1e-6))
    assert found["unit=medical", "age"] == ("auroc", pytest.approx(roc_auc_score(unit == 1, age), abs=1e-6))
    assert found["sex=male", "unit=cardiac"] == ("phi", pytest.approx(np.corrcoef(male, unit == 0)[0, 1], abs=1e-6))
    assert found["sex=male", "height"][1] > 0.85
    assert len(found) == 1 + 1 + 1 + 3 + 3 + 3


def test_slopes_are_those_of_a_regression():
    stays = ward(400, 3)
    means = np.array([np.nanmean(row) if np.isfinite(row).any() else np.nan for row in stays.values[:, 4].astype(float)])
    known = np.isfinite(means)
    expected = linregress(stays.static[known, 0].astype(float), means[known])
    found = profile(sample(stays), MANIFEST)["slopes"]
    resp = next(s for s in found if (s["channel"], s["descriptor"]) == ("resp", "age"))
    assert resp["slope"] == pytest.approx(expected.slope, rel=1e-5)
    assert resp["standard_error"] == pytest.approx(expected.stderr, rel=1e-5)
    heart = next(s for s in found if (s["channel"], s["descriptor"]) == ("hr", "age"))
    assert heart["slope"] == pytest.approx(-0.02 * 12, abs=4 * heart["standard_error"])


def test_descriptors_shuffled_between_rows_are_found_in_pairs_only():
    train, other = sample(ward(500, 1)), ward(500, 2)
    floor, same = (descriptors.distances(sample(ward(500, seed)), train, MANIFEST) for seed in (3, 2))
    lost = descriptors.distances(sample(shuffled_descriptors(other)), train, MANIFEST)
    zero = descriptors.distances(train, train, MANIFEST)
    assert all(np.nanmax(np.abs(distance.draws[0])) < 1e-12 for distance in zero.values())
    paired = against_floor(lost, floor)
    assert not paired["descriptors"]["worse"]
    assert not paired["descriptors_missing"]["worse"]
    assert paired["descriptor_pairs"]["worst"]["name"] == "sex, height"
    assert paired["descriptor_pairs"]["worse"]
    assert paired["descriptor_slopes"]["worst"]["name"] == "hr on age"
    assert paired["descriptor_slopes"]["worse"]
    assert not any(found["worse"] for found in against_floor(same, floor).values())


def test_a_data_set_without_descriptors_has_no_such_number():
    bare, stays = msgspec.structs.replace(MANIFEST, statics=()), sample(ward(50, 1))
    assert descriptors.distances(stays, stays, bare) == {}
    assert profile(stays, bare)["pairs"] == []


def test_the_paired_test_names_the_worst_channel_and_finds_nothing_in_noise():
    random = np.random.default_rng(0)
    shared = random.normal(0, 1, (201, 1))

    def distance(centre):
        draws = np.abs(centre) + shared + random.normal(0, 0.1, (201, 3))
        draws[0] = np.abs(centre) + 5
        return {"ks": Distance(draws + 5 * (np.arange(201) > 0)[:, None], 100, ("a", "b", "c"))}

    even = against_floor(distance(np.zeros(3)), distance(np.zeros(3)))["ks"]
    assert not even["worse"]
    one = against_floor(distance(np.array([0, 0.6, 0])), distance(np.zeros(3)))["ks"]
    assert one["worse"]
    assert one["worst"]["name"] == "b"
    assert one["worst"]["value"] == pytest.approx(0.6)
    assert 0 < one["worst"]["low"] < 0.6
    wide = Distance(np.where(np.arange(201) > 0, random.normal(0.8, 0.01, 201), 0.8), 100, signed=True)
    less = Distance(wide.draws - 0.2, 100, signed=True)
    assert against_floor({"coverage": less}, {"coverage": wide})["coverage"]["worse"]
    assert not against_floor({"coverage": wide}, {"coverage": less})["coverage"]["worse"]
    nothing = Distance(np.full((201, 2), np.nan), 100, ("a", "b"))
    assert against_floor({"ks": nothing}, {"ks": nothing})["ks"] == {
        "mean": {"value": None, "low": None, "high": None, "n": 100, "seeds": None},
        "worst": None,
        "worse": False,
    }


def test_all_rows_of_a_patient_are_in_one_fold():
    subject = np.repeat(np.arange(100), 3)
    fold = _folds(subject, np.random.default_rng(0)).reshape(100, 3)
    assert (fold == fold[:, :1]).all()
    assert np.bincount(fold[:, 0]).tolist() == [100 // FOLDS] * FOLDS


def test_reasons_are_words():
    assert in_words("whole", MANIFEST, 0, 0.866, 0.003) == "hr: values that are whole numbers 0.3 % (real 86.6 %)"
    said = in_words("change", MANIFEST, 3, 0.41, 0.52)
    assert said == "temp: change from one charted value to the next 0.52 (real 0.41 °C)"
    two_hours = msgspec.structs.replace(MANIFEST, step_hours=2.0)
    assert in_words("longest_gap", two_hours, 4, 3.0, None) == "resp: longest gap none (real 6 h)"
    assert in_words("first_hour", MANIFEST, 4, 3.8, 6.1) == "resp: mean time into a stay of the first value 6.1 (real 3.8 h)"


def test_rules_are_counted_over_the_hours_that_have_every_channel():
    stays = charted_independently(ward(80, 4))
    hr, sbp, dbp, temp, _ = stays.values.swapaxes(0, 1).astype(float)
    rules = default_rules() | rules_of({"mine": "not (hr >= 90 or sbp < 100) and abs(-temp + 37) * 2 < 1"}, "mine.yaml")
    found = clinical({"train": sample(stays), "held-out": sample(stays), "synthetic/a": sample(stays)}, MANIFEST, rules)
    value = {rule["name"]: [group["real"]["value"] for group in rule["groups"]] for rule in found["rules"]}
    ratio, pressure = hr / sbp, sbp - dbp
    assert value["shock index above 0.9"][0] == pytest.approx((ratio[np.isfinite(ratio)] > 0.9).mean())
    both = np.isfinite(hr + temp)
    assert value["fever with tachycardia"][0] == pytest.approx(((temp > 38.3) & (hr > 90))[both].mean(), abs=1e-9)
    for k, label in ((1, 0), (2, 1)):
        assert value["pulse pressure"][k] == pytest.approx(np.nanmean(pressure[stays.label == label]), rel=1e-6)
    every = np.isfinite(hr + sbp + temp)
    mine = ~((hr >= 90) | (sbp < 100)) & (np.abs(37 - temp) < 0.5)
    assert value["mine"][0] == pytest.approx(mine[every].mean())
    assert [rule["groups"][0]["group"] for rule in found["rules"]] == [None] * len(found["rules"])
    skipped = {rule["name"]: rule["missing"] for rule in found["skipped"]}
    assert skipped == {"mean pressure off (sbp + 2 dbp) / 3": ["map"], "low oxygen with fast breathing": ["spo2"]}
    distance = clinical_distance(sample(stays), sample(stays), MANIFEST, rules)["clinical"]
    assert np.nanmax(np.abs(distance.draws[0])) < 1e-12
    hotter = replace(stays, values=stays.values + np.array([0, 0, 0, 3, 0], np.float32)[:, None])
    assert clinical_distance(sample(hotter), sample(stays), MANIFEST, rules)["clinical"].draws[0, 1] > 0.3


def test_division_by_nothing_is_no_hour():
    stays = ward(5, 1)
    rule = rules_of({"r": "hr / (sbp - sbp)"}, "x")["r"]
    assert np.isnan(rule.at(stays, MANIFEST)).all()


@pytest.mark.parametrize(
    "expression",
    [
        *("hr >", "__import__('os')", "hr.real", "hr ** 9", "[hr]", "hr if sbp else dbp", "abs(hr, sbp)", "max(hr)", "'a' + hr", "1 > 0"),
        *(
            "(hr > 3) + 1",
            "hr and sbp",
            "not hr",
            "lambda: hr",
            "hr > 'a'",
            "True",
            "hr in sbp",
            "hr\x00",
            "",
            3,
            None,
            "(" * 400 + "hr" + ")" * 99,
        ),
    ],
)
def test_what_is_no_rule_is_refused(expression):
    with pytest.raises(TardiffError, match=r"mine\.yaml: rule 'r': "):
        rules_of({"r": expression}, "mine.yaml")


def test_a_file_of_rules_is_read_first(toy, tmp_path, capsys):
    for text, words in (
        ("shock: hr /", "no expression over channels"),
        ("- hr", "must be lines of `name: expression`"),
        ("a: [", "not valid YAML"),
    ):
        (tmp_path / "rules.yaml").write_text(text)
        with pytest.raises(SystemExit) as stop:
            main([*f"evaluate --real {toy[0]} --synthetic {toy[0]} --rules {tmp_path / 'rules.yaml'} --out {tmp_path / 'out'}".split()])
        assert stop.value.code == 2
        assert words in capsys.readouterr().err


def test_noise_leaves_no_value_on_a_grid():
    assert (profile(sample(continuous(ward(40, 1))), MANIFEST)["resolution"]["hr"]["whole"]) < 0.02
