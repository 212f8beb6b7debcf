"""What the experiments' tables show."""

import numpy as np
import pytest
from scipy import stats

from experiments.guidance.pairs import MEAN, figure
from experiments.tables import difference, markdown, section
from tardiff.evaluate.bootstrap import packed


def test_a_difference_pairs_stays_and_is_students_over_seeds():
    noise = np.random.default_rng(1).normal(0, 0.1, 401)
    theirs = dict.fromkeys(range(4), 0.5 + noise)
    same = {seed: draws + 0.1 for seed, draws in theirs.items()}
    assert difference(same, theirs) == pytest.approx((0.1, 0.1, 0.1))  # the stays' noise is shared, the seeds do not differ
    apart = {seed: draws + 0.1 * seed for seed, draws in theirs.items()}
    expected = stats.t.interval(0.95, 3, 0.15, stats.sem([0, 0.1, 0.2, 0.3]))
    assert difference(apart | {9: noise}, theirs) == pytest.approx((0.15, *expected))  # a seed that one lacks is left out


def test_a_figure_is_a_mean_and_its_difference_to_the_control():
    def cell(auprc):
        judges = {"trees": auprc, "gru": auprc + 0.2}
        return {"tstr": {judge: {"auprc": value, "draws": packed(np.full(11, value))} for judge, value in judges.items()}}

    ours, control = {0: cell(0.3), 1: cell(0.5), 2: cell(0.4)}, {0: cell(0.25), 1: cell(0.45), 2: cell(0.35), 3: cell(0.9)}
    assert figure(ours, control, "tstr", "trees", "auprc") == "0.400 (+0.050 [+0.050, +0.050])"
    assert figure(ours, control, "tstr", MEAN, "auprc") == "0.500 (+0.050 [+0.050, +0.050])"
    assert figure(ours, ours, "tstr", "gru", "auprc") == "0.600"
    del ours[2]
    assert figure(ours, control, "tstr", "trees", "auprc") == "0.400 (+0.050 [too few])"


def test_what_rests_on_one_seed_says_so_first():
    assert section("a", [3, 1], "text").split("\n\n")[1:] == ["One draw: another seed gives other numbers. ", "text"]
    assert section("a", [3, 2], "text").split("\n\n")[1:] == ["text"]


def test_markdown():
    assert markdown([["a", "b"], ["1", "2"]]).splitlines() == ["| a | b |", "| --- | --- |", "| 1 | 2 |"]
