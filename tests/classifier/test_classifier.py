import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sklearn.metrics import roc_auc_score

from tardiff.classifier.folder import ClassifierFolder, fit_classifier
from tardiff.classifier.networks import ENCODERS, auprc, auroc, build, fit
from tardiff.data.codec import Codec
from tardiff.errors import TardiffError
from tardiff.settings import ClassifierSettings


@pytest.fixture(scope="module")
def rows(toy):
    codec = Codec.fit(toy[1].train, toy[1].manifest)
    return {name: (codec.encode(split), torch.from_numpy(split.label)) for name, split in toy[1].splits.items()}


@pytest.mark.parametrize("architecture", ENCODERS)
class TestEveryArchitecture:
    """What each downstream network must keep."""

    def test_learns_what_is_there(self, architecture, rows):
        result = fit(*rows["train"], rows["validation"], ClassifierSettings(architecture, width=16, epochs=15), 2)
        seen, label = rows["test"]
        assert auprc(label.numpy(), result.classifier.probability(seen)) > 0.8  # the prevalence is 0.3
        assert not result.classifier.training

    def test_interface(self, architecture, rows):
        classifier = build(ClassifierSettings(architecture, width=16), 8, 3).eval()
        seen, label = rows["test"]
        assert classifier.embedding(seen).shape == (120, {"summary": 28, "committee": 16 + 16 + 16 + 28}.get(architecture, 16))
        assert classifier.logits(seen).shape == (120, 3)
        loss = classifier.loss(seen, label)
        torch.testing.assert_close(loss, -classifier.logits(seen).log_softmax(1)[torch.arange(120), label])
        torch.testing.assert_close(classifier.head(classifier.embedding(seen)), classifier.logits(seen))

    def test_a_row_does_not_depend_on_its_neighbours(self, architecture, rows):
        classifier = build(ClassifierSettings(architecture, width=16), 8, 2).eval()
        seen, _ = rows["test"]
        torch.testing.assert_close(classifier.logits(seen)[3:4], classifier.logits(seen[3:4]), atol=1e-5, rtol=1e-4)

    def test_same_seed_same_weights(self, architecture, rows):
        settings = ClassifierSettings(architecture, width=16, epochs=2)
        first, second = (fit(*rows["train"], rows["validation"], settings, 2).classifier.state_dict() for _ in range(2))
        assert all(torch.equal(first[name], second[name]) for name in first)
        other = fit(*rows["train"], rows["validation"], ClassifierSettings(architecture, width=16, epochs=2, seed=1), 2)
        assert not torch.equal(other.classifier.state_dict()["head.weight"], first["head.weight"])


