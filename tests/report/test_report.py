import copy
import json
import re
import shlex
import shutil
from html.parser import HTMLParser

import msgspec
import pytest

from tardiff import cli
from tardiff.base.markdown import versioned
from tardiff.errors import TardiffError
from tardiff.evaluate.curves import FEWEST
from tardiff.report import report
from tardiff.report.page import render
from tardiff.report.parts import shown
from tardiff.report.provenance import commands
from tardiff.report.report_input import ReportInput
from tardiff.report.schema.numbers import Estimate
from tardiff.report.svg import Panel, Scale, heat_map
from tardiff.report.verdict import verdict

from .extended import estimate, extended, report_input


class Reader(HTMLParser):
    """Elements with their attributes, and the text of a page."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, name, attributes):
        self.elements.append((name, dict(attributes)))

    def handle_data(self, data):
        self.text += data

    def all(self, name):
        return [attributes for element, attributes in self.elements if element == name]


def page_of(result, curves):
    return render(report_input(result, curves))


@pytest.fixture(scope="module")
def whole(evaluated):
    """Result with every part, summaries, and their page."""
    result, curves = (json.loads((evaluated / name).read_text()) for name in ("metrics.json", "figures.json"))
    result = extended(result)
    return result, curves, page_of(result, curves)


FIGURES = {
    "What each training set teaches",
    "Differences",
    "How many synthetic rows to add",
    "Forecasting",
    "Trajectories: survived",
    "Trajectories: died",
    "Distributions",
    "Correlations of the channels",
    "Observed by hour",
    "Distances to real training rows",
    "Told from real rows",
    "Distance to the closest record",
    "Membership inference",
    "Attribute inference",
    "By group",
    "Guidance over the steps",
}


def test_the_page_says_what_channels_are(whole):
    evaluation = report_input(*whole[:2])
    channel = evaluation.curves.channels[0]
    assert f"<p>{channel.name}: Some long title</p>" in render(evaluation, {(channel.name, channel.unit): "Some long title"})
    assert "Some long title" not in render(evaluation, {(channel.name, "furlongs"): "Some long title"})


def test_every_figure_has_a_title_a_label_and_a_caption(whole):
    found = Reader(whole[2])
    assert {figure["aria-label"] for figure in found.all("figure")} == FIGURES
    assert len(found.all("figcaption")) == len(FIGURES)
    for title in FIGURES:
        assert f"<h3>{title}</h3>" in whole[2]
    drawings = found.all("svg")
    assert len(drawings) > 50
    for drawing in drawings:
        assert drawing.get("aria-hidden") == "true" or (drawing["role"] == "img" and drawing["aria-label"])


def test_the_page_asks_for_nothing(whole):
    found = Reader(whole[2])
    assert not found.all("script")
    assert not found.all("link")
    assert not found.all("img")
    assert all(a["href"].startswith("#") for a in found.all("a"))
    assert "url(" not in whole[2]
    assert "@import" not in whole[2]
    assert "default-src 'none'" in whole[2]
    assert "nan" not in found.text.lower().split()


def test_numbers_are_those_of_the_evaluation(whole):
    result, _, page = whole
    text = Reader(page).text
    for cell in result["utility"]["cells"]:
        for number in cell["metrics"].values():
            assert words_for(number) in text
    for numbers in result["fidelity"]["sets"].values():
        assert words_for(numbers["ks"]["mean"]) in text
        assert words_for(numbers["strange_new_metric"]["by_channel"]["hr"]) in text
    for rule in result["realism"]["clinical"]["rules"]:
        assert rule["name"] in text
        for group in rule["groups"]:
            assert words_for(group["sets"]["guided"]) in text
    assert "hr: values that are whole numbers 0.3 % (real 86.6 %)" in text
    assert "low oxygen with fast breathing (no spo2, resp)" in text
    assert result["real"]["content_hash"] in text
    assert "fewer than 20 positive rows" in text
    assert "no generator given" in text


def test_the_same_evaluation_gives_the_same_bytes(evaluated, tmp_path):
    report(evaluated, tmp_path / "a.html")
    report(evaluated, tmp_path / "b.html")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    with pytest.raises(TardiffError, match="exists already"):
        report(evaluated, tmp_path / "a.html")


def test_a_section_that_has_nothing_to_show_is_left_out(whole):
    result, curves, page = whole
    assert 'id="subgroups"' in page
    assert 'id="guidance"' in page
    result = copy.deepcopy(result) | {"subgroups": []}
    result["synthetic"]["guided"]["made_by"]["movement"] = None
    without = page_of(result, curves)
    assert 'id="subgroups"' not in without
    assert 'id="guidance"' not in without
    assert 'id="provenance"' in without


def test_text_from_data_is_text(whole, tmp_path):
    result, curves, _ = whole
    names = {"hr": "<script>alert(1)</script>", "guided": "\"><img src=x onerror='alert(2)'>", "died": "</style><b onload=alert(3)>&amp;"}
    written = [json.dumps(part) for part in (result, curves)]
    for name, strange in names.items():
        written = [text.replace(json.dumps(name), json.dumps(strange)) for text in written]
    page = page_of(*map(json.loads, written))
    found = Reader(page)
    assert not found.all("script")
    assert not found.all("img")
    assert not found.all("b")
    assert not [a for _, attributes in found.elements for a in attributes if a.startswith("on")]
    for strange in names.values():
        assert strange in found.text
    assert page.count("<style>") == page.count("</style>") == 1


def differing(low, high):
    return {"value": (low + high) / 2, "low": low, "high": high}


def words_for(number, signed=False):
    """A number of metrics.json as the page shows it."""
    return shown(None if number is None else msgspec.convert(number, Estimate), signed)


@pytest.mark.parametrize(
    ("low", "high", "mark", "words"),
    [
        (-0.2, -0.1, "bad", "worse than real rows"),
        (-0.1, 0.1, "even", "no difference to real rows found"),
        (0.0, 0.1, "even", "no difference to real rows found"),
        (0.1, 0.2, "good", "better than real rows"),
    ],
)
def test_verdict_follows_the_interval(low, high, mark, words, whole):
    result, curves = copy.deepcopy(whole[0]), whole[1]
    for item in result["utility"]["differences"]:
        item["metrics"]["auprc"] = differing(low, high)
    answers = {answer.question: answer.sentences for answer in verdict(report_input(result, curves))}
    for sentence in answers["Can synthetic rows replace real ones?"]:
        assert sentence.mark == mark
        assert words in sentence.text
        assert words_for(differing(low, high), signed=True) in sentence.text


def test_verdict_on_fidelity_and_privacy(whole):
    result, curves = copy.deepcopy(whole[0]), whole[1]
    floor, numbers = result["fidelity"]["floor"], result["fidelity"]["sets"]["guided"]
    floor["ks"]["mean"], numbers["ks"]["mean"] = differing(0.1, 0.2), differing(0.3, 0.4)
    floor["mmd"], numbers["mmd"] = differing(0.1, 0.2), differing(0.15, 0.4)
    paired = result["fidelity"]["against_floor"]["guided"]
    for found in paired.values():
        found |= {"worse": False}
    paired["ks"] = {"mean": differing(0.15, 0.25), "worst": {"name": "hr", "value": 0.3, "low": 0.2}, "worse": True}
    floor["told_apart_trees"], numbers["told_apart_trees"] = differing(0.48, 0.52), differing(0.9, 0.98)
    paired["told_apart_trees"] |= {"worse": True}
    numbers["out_of_limits"] = differing(0.1, 0.2)
    leaks = result["privacy"]["sets"]["guided"]
    leaks["nearer_train"], leaks["copies"]["count"] = differing(0.45, 0.55), 3
    leaks["attacks"][0]["auc"], leaks["attacks"][1]["auc"] = differing(0.4, 0.9), differing(0.6, 0.7)
    answers = {answer.question: answer.sentences for answer in verdict(report_input(result, curves))}
    looks = [(s.mark, s.text) for s in answers["Do they look real?"] if s.text.startswith("guided")]
    assert [mark for mark, _ in looks] == ["bad", "bad", "even", "bad"]
    assert "AUROC 0.940 [0.900, 0.980] (real held-out 0.500 [0.480, 0.520]); first by hr: values that are whole numbers" in looks[0][1]
    assert "Kolmogorov-Smirnov distance 0.350 [0.300, 0.400] against 0.150 [0.100, 0.200], worst in hr" in looks[1][1]
    assert "maximum mean discrepancy" in looks[2][1]
    assert "is no further" in looks[2][1]
    assert "outside their limits" in looks[3][1]
    private = [(s.mark, s.text) for s in answers["Do they give training patients away?"] if s.text.startswith("guided:")]
    assert [mark for mark, _ in private] == ["bad", "good", "bad"]
    assert "3 of" in private[0][1]
    assert "density ratio" in private[2][1], "the strongest attack is the surest one"
    assert "Does guidance help?" in answers


def test_verdict_says_what_a_gain_costs(whole):
    result, curves = copy.deepcopy(whole[0]), whole[1]
    first, name = list(result["synthetic"])
    sets = result["fidelity"]["sets"]

    def said():
        (sentence,) = {a.question: a.sentences for a in verdict(report_input(result, curves))}["What does it cost?"]
        return sentence

    sets[first]["correlation"], sets[name]["correlation"] = differing(0.01, 0.02), differing(0.015, 0.045)
    result["privacy"]["sets"][name]["near_copies"] |= differing(0.0, 0.02)
    for item in result["utility"]["differences"]:
        item["metrics"] |= {"brier": differing(-0.01, 0.01), "calibration_slope": differing(-0.1, 0.1)}
    for item in result["utility"]["cells"]:
        item["metrics"]["auroc"] = differing(0.6, 0.7)
    assert said().mark == "good"
    assert "correlations off 0.030 [0.015, 0.045] against 0.015 [0.010, 0.020]" in said().text
    assert said().text.endswith("none is worse beyond chance.")
    sets[name]["correlation"] = differing(0.04, 0.05)
    for item in result["utility"]["differences"]:
        item["metrics"]["brier"] = differing(0.01, 0.02)
    assert said().mark == "bad"
    assert said().text.endswith("worse beyond chance: Brier score; correlations off.")


def test_every_sentence_carries_a_number_and_its_interval(whole):
    for answer in verdict(report_input(whole[0], whole[1])):
        for sentence in answer.sentences:
            assert re.search(r"\d\.\d{3} \[.?\d\.\d{3}, .?\d\.\d{3}\]", sentence.text), sentence.text


def test_commands_of_the_report_parse(whole):
    result, curves = (json.loads(json.dumps(part).replace('"guided"', '"a name; rm"')) for part in whole[:2])
    prepared = {"hours": 24, "variables": ["hr", "sbp"], "task": {"name": "los_3d"}, "onset": None, "sets": ["a", "b"], "max_age": None}
    result["real"] |= {"source": "mimic_iv", "made_by": {**prepared, "min_age": 18, "split": "by-set", "seed": 3, "dictionary": "sha256:0"}}
    result["settings"] |= {"quick": True, "models": ["trees", "logistic"], "seeds": 2, "ratios": [1.0]}
    lines = commands(report_input(result, curves))
    called = [shlex.split(line)[1:] for line in lines]
    for name, *options in called:
        cli.understood(name, cli.COMMANDS[name], options)
    assert [name for name, *_ in called] == ["prepare", "train", "sample", "fit-classifier", "sample", "evaluate", "report"]
    assert "tardiff prepare mimic-iv --raw RAW --task los_3d --hours 24 --variables hr,sbp --sets a,b" in lines[0]
    assert "--widths 16 16" in lines[1]
    assert "--objective raw=1" in lines[4]
    assert "--guidance-data" not in lines[4]
    assert "'a name; rm=A-NAME--RM' --bootstrap 50 --quick --out" in lines[-2]
    result["realism"]["clinical"]["skipped"].append({"name": "my rule", "missing": ["x"]})
    assert "--rules RULES" in commands(report_input(result, curves))[-2]
    result["synthetic"]["a name; rm"]["made_by"]["serves"][0] |= {"data": "sha256:another", "rule": "age>=65"}
    assert "--guidance-data LOCAL --guidance-rows 'age>=65'" in commands(report_input(result, curves))[4]


def test_folders_that_are_no_evaluation(tmp_path, evaluated):
    with pytest.raises(TardiffError, match="not an evaluation folder"):
        report(tmp_path, tmp_path / "x.html")
    (tmp_path / "metrics.json").write_text("{")
    with pytest.raises(TardiffError, match=r"metrics\.json: Input data was truncated"):
        report(tmp_path, tmp_path / "x.html")
    shutil.copy(evaluated / "metrics.json", tmp_path)
    with pytest.raises(TardiffError, match=r"figures\.json: no such file"):
        report(tmp_path, tmp_path / "x.html")
    assert not (tmp_path / "x.html").exists()


def remove(tree, *path):
    *way, last = path
    for key in way:
        tree = tree[key]
    del tree[last]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda r: remove(r, "privacy"), "missing required field `privacy`"),
        (lambda r: remove(r, "utility", "cells", 0, "metrics"), r"missing required field `metrics` - at `\$\.utility\.cells"),
        (lambda r: remove(r, "utility", "cells", 0, "metrics", "auroc"), "missing `auroc` in `metrics`"),
        (lambda r: remove(r, "fidelity", "floor", "mmd", "value"), "missing `value`, or `mean` over channels"),
        (lambda r: remove(r, "forecast", "sets", "guided"), "`forecast.sets`: other sets than `synthetic` has"),
        (lambda r: remove(r, "realism", "reasons", "guided"), "`realism.reasons`: other sets than `synthetic` has"),
        (lambda r: remove(r, "fidelity", "against_floor", "guided"), "`fidelity.against_floor`: other sets than `synthetic` has"),
        (lambda r: remove(r, "real", "splits", "train"), "missing `train` in `real.splits`"),
        (lambda r: r["test"].update(positives=10**6), "`positives` must be among the `rows`"),
        (lambda r: r["settings"].update(seeds=0), "--seeds 0: must be at least 1"),
        (lambda r: r["utility"]["cells"][0].update(ratio=1.0), "`ratio` does not fit protocol mask-only"),
        (lambda r: r["utility"]["cells"][-1].update(synthetic="x"), "`synthetic` has no set 'x'"),
        (lambda r: r["synthetic"]["guided"]["made_by"].update(guidance=3), "`made_by`: Expected `object`, got `int` - at `[$].guidance`"),
        (lambda r: r["privacy"]["sets"]["guided"]["attacks"][0]["roc"]["fpr"].pop(), "`fpr` and `tpr` are not of one length"),
    ],
)
def test_changed_numbers_are_named(change, says, whole, evaluated, tmp_path):
    result = copy.deepcopy(whole[0])
    change(result)
    shutil.copy(evaluated / "figures.json", tmp_path)
    (tmp_path / "metrics.json").write_text(json.dumps(result))
    with pytest.raises(TardiffError, match=rf"metrics\.json: .*{says}"):
        ReportInput.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: remove(c, "classes"), "Object missing required field `classes`"),
        (lambda c: c["hours"].reverse(), "`hours` must rise"),
        (lambda c: c["hours"].pop(), "`real.bands` does not fit"),
        (lambda c: c["variables"].pop(), "`real.histograms` does not fit"),
        (lambda c: c["synthetic"]["guided"]["correlations"].pop(), "`synthetic.guided.correlations` does not fit"),
        (lambda c: remove(c, "synthetic", "guided"), "synthetic: other sets than in metrics.json"),
    ],
)
def test_changed_curves_are_named(change, says, whole, evaluated, tmp_path):
    curves = copy.deepcopy(whole[1])
    change(curves)
    shutil.copy(evaluated / "metrics.json", tmp_path)
    (tmp_path / "figures.json").write_text(json.dumps(curves))
    with pytest.raises(TardiffError, match=rf"figures\.json: {says}"):
        ReportInput.load(tmp_path)


def test_scale():
    assert Scale(0, 10)(5) == 0.5
    assert Scale(0, 10)(20) == 1
    assert Scale(0.001, 1, log=True)(0.0316227766) == pytest.approx(0.5)
    assert Scale(0.001, 1, log=True).ticks() == pytest.approx([0.001, 0.01, 0.1, 1])
    for around in (Scale.around([3.0]), Scale.around([0.0]), Scale.around([]), Scale.around([None, 2.0])):
        assert around.low < around.high
        assert around.ticks()
    assert words_for(estimate(-0.0001, 0.0002), signed=True) == "0.000 [0.000, 0.000]"
    assert words_for(estimate(-0.5, 0.1), signed=True) == "−0.500 [−0.600, −0.400]"
    assert words_for(estimate(None)) == "–"


def test_a_line_breaks_where_nothing_is_known():
    plot = Panel("x", Scale(0, 4), Scale(0, 1))
    plot.line([0, 1, 2, 3, 4], [0.5, 0.5, None, 0.5, None], "real")
    plot.band([0, 1, 2, 3, 4], [0, 0, None, 0, 0], [1, 1, 1, 1, 1], "real")
    line, point, *bands = plot.parts
    assert [part.count("M") for part in (line, point)] == [1, 1]
    assert line.count("L") == 1
    assert 'class="line point real"' in point
    assert len(bands) == 2


def test_a_panel_of_too_few_values_says_so(whole):
    plot = Panel("x", Scale(0, 4), Scale(0, 1))
    plot.line([0, 1], [None, None], "real")
    assert "too few values to draw" in plot.svg()
    assert plot.svg().count("<text") == 1
    result, curves = whole[0], copy.deepcopy(whole[1])
    before = page_of(result, curves).count("too few values to draw")
    for summaries in (curves["real"], *curves["synthetic"].values()):
        summaries["bands"][0] = [[[None] * len(curves["hours"])] * 3] * 2
        summaries["histograms"][0] = [None] * len(summaries["histograms"][0])
    assert page_of(result, curves).count("too few values to draw") == before + 3  # a panel a class, and the distribution


def test_a_version_is_called_one():
    assert versioned("table", "1") == "table, version 1"
    assert versioned("table", "") == "table"


def test_heat_map_names_its_cells():
    drawn = heat_map([[1.0, None], [-0.25, 0.0]], ["a", "<b>"], "correlations", 0.5)
    assert drawn.count("<rect") == 4
    assert 'class="none"' in drawn
    assert "&lt;b&gt;, a: −0.25" in drawn
    assert 'fill-opacity="0.5"' in drawn


def test_summaries_hold_no_small_group(evaluated, toy):
    curves = json.loads((evaluated / "figures.json").read_text())
    train, channels = toy[1].train, len(toy[1].manifest.channels)
    assert curves["real"]["rows"] == [int((train.label == k).sum()) for k in (0, 1)]
    for c in range(channels):
        for k in (0, 1):
            known = train.mask[train.label == k][:, c].sum(0)
            for band in curves["real"]["bands"][c][k]:
                assert [number is not None for number in band] == (known >= FEWEST).tolist()
    assert curves["real"]["observed"][0] == pytest.approx(train.mask[:, 0].mean(0), abs=1e-4)
    for variable, shares in zip(curves["variables"], curves["real"]["histograms"], strict=True):
        assert sum(shares) == pytest.approx(1, abs=1e-3), variable["name"]
        assert len(variable["edges"]) == len(shares) + 1
    gcs, sex = curves["variables"][3], curves["variables"][-1]
    assert gcs["edges"][:2] == [2.5, 3.5], "a bin a level"
    assert (sex["categories"], sex["edges"]) == (["female", "male"], [-0.5, 0.5, 1.5])
    assert [row[i] for i, row in enumerate(curves["real"]["correlations"])] == pytest.approx([1] * channels)
