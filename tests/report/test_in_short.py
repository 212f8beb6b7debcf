import pytest

from tardiff.report.in_short import in_short
from tardiff.report.page import render
from tardiff.report.report_input import ReportInput


def changed(evaluated, protocol, low, high):
    """The evaluation with another interval for what `guided` differs from real rows."""
    evaluation = ReportInput.load(evaluated)
    for d in evaluation.result.utility.differences:
        if (d.protocol, d.synthetic, d.against.synthetic) == (protocol, "guided", None):
            estimate = d.metrics["auprc"]
            for end, value in (("low", low), ("high", high)):
                object.__setattr__(estimate, end, value)
    return in_short(evaluation)


@pytest.mark.parametrize(
    ("protocol", "low", "high", "said"),
    [
        ("TSTR", -0.03, -0.01, "They do not replace real patients: 1 of one kind of model"),
        ("TSTR", -0.03, 0.01, "none is found to predict real patients worse"),
        ("TSRTR", -0.03, -0.01, "Do not add them to real patients unseen"),
        ("TSRTR", -0.03, 0.01, "you gain nothing that can be shown"),
        ("TSRTR", 0.01, 0.03, "they make 1 of one kind of model better and none worse"),
    ],
)
def test_what_it_says_follows_from_the_intervals(evaluated, protocol, low, high, said):
    sentences = changed(evaluated, protocol, low, high)
    assert len(sentences) == 5
    assert any(said in sentence for sentence in sentences)


def test_a_leak_is_said(evaluated):
    evaluation = ReportInput.load(evaluated)
    for low, said in ((0.45, "no attack that was tried tells"), (0.51, "attackers can tell who was learnt from")):
        for attack in evaluation.result.privacy.sets["guided"].attacks:
            object.__setattr__(attack.auc, "low", low)
        assert said in in_short(evaluation)[-1]


def test_it_stands_before_the_verdict(evaluated):
    evaluation = ReportInput.load(evaluated)
    page = render(evaluation)
    assert 0 < page.index('class="short"') < page.index('id="verdict"')
    assert "tardiff quiz" in page