def test_a_committee_is_the_mean_of_members_that_learn_alone(rows):
    classifier = build(ClassifierSettings("committee", width=16), 8, 2).eval()
    seen, label = (part[:20] for part in rows["train"])
    torch.testing.assert_close(classifier.member_logits(seen).mean(dim=0), classifier.logits(seen), atol=1e-5, rtol=1e-4)
    first = classifier.encoder.members[0]
    alone = torch.nn.functional.cross_entropy(classifier.member_logits(seen)[0], label) / 4
    expected = torch.autograd.grad(alone, list(first.parameters()))
    given = torch.autograd.grad(classifier.training_loss(seen, label).mean(), list(first.parameters()))
    for a, b in zip(given, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("architecture", ["summary", "committee"])
def test_what_training_rows_never_chart_does_not_carry_away_who_charts_it(architecture, rows):
    """A channel that one hospital never charts is constant there; at another its features must not be divided by next to nothing."""
    (seen, label), validation = rows["train"], rows["validation"]
    channels = seen.shape[1] // 2

    def without(seen, value):
        changed = seen.clone()
        changed[:, 0], changed[:, channels] = value, 0
        return changed

    settings = ClassifierSettings(architecture, width=16, epochs=15)
    classifier = fit(without(seen, 1.5), label, (without(validation[0], 1.5), validation[1]), settings, 2).classifier
    test, label = rows["test"]
    encoder = classifier.encoder if architecture == "summary" else classifier.encoder.members[-1]
    torch.testing.assert_close(encoder(test), encoder(without(test, 1.5)), atol=0, rtol=0)
    assert encoder(test).std(0).count_nonzero() > channels
    assert roc_auc_score(label, classifier.probability(test)[:, 1]) > 0.8
    assert classifier.logits(test).abs().max() < 30


def test_training_stops_at_the_best_validation_epoch(rows):
    result = fit(*rows["train"], rows["validation"], ClassifierSettings("gru", width=16, epochs=30, patience=2), 2)
    scores = [entry["validation_auprc"] for entry in result.history]
    best = int(np.argmax(scores)) + 1
    assert result.epochs[-1] == best
    assert len(scores) <= best + 2
    assert auprc(rows["validation"][1].numpy(), result.classifier.probability(rows["validation"][0])) == pytest.approx(max(scores))
    assert result.epochs == sorted(set(result.epochs))


def test_class_weights_raise_the_rare_class(rows):
    seen, _ = rows["test"]
    mean = [
        fit(*rows["train"], rows["validation"], ClassifierSettings("gru", width=16, epochs=3, class_weights=w), 2)
        .classifier.probability(seen)[:, 1]
        .mean()
        for w in (False, True)
    ]
    assert mean[1] > mean[0] + 0.02


def test_one_class_in_validation_is_refused(rows):
    seen, label = rows["validation"]
    with pytest.raises(TardiffError, match="one class only"):
        fit(*rows["train"], (seen[label == 0], label[label == 0]), ClassifierSettings(epochs=1), 2)


def test_auroc_is_each_class_against_the_rest_and_its_error_is_right():
    random = np.random.default_rng(0)
    for classes in (2, 3):
        label = random.integers(classes, size=120)
        probability = np.round(random.dirichlet(np.ones(classes), size=120) + 0.3 * np.eye(classes)[label], 1)
        theirs = np.mean([roc_auc_score(label == c, probability[:, c]) for c in range(classes)])
        assert auroc(label, probability)[0] == pytest.approx(theirs)
    assert auroc(np.ones(9, int), np.full((9, 2), 0.5)) == (0.5, 0.0)
    label = np.repeat([0, 1], [150, 50])
    drawn = [auroc(label, np.stack([-score, score], axis=1)) for score in random.normal(size=(2000, 200)) + label]
    value, error = np.transpose(drawn)
    assert value.mean() == pytest.approx(0.760, abs=0.003)
    assert error.mean() == pytest.approx(value.std(), rel=0.05)


def test_auprc_of_three_classes_is_their_mean():
    label = np.array([0, 1, 2, 1])
    assert auprc(label, np.eye(3)[label]) == 1.0


def test_folder_round_trip(clf, rows):
    path, folder = clf
    loaded = ClassifierFolder.load(path)
    assert loaded.card == folder.card
    assert loaded.codec == folder.codec
    seen, _ = rows["test"]
    np.testing.assert_array_equal(loaded.classifier.probability(seen), folder.classifier.probability(seen))
    for a, b in zip(loaded.trajectory, folder.trajectory, strict=True):
        assert all(torch.equal(a[name], b[name]) for name in b)
    for a, b in zip(loaded.gradients, folder.gradients, strict=True):
        assert torch.equal(a, b)
    assert len(loaded.checkpoints()) == len(folder.card.epochs) >= 2


def test_guidance_never_sees_test_rows(toy):
    with pytest.raises(TardiffError, match="never see test rows"):
        fit_classifier(toy[1], ClassifierSettings(), guidance_set="test")


def test_guidance_set_is_the_one_asked_for(toy):
    settings = ClassifierSettings("gru", width=8, epochs=1)
    counts = {name: fit_classifier(toy[1], settings, name).card.guidance_counts for name in ("train", "validation")}
    assert counts == {name: toy[1].manifest.splits[name].classes for name in counts}


@pytest.mark.parametrize("name", ["classifier.json", "model.safetensors", "guidance.safetensors", "codec.json"])
def test_damaged_folder_names_the_file(clf, tmp_path, name):
    ClassifierFolder.load(clf[0]).save(tmp_path / "clf")
    (tmp_path / "clf" / name).write_bytes(b"{")
    with pytest.raises(TardiffError, match=name):
        ClassifierFolder.load(tmp_path / "clf")


@pytest.mark.parametrize("name", ["trajectory.safetensors", "guidance.safetensors", "curvature.safetensors"])
def test_tensors_of_another_classifier_are_named(clf, tmp_path, name):
    ClassifierFolder.load(clf[0]).save(tmp_path / "clf")
    save_file({"0/head.weight": torch.zeros(2, 3)}, tmp_path / "clf" / name)
    with pytest.raises(TardiffError, match=f"{name}: does not fit"):
        ClassifierFolder.load(tmp_path / "clf")


def test_folder_holds_no_patient(clf):
    card = json.loads((clf[0] / "classifier.json").read_text())
    assert "subject_id" not in json.dumps(card)
    assert {file.suffix for file in clf[0].iterdir()} == {".json", ".safetensors"}
