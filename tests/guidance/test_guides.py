"""Guides beyond the plain ones: ensembles, generators without labels, classifier-free guidance, selection."""

import dataclasses

import msgspec
import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from tardiff.audit.run import fitted_on_train
from tardiff.base.checkpoint import weights_hash
from tardiff.base.noise import row_seeds
from tardiff.classifier.folder import ClassifierFolder, fit_classifier
from tardiff.data.dataset import Dataset
from tardiff.errors import TardiffError
from tardiff.guidance.build import build_guide
from tardiff.guidance.gradient_guide import gradient_over_x
from tardiff.guidance.objectives import mean_of
from tardiff.model.denoisers import with_cfg
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.model.sampling import Step
from tardiff.model.training import train
from tardiff.settings import ClassifierSettings, GuidanceSettings, SamplerSettings, SelectionSettings, TrainSettings
from tardiff.synthesis import synthesise
from tests.conftest import tiny_training

STEP = Step(index=0, count=10, timestep=900.0, alpha=0.3, sigma=0.95)
CLASSIFIER = GuidanceSettings(strength=1.0, window=1.0, cfg_scale=1.0)
FEW_STEPS = {"sampler": SamplerSettings(steps=6), "progress": False}


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
        zeros, ones = (label_free(np.full(20, label), seeds).x0 for label in (0, 1))
        assert torch.equal(zeros, ones)

    def test_a_guide_gives_samples_their_label(self, label_free, served, toy):
        def right(guidance):
            options = {"sampler": SamplerSettings(steps=10), "label_ratio": "balanced", "progress": False}
            result = synthesise(label_free, 192, classifier=served, guidance=guidance, **options)
            seen = label_free.codec.encode(result.dataset.train)
            return float(np.mean(served.classifier.probability(seen).argmax(1) == result.dataset.train.label))

        assert right(CLASSIFIER) > right(dataclasses.replace(CLASSIFIER, guidance="none")) + 0.1

    def test_relabelled_samples_are_those_of_the_same_seeds_with_labels_by_rank(self, label_free, served):
        options = {"classifier": served, "guidance": GuidanceSettings(guidance="none"), **FEW_STEPS}
        asked, given = (synthesise(label_free, 60, relabel=relabel, **options).dataset.train for relabel in (False, True))
        np.testing.assert_array_equal(asked.values, given.values)
        assert given.label.sum() == asked.label.sum() > 0
        score = served.classifier.probability(label_free.codec.encode(given))[:, 1]
        assert score[given.label == 1].min() >= score[given.label == 0].max()

    def test_labels_by_rank_need_a_classifier(self, run):
        with pytest.raises(TardiffError, match="--relabel needs --classifier"):
            synthesise(run[1], 10, relabel=True, guidance=GuidanceSettings(guidance="none"), progress=False)

    def test_the_samples_serve_the_classifiers_task(self, label_free, served, toy, tmp_path):
        result = synthesise(label_free, 60, classifier=served, guidance=CLASSIFIER, **FEW_STEPS)
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
    return msgspec.structs.replace(codec, steps=codec.steps + 1)


class TestEnsemble:
    def test_the_mean_of_objectives_has_the_mean_gradient(self):
        def first(seen, label):
            return seen.square().sum(dim=(1, 2))

        def second(seen, label):
            return (seen * label[:, None, None]).sum()

        x, label = torch.randn(4, 2, 3), torch.tensor([0, 1, 2, 3])
        both = gradient_over_x(mean_of([first, second]), lambda z, chart: z, x, torch.ones_like(x), label)
        torch.testing.assert_close(both, (2 * x + label[:, None, None]) / 2)

    def test_several_classifiers_guide_and_any_batch_gives_the_same_sample(self, run, clf, toy):
        other = fit_classifier(toy[1], ClassifierSettings(architecture="summary", epochs=4))
        guidance = GuidanceSettings(objective="cosine=1", strength=0.3)
        guide = build_guide(run[1], [clf[1], other], guidance, 0.3)
        label, seeds = np.arange(70) % 2, row_seeds(0, range(70))
        whole = run[1](label, seeds, SamplerSettings(steps=5), guide).x0
        assert torch.equal(run[1](label[66:], seeds[66:], SamplerSettings(steps=5), guide).x0, whole[66:])
        alone = build_guide(run[1], [clf[1]], guidance, 0.3)
        assert not torch.equal(run[1](label, seeds, SamplerSettings(steps=5), alone).x0, whole)

    def test_a_classifier_of_another_task_is_refused(self, run, clf):
        card = msgspec.structs.replace(clf[1].card, task=msgspec.structs.replace(clf[1].card.task, name="other"))
        with pytest.raises(TardiffError, match="serves the task 'other'"):
            synthesise(run[1], 10, classifier=dataclasses.replace(clf[1], card=card), progress=False)


