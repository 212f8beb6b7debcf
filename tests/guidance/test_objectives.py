"""Objectives in closed form, their grammar, and how several are followed at once."""

import dataclasses

import numpy as np
import pytest
import torch

from tardiff.base.noise import row_seeds
from tardiff.classifier.influence import class_gradients
from tardiff.classifier.networks import Classifier
from tardiff.errors import TardiffError
from tardiff.guidance.build import build_guide
from tardiff.guidance.gradient_guide import GradientGuide, gradient_over_x, root_mean_square
from tardiff.guidance.influence import contrastive, contrastive_direction
from tardiff.guidance.objectives import Repulsion, entropy
from tardiff.model.sampling import Step
from tardiff.settings import OBJECTIVES, GuidanceSettings, SamplerSettings
from tardiff.synthesis import synthesise

STEP = Step(index=0, count=10, timestep=900.0, alpha=0.3, sigma=0.95)


def identity(x, chart):
    return x


def logistic(w):
    """log odds of class 1 = w . x."""
    classifier = Classifier(torch.nn.Flatten(), width=len(w), classes=2, dropout=0.0).eval()
    with torch.no_grad():
        classifier.head.weight.copy_(torch.stack([torch.zeros(len(w)), torch.tensor(w)]))
        classifier.head.bias.zero_()
    return classifier


class TestEntropy:
    def test_value_and_gradient_of_a_logistic_regression(self):
        w, x = [0.7, -1.3], torch.randn(6, 2, 1, generator=torch.Generator().manual_seed(0))
        z = x[:, :, 0] @ torch.tensor(w)
        p = z.sigmoid()
        objective, label = entropy(logistic(w)), torch.zeros(6, dtype=torch.int64)
        torch.testing.assert_close(objective(x, label), -p * p.log() - (1 - p) * (1 - p).log())
        gradient = gradient_over_x(objective, identity, x, x, label)
        torch.testing.assert_close(gradient[:, :, 0], (-z * p * (1 - p))[:, None] * torch.tensor(w))

    def test_is_largest_where_the_classes_are_as_likely(self):
        assert entropy(logistic([1.0, 1.0]))(torch.zeros(1, 2, 1), torch.zeros(1, dtype=torch.int64)).item() == pytest.approx(np.log(2))


class TestContrastive:
    def test_two_classes_differ_by_their_gradients(self):
        gradients = torch.randn(2, 2, 3)
        v = contrastive_direction(gradients, (10, 90))
        torch.testing.assert_close(v[0], gradients[0] - gradients[1])
        torch.testing.assert_close(v[1], -v[0])

    def test_the_others_weigh_by_their_rows(self):
        generator = torch.Generator().manual_seed(0)
        seen, label = torch.randn(12, 2, 1, generator=generator), torch.tensor([0] * 3 + [1] * 2 + [2] * 7)
        classifier = Classifier(torch.nn.Flatten(), width=2, classes=3, dropout=0.0).eval()
        v = contrastive_direction(class_gradients(classifier, seen, label, 3), (3, 2, 7))
        for c in range(3):
            halves = []
            for rows in (label == c, label != c):
                loss = classifier.loss(seen[rows], label[rows]).mean()
                weight, bias = torch.autograd.grad(loss, [classifier.head.weight, classifier.head.bias])
                halves.append(torch.cat([weight, bias[:, None]], dim=1))
            torch.testing.assert_close(v[c], halves[0] - halves[1], atol=1e-6, rtol=1e-4)

    def test_a_class_without_guidance_rows_is_refused(self):
        with pytest.raises(TardiffError, match="a class has no guidance row"):
            contrastive_direction(torch.zeros(2, 2, 3), (0, 5))


