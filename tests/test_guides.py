"""Guides beyond the plain ones: ensembles, generators without labels, the published rule, a strength that is chosen, selection."""

import dataclasses

import msgspec
import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from tardiff import synthesis
from tardiff.audit.run import fitted_on_train
from tardiff.classifier_folder import ClassifierFolder, fit_classifier
from tardiff.dataset import Dataset
from tardiff.direction import weights_hash
from tardiff.errors import TardiffError
from tardiff.guidance import classifier_free, gradient_over_x, mean_of
from tardiff.guides import build_guide
from tardiff.noise import row_seeds
from tardiff.pipeline import TarDiffPipeline
from tardiff.sampling import Step
from tardiff.settings import ClassifierSettings, GuidanceSettings, SamplerSettings, SelectionSettings, TrainSettings
from tardiff.strength import Choice, _chosen, choose_strength
from tardiff.synthesis import synthesise
from tardiff.training import train

from .conftest import tiny_training

STEP = Step(index=0, count=10, timestep=900.0, alpha=0.3, sigma=0.95)
CLASSIFIER = GuidanceSettings(guidance="classifier", strength=1.0, window=1.0, label_scale=1.0)


@pytest.fixture(scope="module")
def label_free(toy, tmp_path_factory):
    """A generator that learnt without labels."""
    path = tmp_path_factory.mktemp("free") / "run"
    train(toy[1].unlabelled(), path, tiny_training(TrainSettings), progress=False)
    return TarDiffPipeline.from_pretrained(path)


@pytest.fixture(scope="module")
def served(toy, label_free):
    """A classifier of the labelled half of the rows, in the space of the generator that read them all."""
    data = toy[1]
    half = Dataset(data.manifest, {**data.splits, "train": data.train.take(np.arange(0, len(data.train), 2))}).completed()
    return fit_classifier(half, ClassifierSettings("gru", width=16, epochs=6), codec=label_free.codec)


class TestWithoutLabels:
    def test_labels_change_nothing_unless_a_guide_acts(self, label_free):
        seeds = row_seeds(0, range(20))
        zeros, ones = (label_free(np.full(20, label), seeds).x for label in (0, 1))
        assert torch.equal(zeros, ones)

    def test_a_guide_gives_samples_their_label(self, label_free, served, toy):
        def right(guidance):
            result = synthesise(label_free, 200, classifier=served, guidance=guidance, label_ratio="balanced", progress=False)
            seen = served.codec.seen(label_free.codec.encode(result.dataset.train))
            return float(np.mean(served.classifier.probability(seen).argmax(1) == result.dataset.train.label))

        assert right(CLASSIFIER) > right(dataclasses.replace(CLASSIFIER, guidance="none")) + 0.1

    def test_relabelled_samples_are_those_of_the_same_seeds_with_labels_by_rank(self, label_free, served):
        options = {"classifier": served, "guidance": GuidanceSettings(guidance="none"), "progress": False}
        asked, given = (synthesise(label_free, 60, relabel=relabel, **options).dataset.train for relabel in (False, True))
        np.testing.assert_array_equal(asked.values, given.values)
        assert given.label.sum() == asked.label.sum() > 0
        score = served.classifier.probability(served.codec.seen(label_free.codec.encode(given)))[:, 1]
        assert score[given.label == 1].min() >= score[given.label == 0].max()

    def test_labels_by_rank_need_a_classifier(self, run):
        with pytest.raises(TardiffError, match="--relabel needs --classifier"):
            synthesise(run[1], 10, relabel=True, guidance=GuidanceSettings(guidance="none"), progress=False)

    def test_the_samples_serve_the_classifiers_task(self, label_free, served, toy, tmp_path):
        result = synthesise(label_free, 60, classifier=served, guidance=CLASSIFIER, progress=False)
        assert result.dataset.manifest.task == toy[1].manifest.task
        share = np.mean(result.dataset.train.label)
        assert share == pytest.approx(served.card.class_counts[1] / sum(served.card.class_counts), abs=0.02)
        assert Dataset.load(result.dataset.save(tmp_path / "s") and tmp_path / "s").train.label.sum() == result.dataset.train.label.sum()

    def test_the_audit_knows_whose_rows_it_read(self, label_free, toy, tmp_path):
        label_free.save_pretrained(tmp_path / "free")
        assert fitted_on_train(toy[1], tmp_path / "free").status == "pass"

    def test_what_cannot_be_sampled_says_so(self, label_free, clf):
        with pytest.raises(TardiffError, match="learnt without labels"):
            synthesise(label_free, 10, guidance=GuidanceSettings(guidance="none"), progress=False)
        other = dataclasses.replace(clf[1], codec=other_space(clf[1].codec))
        with pytest.raises(TardiffError, match="another space"):
            synthesise(label_free, 10, classifier=other, progress=False)


