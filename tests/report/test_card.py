"""An evaluation in the model card of its generator: the evaluation of the fixtures, whose guided set another generator drew."""

import json
import shutil

import pytest

from tardiff.base.markdown import BEGIN, END
from tardiff.errors import TardiffError
from tardiff.report.card import add_evaluation
from tardiff.report.parts import shown
from tardiff.report.report_input import ReportInput


@pytest.fixture
def written(run, evaluated, tmp_path):
    """A pipeline folder and the evaluation."""
    shutil.copytree(evaluated, tmp_path / "evaluation")
    path = tmp_path / "evaluation" / "metrics.json"
    result = json.loads(path.read_text())
    result["synthetic"]["guided"]["made_by"]["generator"] = "sha256:0"
    path.write_text(json.dumps(result))
    return shutil.copytree(run[0], tmp_path / "run"), tmp_path / "evaluation"


def test_an_evaluation_is_added_and_the_rest_stays(written):
    folder, evaluation = written
    path = folder / "README.md"
    path.write_text(path.read_text().replace("# license: choose", "license: mit # chosen"))
    before = path.read_text()
    assert add_evaluation(folder, evaluation) == path
    once, result = path.read_text(), ReportInput.load(evaluation).result
    cell = next(cell for cell in result.utility.cells if (cell.protocol, cell.synthetic) == ("TSTR", "unguided"))
    assert f"| unguided | logistic | {shown(cell.metrics['auprc'])} | {shown(cell.metrics['auroc'])} |" in once
    far, private = result.fidelity.sets["unguided"]["ks"].mean, result.privacy.sets["unguided"]
    assert f"| unguided | {shown(far)} | {shown(private.nearer_train)} | {private.copies.count} of 120 |" in once
    assert "| guided" not in once
    assert once.partition(BEGIN)[0] == before.partition(BEGIN)[0]
    assert once.partition(END)[2] == before.partition(END)[2]
    add_evaluation(folder, evaluation)
    assert path.read_text() == once
    path.unlink()
    add_evaluation(folder, evaluation)
    assert path.read_text() == once.replace("license: mit # chosen", "# license: choose")


def test_a_generator_that_does_not_learn_by_steps_gets_a_card(written):
    """As a record policy, whose folder has none until an evaluation is written into it."""
    folder, evaluation = written
    card = json.loads((folder / "card.json").read_text())
    card["settings"] = {"iterations": 3, "rows": 64}
    (folder / "card.json").write_text(json.dumps(card))
    (folder / "README.md").unlink()
    text = add_evaluation(folder, evaluation).read_text()
    assert "| iterations | 3 |" in text
    assert "| unguided | logistic |" in text
    assert "Training read" not in text


def test_a_card_of_another_generator_is_refused(written):
    folder, evaluation = written
    (folder / "README.md").write_text("mine alone")
    with pytest.raises(TardiffError, match=r"README\.md: the lines .* are gone"):
        add_evaluation(folder, evaluation)
    assert (folder / "README.md").read_text() == "mine alone"
    path = evaluation / "metrics.json"
    result = json.loads(path.read_text())
    result["synthetic"]["unguided"]["made_by"]["generator"] = "sha256:0"
    path.write_text(json.dumps(result))
    with pytest.raises(TardiffError, match="no set of this evaluation was drawn by a generator that learnt from sha256:"):
        add_evaluation(folder, evaluation)


def test_an_evaluation_is_added_to_the_card_of_a_set(drawn, evaluated, toy, tmp_path):
    drawn["guided"].save(tmp_path / "guided")
    before = (tmp_path / "guided" / "README.md").read_text()
    once = add_evaluation(tmp_path / "guided", evaluated).read_text()
    assert once.partition(BEGIN)[0] == before.partition(BEGIN)[0]
    assert "| guided | logistic |" in once
    assert "| unguided" not in once
    with pytest.raises(TardiffError, match="no set of this evaluation is sha256:"):
        add_evaluation(toy[0], evaluated)