def test_influence_is_summed_over_the_first_middle_and_last_checkpoint(clf):
    folder = clf[1]
    count = len(folder.trajectory)
    objective = contrastive(folder)
    for checkpoint, v, k in zip(objective.classifiers, objective.directions, sorted({0, count // 2, count - 1}), strict=True):
        assert torch.equal(checkpoint.head.weight, folder.trajectory[k]["head.weight"])
        assert torch.equal(v, contrastive_direction(folder.gradients[k], folder.card.guidance_counts))
    one = dataclasses.replace(folder, trajectory=folder.trajectory[-1:], gradients=folder.gradients[-1:])
    assert len(contrastive(one).classifiers) == 1


class TestRepulsion:
    REFERENCE = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.5, 0.5]])[:, :, None]
    LABEL = torch.tensor([0, 0, 1])

    def test_away_from_the_nearest_row_of_the_class(self):
        x, label = torch.tensor([[1.0, 1.0], [3.0, 1.0], [1.0, 1.0]])[:, :, None], torch.tensor([0, 0, 1])
        objective, nearest = Repulsion(self.REFERENCE, self.LABEL), self.REFERENCE[[0, 1, 2]]
        torch.testing.assert_close(objective(x, label), (x - nearest).square().mean(dim=(1, 2)))
        torch.testing.assert_close(gradient_over_x(objective, identity, x, x, label), x - nearest)  # 2 (x - r) / 2 entries

    def test_a_class_without_rows_is_refused(self):
        with pytest.raises(TardiffError, match="a class has no row"):
            Repulsion(self.REFERENCE, self.LABEL)(torch.zeros(1, 2, 1), torch.tensor([2]))
        with pytest.raises(TardiffError, match="no rows to keep away from"):
            build_guide(SimpleGenerator, [], GuidanceSettings(objective="repulsion=1", strength=0.1), 0.1)

    def test_needs_no_classifier_and_spreads_the_samples_out(self, run):
        def nearest(guidance):
            made = synthesise(run[1], 64, guidance=guidance, sampler=SamplerSettings(steps=10), label_ratio="balanced", progress=False)
            seen = run[1].codec.encode(made.dataset.train).flatten(1)
            return float(torch.cdist(seen, seen).fill_diagonal_(torch.inf).amin(1).mean()), made.dataset.manifest.settings

        away = GuidanceSettings(objective="repulsion=1", strength=0.5, window=1.0, pilot=64, cfg_scale=1.0)
        after, settings = nearest(away)
        assert after > nearest(GuidanceSettings(guidance="none"))[0]
        assert settings["classifiers"] == settings["serves"] == []

    def test_a_sample_depends_on_its_own_seed_and_label_alone(self, run):
        guidance = GuidanceSettings(objective="repulsion=1", strength=0.5, pilot=64)
        options = {"guidance": guidance, "sampler": SamplerSettings(steps=5), "progress": False}
        label = np.arange(100) % 2
        many, few = (synthesise(run[1], n, label=label[:n], **options).dataset.train for n in (100, 7))
        np.testing.assert_array_equal(few.values, many.values[:7])


class SimpleGenerator:
    guidable, labelled = True, True
    card = type("Card", (), {"task": None})


class TestSeveralAtOnce:
    X, LABEL = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(1)), torch.zeros(5, dtype=torch.int64)

    @staticmethod
    def up(seen, label):
        return 1e6 * seen[:, 0].sum(1)

    @staticmethod
    def down(seen, label):
        return -1e-3 * seen[:, 0].sum(1)

    @staticmethod
    def other(seen, label):
        return seen[:, 1].sum(1)

    def change(self, *parts):
        guide = GradientGuide(parts, identity, strength=0.2, window=1.0, clip=1e9)
        return guide(self.X, self.X, self.LABEL, STEP, self.X)

    def test_gradients_are_scaled_before_they_are_weighted(self):
        change = self.change((3.0, self.up), (1.0, self.other))
        torch.testing.assert_close(change[:, 0], 3 * change[:, 1])
        assert torch.equal(change, self.change((6.0, self.up), (2.0, self.other)))

    def test_those_that_agree_reach_the_stated_size_and_opposites_cancel(self):
        torch.testing.assert_close(root_mean_square(self.change((1.0, self.up), (2.0, self.up))), torch.full((5,), 0.2 * 0.95))
        torch.testing.assert_close(self.change((1.0, self.up), (1.0, self.down)), torch.zeros_like(self.X))

    def test_one_objective_is_itself_whatever_its_weight(self, run, clf):
        first, second = (GuidanceSettings(objective=f"label={w}", strength=0.3) for w in (1, 2))
        label, seeds = np.arange(20) % 2, row_seeds(0, range(20))
        guides = [build_guide(run[1], [clf[1]], guidance, 0.3) for guidance in (first, second)]
        drawn = [run[1](label, seeds, SamplerSettings(steps=5), guide).x0 for guide in guides]
        torch.testing.assert_close(*drawn)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("beauty=1", "unknown objective 'beauty' .known: label, cosine, raw, contrastive, entropy, repulsion"),
        ("gap=1", "unknown objective 'gap'"),
        ("", "unknown objective ''"),
        ("cosine=1,", "unknown objective ''"),
        ("cosine", "--objective cosine: the weight must be a number above 0, as in cosine=0.5"),
        ("cosine=-1", "--objective cosine=-1: the weight must be a number above 0"),
        ("cosine=nan", "the weight must be a number above 0"),
        ("label=1,cosine=inf", "--objective cosine=inf: the weight"),
        ("cosine=1,raw=1,cosine=2", "--objective: cosine is named twice"),
        ("entropy=1,repulsion=1", "none can be matched; give --strength"),
    ],
)
def test_an_objective_that_does_not_read_is_one_line(text, message):
    with pytest.raises(TardiffError, match=message) as error:
        GuidanceSettings(objective=text)
    assert "\n" not in str(error.value)


def test_the_grammar():
    assert GuidanceSettings(objective=" cosine = 1, contrastive=0.5").terms == {"cosine": 1.0, "contrastive": 0.5}
    assert GuidanceSettings().terms == {"label": 1.0}
    assert not GuidanceSettings(guidance="none", objective="raw=1").followed
    read = {name: GuidanceSettings(objective=f"{name}=1", strength=0.1) for name in OBJECTIVES}
    assert [name for name, settings in read.items() if settings.reads_guidance_rows] == ["cosine", "raw", "contrastive"]
    assert [name for name, settings in read.items() if not settings.reads_classifier] == ["repulsion"]