class TestSelection:
    def test_keeps_as_many_of_each_label_and_only_drawn_samples(self, run, clf):
        none = GuidanceSettings(guidance="none")
        selection = SelectionSettings(select="influence", select_from=3)
        options = {"guidance": none, **FEW_STEPS}
        result = synthesise(run[1], 50, classifier=clf[1], selection=selection, **options)
        plain = synthesise(run[1], 50, **options)
        assert np.bincount(result.dataset.train.label).tolist() == np.bincount(plain.dataset.train.label).tolist()
        pool = synthesise(run[1], 150, **options).dataset.train.values
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
    upside_down = TarDiffPipeline(run[1].unet, run[1].charting, run[1].scheduler, codec, run[1].statics, run[1].card)

    def out_of_order(project):
        samples = upside_down(label, seeds, SamplerSettings(steps=6, project=project))
        dbp, sbp = (codec.maps[c].to_value(samples.x0[:, c].double().numpy()) for c in (1, 2))
        charted = samples.mask.astype(bool)
        return float((sbp > dbp + 1e-3)[charted[:, 1] & charted[:, 2]].mean())

    assert out_of_order(True) == 0
    assert out_of_order(False) > 0.9


class TestClassifierFree:
    FREE = GuidanceSettings(guidance="classifier-free")

    def test_exaggerates_in_the_window_and_leaves_the_rest(self):
        def denoiser(x_t, timestep, label, static, chart):
            return x_t * (1 + label[:, None, None].float()) + 2 * static[:, :, None]

        sharp = with_cfg(denoiser, unconditional=2, cfg_scale=3.0, window=0.4)
        x, label, static = torch.ones(2, 3, 4), torch.tensor([0, 1]), torch.ones(2, 1)
        exaggerated = 3 + 3.0 * ((label + 1) - 3) + 2  # the descriptors' 2 is as it was
        for t, wanted in ((999.0, exaggerated), (620.0, exaggerated), (500.0, (label + 1) + 2.0)):
            torch.testing.assert_close(sharp(x, torch.full((2,), t), label, static, x)[:, 0, 0], wanted.float())

    def test_scale_1_is_unguided_bit_for_bit(self, run):
        unguided = synthesise(run[1], 40, guidance=GuidanceSettings(guidance="none"), **FEW_STEPS)
        plain = synthesise(run[1], 40, guidance=dataclasses.replace(self.FREE, cfg_scale=1.0), **FEW_STEPS)
        np.testing.assert_array_equal(plain.dataset.train.values, unguided.dataset.train.values)
        assert plain.movement.inert

    def test_needs_no_classifier_and_parts_the_classes(self, run, clf, toy):
        def auroc(cfg_scale):
            settings = dataclasses.replace(self.FREE, cfg_scale=cfg_scale)
            options = {"sampler": SamplerSettings(steps=10), "label_ratio": "balanced", "progress": False}
            made = synthesise(run[1], 256, guidance=settings, **options)
            seen = run[1].codec.encode(made.dataset.train)
            return roc_auc_score(made.dataset.train.label, clf[1].classifier.probability(seen)[:, 1]), made.movement

        (before, _), (after, movement) = auroc(1.0), auroc(4.0)
        assert after > before + 0.02
        assert movement.value > 0.01
        assert not movement.inert

    def test_a_sample_does_not_depend_on_its_batch(self, run):
        sharp, label, seeds = run[1].with_cfg(2.0, 0.4), np.arange(70) % 2, row_seeds(0, range(70))
        few, many = (sharp(label[:rows], seeds[:rows], SamplerSettings(steps=6)) for rows in (5, 70))
        np.testing.assert_array_equal(few.values, many.values[:5])

    def test_without_labels_there_is_nothing_to_exaggerate(self, label_free, served):
        none = synthesise(label_free, 30, classifier=served, guidance=GuidanceSettings(guidance="none"), **FEW_STEPS)
        free = synthesise(label_free, 30, classifier=served, guidance=self.FREE, **FEW_STEPS)
        np.testing.assert_array_equal(none.dataset.train.values, free.dataset.train.values)
