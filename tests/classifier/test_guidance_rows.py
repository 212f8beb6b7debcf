import numpy as np
import pytest
import torch

from tardiff.classifier.folder import fit_classifier
from tardiff.classifier.guidance_rows import guidance_rows
from tardiff.data.subgroups import subgroup
from tardiff.errors import TardiffError
from tardiff.settings import ClassifierSettings

SHARE = np.array([0.7, 0.3])


@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        ("sex=male", lambda age, sex: sex == 1),
        ("sex = female", lambda age, sex: sex == 0),
        ("age>=65", lambda age, sex: age >= 65),
        ("age<40.5", lambda age, sex: age < 40.5),
    ],
)
def test_subgroups(toy, rule, holds):
    split = toy[1].train
    with np.errstate(invalid="ignore"):
        expected = holds(*split.static.T)
    assert (subgroup(rule, toy[1].manifest)(split) == expected).all()
    assert 0 < expected.sum() < len(split)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("old", "write it as"),
        ("weight>=3", "no descriptor 'weight'"),
        ("sex=child", "no category 'child'"),
        ("sex>=male", "is a category"),
        ("age<young", "compared with a number"),
    ],
)
def test_a_rule_that_does_not_read_says_so(toy, rule, message):
    with pytest.raises(TardiffError, match=message):
        subgroup(rule, toy[1].manifest)


def test_rows_by_hand(toy):
    split, manifest = toy[1].train.take(np.arange(6)), toy[1].manifest
    probability = np.array([[0.9, 0.1], [0.65, 0.35], [0.5, 0.5], [0.72, 0.28], [0.1, 0.9], [0.69, 0.31]])  # 1, 2, 4, 5 look like class 1
    wrong = guidance_rows(split, manifest, "wrong", probability, SHARE)
    assert wrong.tolist() == [row for row, guess in enumerate([0, 1, 1, 0, 1, 1]) if guess != split.label[row]]
    assert guidance_rows(split, manifest, "minority", probability, SHARE).tolist() == np.flatnonzero(split.label == 1).tolist()
    assert guidance_rows(split, manifest, "all", probability, SHARE).tolist() == list(range(6))
    with pytest.raises(TardiffError, match="no row is chosen"):
        guidance_rows(split, manifest, "age>=119", probability, SHARE)


def test_a_folder_holds_the_gradients_of_the_chosen_rows_alone(toy):
    settings = ClassifierSettings("gru", width=16, epochs=3)
    whole, old, rare = (fit_classifier(toy[1], settings, rows=rows) for rows in ("all", "age>=60", "minority"))
    assert old.card.guidance_counts[0] < whole.card.guidance_counts[0]
    assert old.card.class_counts == rare.card.class_counts == whole.card.class_counts == whole.card.guidance_counts
    assert rare.card.guidance_counts == (0, whole.card.class_counts[1])
    for a, b, c in zip(whole.gradients, old.gradients, rare.gradients, strict=True):
        assert not torch.equal(a, b)
        assert torch.equal(a[1], c[1])
        assert not c[0].any()
