import copy

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch.nn import functional as F

from tardiff.classifier.influence import class_gradients, sample_gradient
from tardiff.classifier.networks import Classifier, build
from tardiff.guidance.gradient_guide import GradientGuide, gradient_over_x, root_mean_square
from tardiff.guidance.influence import InfluenceObjective, cosine_influence, guidance_direction, raw_influence
from tardiff.guidance.log import GuidanceLog
from tardiff.guidance.objectives import log_probability
from tardiff.model.sampling import Step
from tardiff.settings import ClassifierSettings

STEP = Step(index=0, count=10, timestep=900.0, alpha=0.3, sigma=0.95)


@pytest.fixture(scope="module")
def classifier():
    return build(ClassifierSettings("gru", width=8, seed=3), channels=6, classes=2).eval()


@pytest.fixture(scope="module")
def batch():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(40, 6, 10, generator=generator), torch.arange(40) % 2


def head_gradient(classifier, seen, label):
    """Autograd's gradient of one sample's loss over the last layer, weight and bias side by side."""
    loss = classifier.loss(seen[None], label[None]).sum()
    weight, bias = torch.autograd.grad(loss, [classifier.head.weight, classifier.head.bias])
    return torch.cat([weight, bias[:, None]], dim=1)


def test_closed_form_is_autograds_gradient(classifier, batch):
    seen, label = batch
    residual, h = sample_gradient(classifier, seen, label)
    for i in range(5):
        torch.testing.assert_close(torch.outer(residual[i], h[i]), head_gradient(classifier, seen[i], label[i]))


def test_class_gradients_are_means_whatever_the_batch_size(classifier, batch):
    seen, label = batch
    whole = class_gradients(classifier, seen, label, 3)
    parts = class_gradients(classifier, seen, label, 3, batch_size=7)
    torch.testing.assert_close(whole, parts, atol=1e-6, rtol=1e-4)
    by_hand = torch.stack([head_gradient(classifier, s, y) for s, y in zip(seen, label, strict=True)])
    torch.testing.assert_close(whole[1], by_hand[label == 1].mean(0))
    assert not whole[2].any()  # a class without rows


def test_raw_influence_is_the_inner_product(classifier, batch):
    seen, label = batch
    v = torch.randn(40, 2, 9, generator=torch.Generator().manual_seed(1))
    residual, h = sample_gradient(classifier, seen, label)
    expected = [(head_gradient(classifier, seen[i], label[i]) * v[i]).sum() for i in range(5)]
    torch.testing.assert_close(raw_influence(residual, h, v)[:5], torch.stack(expected))