def other_space(codec):
    return msgspec.structs.replace(codec, observed_rate=tuple(rate / 2 for rate in codec.observed_rate))


class TestEnsemble:
    def test_the_mean_of_objectives_has_the_mean_gradient(self):
        def first(seen, label):
            return seen.square().sum(dim=(1, 2))

        def second(seen, label):
            return (seen * label[:, None, None]).sum()

        x, label = torch.randn(4, 2, 3), torch.tensor([0, 1, 2, 3])
        both = gradient_over_x(mean_of([first, second]), lambda z: z, x, label)
        torch.testing.assert_close(both, (2 * x + label[:, None, None]) / 2)

    def test_several_classifiers_guide_and_any_batch_gives_the_same_sample(self, run, clf, toy):
        other = fit_classifier(toy[1], ClassifierSettings(architecture="summary", epochs=4))
        guidance = GuidanceSettings(guidance="influence", form="cosine", strength=0.3)
        guide = build_guide(run[1], [clf[1], other], guidance, SamplerSettings(), 0)
        label, seeds = np.arange(70) % 2, row_seeds(0, range(70))
        whole = run[1](label, seeds, SamplerSettings(steps=5), guide).x
        assert torch.equal(run[1](label[66:], seeds[66:], SamplerSettings(steps=5), guide).x, whole[66:])
        alone = build_guide(run[1], [clf[1]], guidance, SamplerSettings(), 0)
        assert not torch.equal(run[1](label, seeds, SamplerSettings(steps=5), alone).x, whole)

    def test_a_classifier_of_another_task_is_refused(self, run, clf):
        card = msgspec.structs.replace(clf[1].card, task=msgspec.structs.replace(clf[1].card.task, name="other"))
        with pytest.raises(TardiffError, match="serves the task 'other'"):
            synthesise(run[1], 10, classifier=dataclasses.replace(clf[1], card=card), progress=False)


class TestPublishedRule:
    def test_follows_the_release_step_by_step(self, run, clf):
        """alpha g with g = alpha grad <normalised gradient of the batch-mean loss, normalised v>, and x shrunk by 1 - alpha."""
        guide = build_guide(run[1], [clf[1]], GuidanceSettings(guidance="published"), SamplerSettings(), 0)
        codec, classifier = run[1].codec, clf[1].classifier
        x, label = torch.randn(6, 8, 10, generator=torch.Generator().manual_seed(0)), torch.arange(6) % 2
        parameters = list(classifier.parameters())
        counts = torch.tensor(clf[1].card.guidance_counts, dtype=torch.float32)
        v = torch.cat([torch.tensordot(counts, g, dims=1).flatten() for g in clf[1].gradients[-1].values()])
        inputs = x.clone().requires_grad_(True)
        loss = classifier.loss(codec.seen(inputs), label).mean()
        g = torch.cat([t.flatten() for t in torch.autograd.grad(loss, parameters, create_graph=True)])
        gradient = 1e-5 * torch.autograd.grad((g / (g.norm() + 1e-6) * (v / v.norm())).sum(), inputs)[0]
        by_hand = (1 - 1e-5) * x + 1e-5 * gradient
        torch.testing.assert_close(x + guide(x, label, STEP, x), by_hand, atol=1e-9, rtol=1e-6)
        # a sample's guidance depends on its neighbours, which is one of its faults
        assert not torch.allclose(guide.gradient(x, label)[:2], guide.gradient(x[:2], label[:2]), rtol=1e-2)

    def test_is_inert(self, run, clf):
        result = synthesise(run[1], 64, classifier=clf[1], guidance=GuidanceSettings(guidance="published"), progress=False)
        assert result.movement.inert
        assert result.movement.value < 1e-3


