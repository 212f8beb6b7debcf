"""What the harness's tables and claims say of a ledger."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from experiments.harness import claims as claiming
from experiments.harness.choose import choice
from experiments.harness.draws import condensed, difference, holm, over_seeds, spread_out
from experiments.harness.protocol import Cell, load
from experiments.harness.tables import BEST_RIVAL, markdown, picture, read, report, section
from tardiff.base.ledger import Ledger
from tardiff.errors import InputError
from tardiff.evaluate.bootstrap import packed

TOY = Path(__file__).with_name("toy_protocol.yaml")
PROTOCOL = load(TOY)


def cell(study, row, seed, auprc, *, column="added", size="0", validation=0.3, slope=1.0):
    """A cell as the harness writes it: two judges, .1 apart; resamples move with the number."""
    noise = np.random.default_rng(7).normal(0, 0.02, 30)
    figures = {
        judge: {"auprc": value, "slope": slope, "validation": validation, "draws": condensed(np.append(value, value + noise))}
        for judge, value in (("trees", auprc - 0.05), ("logistic", auprc + 0.05))
    }
    line = {
        "study": study,
        "row": row,
        "seed": seed,
        "commit": "abc",
        "protocol": PROTOCOL.digest(Cell(study, row, seed)),
        "seconds": 60.0,
        column: figures if column == "added" else {size: figures},
    }
    return line | {"costs": {"trts": 0.7 + 0.01 * seed, "near_copies": 0.0}}


@pytest.fixture
def ledger(tmp_path):
    found = Ledger(tmp_path / "results.jsonl")
    for seed in range(3):
        for row, auprc, validation in (("none", 0.30, 0.9), ("tuned", 0.32, 0.3), ("smote", 0.31, 0.4)):
            found.add(cell("main", row, seed, auprc + 0.01 * seed, validation=validation))
        for row, auprc in (("unguided", 0.33), ("default", 0.36)):
            of = cell("main", row, seed, auprc + 0.01 * seed)
            found.add(of | {"alone": cell("main", row, seed, auprc - 0.1, column="alone")["alone"]})
    return found


def test_draws_come_back_within_half_precision():
    draws = np.append(0.33, 0.33 + np.random.default_rng(0).normal(0, 0.03, 200))
    text = condensed(draws)
    np.testing.assert_allclose(spread_out(text), draws, atol=3e-5)
    assert spread_out(text)[0] == pytest.approx(0.33, abs=1e-7)
    assert condensed(packed(draws)) == condensed(packed(draws).encode().decode())
    assert len(text) < 600


def test_a_difference_pairs_patients_and_is_students_over_seeds():
    noise = np.random.default_rng(1).normal(0, 0.1, 401)
    theirs = dict.fromkeys(range(4), 0.5 + noise)
    same = {seed: draws + 0.1 for seed, draws in theirs.items()}
    assert over_seeds(difference(same, theirs)) == pytest.approx((0.1, 0.1, 0.1))  # the patients' noise is shared, the seeds do not differ
    apart = {seed: draws + 0.1 * seed for seed, draws in theirs.items()}
    expected = stats.t.interval(0.95, 3, 0.15, stats.sem([0, 0.1, 0.2, 0.3]))
    assert over_seeds(difference(apart | {9: noise}, theirs)) == pytest.approx((0.15, *expected))  # a seed that one lacks is left out
    assert over_seeds({0: np.array([1.0]), 1: np.array([2.0]), 2: np.array([3.0])}) == pytest.approx(
        (2.0, *stats.t.interval(0.95, 2, 2.0, stats.sem([1, 2, 3])))
    )


def test_figures_are_of_judges_rows_and_sizes(ledger):
    results = read(ledger, load(TOY))["main"]
    assert results.estimate("default", against="unguided")[0] == pytest.approx(0.03)
    assert results.estimate("default", judges=("trees",))[0] == pytest.approx(0.32)
    assert results.estimate("default", "alone")[0] == pytest.approx(0.26)
    assert results.estimate("default", "alone", against="none")[0] == pytest.approx(0.26 - 0.31)  # real rows have one kind
    assert results.estimate("default", "alone", 100) is None
    assert results.estimate("default", metric="trts")[0] == pytest.approx(0.71)
    assert results.best_rival() == "smote"  # by validation rows, and never doing nothing
    assert results.estimate("default", against=BEST_RIVAL)[0] == pytest.approx(0.05)
    assert results.estimate("old") is None


def test_the_best_rival_is_chosen_on_seeds_that_all_rivals_have(ledger):
    for seed in (3, 4):  # tuned goes on alone, where rows to choose by are easy
        ledger.add(cell("main", "tuned", seed, 0.32, validation=0.9))
    assert read(ledger, load(TOY))["main"].best_rival() == "smote"
    ledger.add(cell("main", "mixup", 5, 0.32))
    assert read(ledger, load(TOY))["main"].best_rival() is None


def test_a_slope_is_as_bad_above_1_as_below(ledger):
    for row, slope in (("steep", 1.3), ("flat", 0.8)):
        ledger.add(cell("main", row, 0, 0.3, slope=slope))
    results = read(ledger, load(TOY))["main"]
    assert results.estimate("steep", metric="slope_off", against="flat")[0] == pytest.approx(0.1)


def test_a_finished_cell_counts_once(ledger):
    ledger.add(cell("main", "default", 0, 0.9))
    assert read(ledger, load(TOY))["main"].estimate("default")[0] == pytest.approx(0.37)


def test_tables_say_gains_and_costs(ledger):
    text = report(load(TOY), ledger)
    assert "| default | 3 | 0.260" in text
    assert "+0.030 [+0.030, +0.030]" in text
    assert "minus best rival (smote)" in text
    assert "| row | TRTS AUROC | calibration slope | near copies |" in text
    assert "several commits" not in text
    assert "measure" not in text  # no row was looked at closely
    ledger.add(cell("main", "old", 0, 0.2) | {"commit": "def"})
    assert "Cells are of several commits: abc, def." in report(load(TOY), ledger)
    assert report(load(TOY), Ledger(ledger.path.with_name("none"))) == "No cell has been run yet."
    assert len(picture(load(TOY), ledger).axes) == 1


def test_what_rests_on_one_seed_says_so_first():
    assert section("a", [3, 1], "text").split("\n\n")[1:] == ["One draw: another seed gives other numbers. ", "text"]
    assert section("a", [3, 2], "text").split("\n\n")[1:] == ["text"]


def test_markdown():
    assert markdown([["a", "b"], ["1", "2"]]).splitlines() == ["| a | b |", "| --- | --- |", "| 1 | 2 |"]


def test_screening_chooses_among_influences_when_it_is_finished(ledger):
    protocol = load(TOY)
    assert choice(protocol, ledger, "few") is None
    for row, auprc in (("unguided", 0.9), ("cosine", 0.3)):
        sizes = {size: cell("few-screen", row, 0, auprc, column="alone", size=size)["alone"][size] for size in ("20", "60")}
        ledger.add(cell("few-screen", row, 0, auprc, column="alone") | {"alone": sizes})
    found = choice(protocol, ledger, "few")
    assert found["row"] == "cosine"
    assert found["guidance"] == {"objective": "cosine=1", "strength": 0.1, "pilot": 32}


@pytest.fixture
def marked(tmp_path, ledger):
    """A repository with one claim of a ledger, one of a file, and one that has not been run."""
    (tmp_path / "docs" / "how-to").mkdir(parents=True)
    (tmp_path / "experiments").mkdir()
    (tmp_path / "README.md").write_text("Guided rows gain **+0.999 [+0.9, +1.0]** <!-- claim: gain --> AUPRC.\n")
    (tmp_path / "docs" / "how-to" / "a.md").write_text("It is 23 x <!-- claim: speed --> as fast, not yet run <!-- claim: same -->.\n")
    (tmp_path / "speed.json").write_text(json.dumps({"ratios": [1.0, 23.4]}))
    claims = {
        "gain": claiming.Claim("Does guidance help?", study="main", row="default", against="unguided"),
        "speed": claiming.Claim("How fast?", file="speed.json", path=("ratios", "1"), shape="{:.0f} x"),
        "same": claiming.Claim("Are they equal?", margin="same"),
        "later": claiming.Claim("And then?", study="few", row="chosen", against="unguided", column="alone", size=20),
    }
    return tmp_path, claims, load(TOY)


def test_claims_are_filled_in_and_hold_until_a_table_changes(marked, ledger):
    root, claims, protocol = marked
    wrong = claiming.check(claims, protocol, read(ledger, protocol), root)
    assert len(wrong) == 3  # the gain, the equality that has been run by now, and the page that is not there
    assert "README.md: claim gain: the figure is +0.030 [+0.030, +0.030]" in wrong[0]
    claiming.write(claims, protocol, read(ledger, protocol), root)
    assert claiming.check(claims, protocol, read(ledger, protocol), root) == []
    assert "Guided rows gain **+0.030 [+0.030, +0.030]** <!--" in (root / "README.md").read_text()
    page = (root / "experiments" / "README.md").read_text().splitlines()
    assert page[-3].startswith("| Are they equal? | not shown to be equal within 0.02 | -0.050")  # what speaks against the package is first
    assert page[-2].startswith("| Does guidance help? | better | +0.030")
    assert page[-1] == "| And then? | not yet run | not yet run | few |"

    lines = [json.loads(line) for line in ledger.path.read_text().splitlines()]  # break the table
    lines[4] = cell("main", "default", 0, 0.2) | {"alone": lines[4]["alone"]}
    ledger.path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    wrong = claiming.check(claims, protocol, read(ledger, protocol), root)
    assert [line.split(":")[0] for line in wrong] == ["README.md", "experiments/README.md"]
    (root / "speed.json").write_text(json.dumps({"ratios": [1.0, 24.4]}))
    assert any("the figure is 24 x" in line for line in claiming.check(claims, protocol, read(ledger, protocol), root))


@pytest.mark.parametrize("before", ["1+", "1", "-", "\u2212"])
def test_a_figure_that_only_ends_alike_is_wrong(marked, ledger, before):
    root, claims, protocol = marked
    claims["level"] = claiming.Claim("How much?", study="main", row="default")
    figure = claiming.found(claims["level"], protocol, read(ledger, protocol)).text
    for text, holds in ((f"It is {figure}", True), (f"It is {before}{figure}", False)):
        (root / "README.md").write_text(f"{text} <!-- claim: level -->")
        said = [line for line in claiming.check(claims, protocol, read(ledger, protocol), root) if line.startswith("README")]
        assert bool(said) != holds


def test_what_is_asked_of_a_figure_is_said_and_two_seeds_are_too_few(marked, ledger):
    _, _, protocol = marked

    def said(row="default", against=None, **asked):
        claim = claiming.Claim("?", study="main", row=row, against=against, **asked)
        found = claiming.found(claim, protocol, read(ledger, protocol))
        return found.finding, found.against

    assert said(at_most=0.38) == ("kept: at most 0.38", False)
    assert said(at_most=0.36) == ("not kept: at most 0.36", True)
    assert said(against="unguided", at_least=-0.01) == ("shown: at least -0.01", False)
    assert said(against="unguided", at_most=0.02) == ("not shown: at most 0.02", True)
    assert said(row="unguided", against="unguided") == ("the same rows", True)
    assert said(row="unguided", against="unguided", harm=True) == ("the same rows", False)
    assert said(against="unguided", harm=True) == ("better", False)
    for seed in (0, 1):
        ledger.add(cell("main", "old", seed, 0.1))
    assert said(against="old") == said(against="old", at_most=0.5) == said(against="old", at_least=-0.01) == ("too few seeds", False)


def test_holm_corrects_for_the_number_of_comparisons():
    expected = {"a": 0.03, "b": 0.06, "c": 0.06, "d": 1.0}  # 3 x .01, 2 x .03; no p falls below the one before; too few seeds
    assert holm({"a": 0.0075, "b": 0.02, "c": 0.025, "d": np.nan}) == pytest.approx(expected)


def test_a_family_needs_more_than_one_comparison_does(marked, ledger):
    _, _, protocol = marked
    for seed, auprc in enumerate((0.34, 0.36, 0.38, 0.36)):
        ledger.add(cell("main", "noisy", seed, auprc))
        ledger.add(cell("main", "base", seed, 0.335))
    claims = {
        name: claiming.Claim(name, study="main", row=row, against="base", family="one")
        for name, row in (("a", "noisy"), ("b", "not run"), ("c", "not run, either"))
    }
    results = read(ledger, protocol)
    p = stats.ttest_1samp([0.005, 0.025, 0.045, 0.025], 0).pvalue
    assert 0.05 / 3 < p < 0.09
    chances = claiming.corrected(claims, protocol, results)
    assert chances == pytest.approx({"a": 3 * p, "b": 1.0, "c": 1.0}, rel=0.02)
    (line,) = [line for line in claiming.page(claims, protocol, results).splitlines() if "| a |" in line]
    assert "no difference found, p = 0.1" in line


def test_each_of_several_rows_must_be_beaten_and_the_best_row_is_chosen_on_rows_to_choose_by(marked, ledger):
    _, _, protocol = marked
    results = read(ledger, protocol)

    def said(**asked):
        return claiming.found(claiming.Claim("?", study="main", **asked), protocol, results)

    of = said(row="default", against=("none", "tuned", "unguided"))
    assert (of.text, of.finding) == ("+0.030 [+0.030, +0.030]", "better (unguided)")
    assert said(row="default", against=("none", "not run")).text == "not yet run"
    of = said(row=("default", "smote", "unguided"), against="none")
    assert (of.text, of.finding) == ("+0.010 [+0.010, +0.010]", "better (smote)")  # by validation rows, not by the figure itself


def test_the_strongest_of_several_attacks_has_an_interval_that_holds_all(marked, ledger):
    _, _, protocol = marked
    auc = {"a": [0.52, 0.54, 0.50], "b": [0.55, 0.59, 0.54]}
    for seed in range(3):
        attacks = {name: of[seed] for name, of in auc.items()}
        ledger.add(cell("main", "attacked", seed, 0.3) | {"records": {"attacks": attacks}})
    claim = claiming.Claim("?", study="main", row="attacked", column="alone", metric=("a", "b"), at_most=0.6)
    ends = [stats.t.interval(0.975, 2, np.mean(of), stats.sem(of)) for of in auc.values()]
    estimate = claiming.strongest([read(ledger, protocol)["main"].compared("attacked", "alone", 0, name) for name in auc])
    assert estimate == pytest.approx((0.56, max(low for low, _ in ends), max(high for _, high in ends)))
    assert claiming.found(claim, protocol, read(ledger, protocol)).finding == "kept: at most 0.6"


def test_how_strongly_the_default_guided_stands_beside_what_it_found(marked, ledger):
    _, _, protocol = marked
    for seed, (strength, scale) in enumerate([(0.0, 1.0), (0.14, 2.0), (0.0, 1.25)]):
        ledger.add(cell("main", "matched", seed, 0.36) | {"strength": strength, "cfg_scale": scale})
    finding = claiming.found(claiming.Claim("?", study="main", row="matched"), protocol, read(ledger, protocol)).finding
    assert finding == "measured; matched: strength 0 to 0.14, scale 1 to 2"


def test_a_way_is_worth_so_many_local_stays(marked, ledger):
    _, _, protocol = marked
    for seed in range(3):
        for row, rows, auprc in (("local", 60, 0.10), ("local@120", 120, 0.14), ("unguided", 60, 0.12), ("adapted", 60, 0.2)):
            of = cell("sites", row, seed, auprc)
            for figures in of["added"].values():
                figures["rows"] = rows
            ledger.add(of)
    claim = claiming.Claim("?", study="sites", row="unguided", metric="worth", at_least=80)
    of = claiming.found(claim, protocol, read(ledger, protocol))
    assert of.text == "85 [85, 85]"  # half way on a logarithmic scale
    assert of.finding == "kept: at least 80"
    text = report(protocol, ledger, ["sites"])
    assert "| minus local | worth in local stays |" in text
    assert "| more than 120 [more than 120, more than 120] |" in text


def test_a_claim_that_nobody_made_is_wrong(marked, ledger):
    root, claims, protocol = marked
    (root / "README.md").write_text("It doubles 0.1 [0.0, 0.2] <!-- claim: nobody -->")
    assert "README.md: claim nobody is not in claims.yaml" in claiming.check(claims, protocol, read(ledger, protocol), root)


def test_the_repositorys_claims_hold():
    protocol = load()
    assert claiming.check(claiming.load_claims(protocol), protocol, read(Ledger(claiming.RESULTS), protocol)) == []


def test_claims_name_what_the_protocol_has(tmp_path):
    path = tmp_path / "claims.yaml"
    path.write_text("a: {asks: what, study: main, row: nothing}")
    with pytest.raises(InputError, match="claim a: the protocol has no such study or row"):
        claiming.load_claims(load(TOY), path)
    path.write_text("a: {asks: what, study: main, row: default, against: [none, nothing]}")
    with pytest.raises(InputError, match="claim a: the protocol has no such study or row"):
        claiming.load_claims(load(TOY), path)
    path.write_text("a: {asks: what, study: main, row: default, family: one}")
    with pytest.raises(InputError, match="claim a: only plain differences make a family"):
        claiming.load_claims(load(TOY), path)
    path.write_text("a: {asks: what, margin: wide}")
    with pytest.raises(InputError, match="has no margin 'wide'"):
        claiming.load_claims(load(TOY), path)