def test_cosine_is_a_cosine_and_ignores_size(classifier, batch):
    seen, label = batch
    v = torch.randn(40, 2, 9, generator=torch.Generator().manual_seed(1))
    residual, h = sample_gradient(classifier, seen, label)
    cosine = cosine_influence(residual, h, v)
    flat = F.cosine_similarity((residual[:, :, None] * h[:, None]).flatten(1), v.flatten(1))
    torch.testing.assert_close(cosine, flat, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(cosine_influence(5 * residual, h, v), cosine)


def test_contradicting_the_label_pays_in_raw_but_not_in_cosine():
    """One logistic weight: where the classifier is sure of the other label, raw influence pulls x further into the contradiction."""
    classifier = Classifier(torch.nn.Flatten(), width=2, classes=2, dropout=0.0).eval()
    with torch.no_grad():
        classifier.head.weight.copy_(torch.tensor([[0.0, 0.0], [1.0, 0.0]]))
        classifier.head.bias.zero_()
    x, label = torch.tensor([[[-0.5], [1.0]]]), torch.tensor([1])  # p(label) = 0.38
    v = torch.zeros(2, 2, 3)
    v[:, 0, 1], v[:, 1, 1] = 1.0, -1.0  # the guidance rows want the second feature in class 1
    before = classifier.probability(x)[0, 1]
    for form, may_fall in ((raw_influence, True), (cosine_influence, False)):
        gradient = gradient_over_x(InfluenceObjective([classifier], [v], form), lambda z, chart: z, x, x, label)
        after = classifier.probability(x + 0.1 * gradient)[0, 1]
        assert (after < before - 1e-6) == may_fall


def test_predicted_influence_is_the_realised_change_of_the_guidance_loss(toy, clf):
    """Train the last layer by one small step on a sample; the guidance loss falls as J says."""
    folder, data = clf[1], toy[1]
    seen, label = folder.codec.encode(data.train), torch.from_numpy(data.train.label)
    guide = data.splits["validation"]
    guide_seen, guide_label = folder.codec.encode(guide), torch.from_numpy(guide.label)
    v = guidance_direction(folder.gradients[-1], torch.bincount(guide_label).tolist())
    with torch.no_grad():
        predicted = InfluenceObjective([folder.classifier], [v], raw_influence)(seen[:40], label[:40])

    def guidance_loss(step):
        trained = copy.deepcopy(folder.classifier)
        with torch.no_grad():
            trained.head.weight -= step[:, :-1]
            trained.head.bias -= step[:, -1]
            return float(trained.loss(guide_seen, guide_label).double().mean())

    base = guidance_loss(torch.zeros(2, 17))
    rate = 1e-2
    realised = [(base - guidance_loss(rate * head_gradient(folder.classifier, seen[i], label[i]))) / rate for i in range(40)]
    assert spearmanr(predicted, realised).statistic > 0.95
    assert np.polyfit(predicted.numpy(), realised, 1)[0] == pytest.approx(1, abs=0.15)


def test_guidance_direction_weighs_classes_by_their_rows(classifier, batch):
    seen, label = batch[0][:30], batch[1][:30].clone()
    label[:20] = 0
    gradients = class_gradients(classifier, seen, label, 2)
    v = guidance_direction(gradients, torch.bincount(label).tolist())
    by_hand = torch.stack([head_gradient(classifier, s, y) for s, y in zip(seen, label, strict=True)]).mean(0)
    torch.testing.assert_close(v[0], by_hand)
    torch.testing.assert_close(v[1], by_hand)


def guide(classifier, **changes):
    options = {"strength": 0.2, "window": 0.5, "clip": 3.0, **changes}
    return GradientGuide(((1.0, log_probability(classifier)),), lambda x, chart: x, **options)


def test_strength_0_and_steps_beyond_the_window_change_nothing(classifier, batch):
    late = Step(index=5, count=10, timestep=400.0, alpha=0.8, sigma=0.6)
    assert not guide(classifier, strength=0.0).acts(STEP)
    assert not guide(classifier).acts(late)
    assert guide(classifier).acts(STEP)


def test_change_has_the_stated_size(classifier, batch):
    change = guide(classifier, clip=1e9)(batch[0], *batch, STEP, batch[0])
    torch.testing.assert_close(root_mean_square(change), torch.full((40,), 0.2 * 0.95))
    assert guide(classifier, clip=0.5)(batch[0], *batch, STEP, batch[0]).abs().max() <= 0.5 * 0.2 * 0.95 + 1e-6


def test_a_sample_is_guided_alike_in_any_batch(classifier, batch):
    seen, label = batch
    together = guide(classifier)(seen, seen, label, STEP, seen)
    for one in (slice(0, 1), slice(11, 12)):
        alone = guide(classifier)(seen[one], seen[one], label[one], STEP, seen[one])
        torch.testing.assert_close(alone, together[one], atol=1e-6, rtol=1e-5)


def test_classifier_guidance_raises_the_labels_probability(classifier, batch):
    seen, label = batch
    moved = seen + guide(classifier)(seen, seen, label, STEP, seen)
    assert (classifier.loss(moved, label) < classifier.loss(seen, label)).all()


def test_gradient_matches_central_differences_in_float64(classifier, batch):
    double = build(ClassifierSettings("gru", width=8, seed=3), channels=6, classes=2).double().eval()
    seen, label = batch[0][:4].double(), batch[1][:4]
    v = [torch.randn(2, 2, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(1))]
    objective = InfluenceObjective([double], v, raw_influence)
    gradient = gradient_over_x(objective, lambda x, chart: x, seen, seen, label)
    for channel, step in ((0, 0), (3, 9), (5, 4)):
        bump = torch.zeros_like(seen)
        bump[:, channel, step] = 1e-5
        slope = (objective(seen + bump, label) - objective(seen - bump, label)) / 2e-5
        torch.testing.assert_close(gradient[:, channel, step], slope, atol=1e-8, rtol=1e-5)


def test_log_reports_the_ratio_and_notices_an_inert_guide():
    log = GuidanceLog()
    x = torch.zeros(2, 3, 4)
    log(STEP, x, x + 2, x + 0.5)
    log(STEP, x, x + 2, x + 0.5)
    assert log.summary() == [{"step": 0, "change": 0.5, "update": 2.0, "ratio": 0.25, "cosine": 0.0}]
    assert not log.inert
    inert = GuidanceLog()
    inert(STEP, x, x + 2, x + 1e-10)
    assert inert.inert