class TestChosenStrength:
    """Samples are the toy's own rows, more or less spoilt, so that it is known which strength helps."""

    def test_takes_what_helps_and_falls_back_when_nothing_does(self, toy, run):
        data = toy[1]

        def draw(helpful):
            def rows(strength):
                share = strength if helpful else 1 - strength
                wrong = np.random.default_rng(0).random(len(data.train)) > share
                label = np.where(wrong, np.random.default_rng(1).permutation(data.train.label), data.train.label)
                return dataclasses.replace(data.train, label=label)

            return rows

        better = choose_strength(draw(True), run[1].codec, data, seed=0, candidates=(0.3, 1.0))
        assert better.strength == 1.0
        assert better.curve[-1].low > 0
        worse = choose_strength(draw(False), run[1].codec, data, seed=0, candidates=(0.3, 1.0))
        assert worse.strength == 0.0
        assert "unguided" in str(worse)

    def test_every_candidate_is_tried_and_data_are_needed(self, run, clf, toy):
        auto = GuidanceSettings(strength="auto")
        with pytest.raises(TardiffError, match="--data"):
            synthesise(run[1], 40, classifier=clf[1], guidance=auto, progress=False)
        result = synthesise(run[1], 80, classifier=clf[1], guidance=auto, data=toy[1], progress=False)
        assert len(result.choice.curve) == 4

    def test_the_fall_back_is_what_the_judges_called_unguided(self, run, clf, toy, monkeypatch):
        judged = []

        def nothing_helps(draw, *_, **__):
            judged.append(draw(0.0))
            return Choice(0.0, ())

        monkeypatch.setattr(synthesis, "choose_strength", nothing_helps)
        auto = synthesise(run[1], 80, classifier=clf[1], guidance=GuidanceSettings(strength="auto"), data=toy[1], progress=False)
        unguided = synthesise(run[1], 80, guidance=GuidanceSettings(guidance="none"), progress=False)
        np.testing.assert_array_equal(auto.dataset.train.values, unguided.dataset.train.values)
        np.testing.assert_array_equal(judged[0].values, unguided.dataset.train.values)

    def test_resamples_that_lack_a_class_say_nothing(self):
        gains = np.r_[0.04, np.random.default_rng(0).normal(0.04, 0.01, 200)]
        whole = _chosen({0.3: gains})
        holed = _chosen({0.3: np.r_[gains, np.nan]})
        assert holed.strength == 0.3
        assert holed.curve == whole.curve


class TestSelection:
    @pytest.mark.parametrize("select", ["influence", "shapley"])
    def test_keeps_as_many_of_each_label_and_only_drawn_samples(self, select, run, clf, toy):
        none = GuidanceSettings(guidance="none")
        selection = SelectionSettings(select=select, select_from=3)
        result = synthesise(run[1], 50, classifier=clf[1], guidance=none, selection=selection, data=toy[1], progress=False)
        plain = synthesise(run[1], 50, guidance=none, progress=False)
        assert np.bincount(result.dataset.train.label).tolist() == np.bincount(plain.dataset.train.label).tolist()
        pool = synthesise(run[1], 150, guidance=none, progress=False).dataset.train.values
        drawn = {row.tobytes() for row in np.nan_to_num(pool, nan=-1)}
        assert all(row.tobytes() in drawn for row in np.nan_to_num(result.dataset.train.values, nan=-1))


def test_a_folder_remembers_what_it_was(clf, tmp_path):
    clf[1].save(tmp_path / "c")
    back = ClassifierFolder.load(tmp_path / "c")
    assert weights_hash(back.classifier) == weights_hash(clf[1].classifier)
    assert back.card.task == clf[1].card.task


def test_projected_samples_need_no_repair(run):
    """The toy's pressures seldom cross, so they are asked for upside down: only projection at every step brings that about."""
    label, seeds = np.arange(200) % 2, row_seeds(0, range(200))
    codec = msgspec.structs.replace(run[1].codec, orderings=(("sbp", "dbp"),))

    def out_of_order(project):
        x = run[1].with_codec(codec)(label, seeds, SamplerSettings(steps=6, project=project)).x
        dbp, sbp = (codec.maps[c].to_value(x[:, c].double().numpy()) for c in (1, 2))
        seen = (x[:, 5] > codec.thresholds[1]) & (x[:, 6] > codec.thresholds[2])
        return float((sbp > dbp + 1e-3)[seen.numpy()].mean())

    assert out_of_order(True) == 0
    assert out_of_order(False) > 0.9


def test_a_second_round_adds_what_steered_samples_still_miss(run, clf):
    settings = GuidanceSettings(guidance="influence", form="gap", pilot=64, strength=0.0)  # a guide that does not act changes no pilot
    once, twice = (
        build_guide(run[1], [clf[1]], dataclasses.replace(settings, rounds=rounds), SamplerSettings(), seed=0) for rounds in (1, 2)
    )
    assert torch.equal(once.class_size, twice.class_size)  # the scale stays, so that guidance fades as the gap closes
    x = torch.randn(8, 2 * len(run[1].codec.channels), run[1].codec.steps, generator=torch.Generator().manual_seed(0))
    first, second = (guide.objective(run[1].codec.seen(x), torch.arange(8) % 2) for guide in (once, twice))
    assert first.any()
    torch.testing.assert_close(second, 2 * first, atol=1e-6, rtol=1e-4)


class TestClassifierFree:
    FREE = GuidanceSettings(guidance="classifier-free")

    def test_exaggerates_in_the_window_and_leaves_the_rest(self):
        def denoiser(x_t, timestep, label, static):
            return x_t * (1 + label[:, None, None].float()) + (0 if static is None else static.sum())

        sharp = classifier_free(denoiser, unconditional=2, scale=3.0, window=0.4)
        x, label, static = torch.ones(2, 3, 4), torch.tensor([0, 1]), torch.ones(2, 1)
        for t, wanted in ((999.0, 3 + 3 * ((label + 1) + 2 - 3.0)), (620.0, 3 + 3 * ((label + 1) + 2 - 3.0)), (500.0, (label + 1) + 2.0)):
            torch.testing.assert_close(sharp(x, torch.full((2,), t), label, static)[:, 0, 0], wanted.float())

    def test_scale_1_is_unguided_bit_for_bit(self, run):
        unguided = synthesise(run[1], 40, guidance=GuidanceSettings(guidance="none"), progress=False)
        plain = synthesise(run[1], 40, guidance=dataclasses.replace(self.FREE, label_scale=1.0), progress=False)
        np.testing.assert_array_equal(plain.dataset.train.values, unguided.dataset.train.values)
        assert plain.movement.inert

    def test_needs_no_classifier_and_parts_the_classes(self, run, clf, toy):
        def auroc(label_scale):
            settings = dataclasses.replace(self.FREE, label_scale=label_scale)
            made = synthesise(run[1], 300, guidance=settings, label_ratio="balanced", progress=False)
            seen = run[1].codec.seen(run[1].codec.encode(made.dataset.train))
            return roc_auc_score(made.dataset.train.label, clf[1].classifier.probability(seen)[:, 1]), made.movement

        (before, _), (after, movement) = auroc(1.0), auroc(4.0)
        assert after > before + 0.02
        assert movement.value > 0.01
        assert not movement.inert

    def test_a_sample_does_not_depend_on_its_batch(self, run):
        sharp, label, seeds = run[1].sharpened(2.0, 0.4), np.arange(70) % 2, row_seeds(0, range(70))
        few = sharp(label[:5], seeds[:5])
        np.testing.assert_array_equal(few.values, sharp(label, seeds).values[:5])

    def test_without_labels_there_is_nothing_to_exaggerate(self, label_free, served):
        none = synthesise(label_free, 30, classifier=served, guidance=GuidanceSettings(guidance="none"), progress=False)
        free = synthesise(label_free, 30, classifier=served, guidance=self.FREE, progress=False)
        np.testing.assert_array_equal(none.dataset.train.values, free.dataset.train.values)
