"""A generator that travels: what it takes from a local hospital, and what it keeps."""

import copy
from dataclasses import replace

import msgspec
import numpy as np
import pytest
import torch

from tardiff.base.noise import row_seeds
from tardiff.cli import main
from tardiff.data.dataset import Channel, Dataset, Static, Task
from tardiff.errors import TardiffError
from tardiff.model import local_search
from tardiff.model.adaptation import adapt
from tardiff.model.low_rank import Changed
from tardiff.model.pipeline import TarDiffPipeline
from tardiff.settings import AdaptSettings, SamplerSettings
from tests.conftest import make_dataset, make_split

FEW = AdaptSettings(steps=30, batch_size=32, validate_every=15)
LABELS = AdaptSettings(steps=60, batch_size=32, validate_every=30, learning_rate=1e-2)
NONE = AdaptSettings(steps=1, batch_size=8, learning_rate=1e-9)
"""Changes too small to be better."""


def hospital(rows=100, shift=0.0, charted=1.0, validation=60):
    """The toy's patients elsewhere: hearts `shift` faster, a share `charted` of the chart."""
    toy, splits = make_dataset(), {}
    for k, (name, n) in enumerate({"train": rows, "validation": validation}.items()):
        split = make_split(n, 50 + k, 10_000 * (k + 1))
        mask = split.mask * (np.random.default_rng(k).random(split.mask.shape) < charted)
        values = split.values + np.array([shift, 0, 0, 0], np.float32)[:, None]
        splits[name] = replace(split, values=np.where(mask == 1, values, np.nan), mask=mask.astype(np.uint8))
    splits = {name: split for name, split in splits.items() if len(split)}
    return Dataset(msgspec.structs.replace(toy.manifest, source="elsewhere"), splits).completed()


def drawn(pipeline, label, rows=128):
    return pipeline(np.full(rows, label), row_seeds(3, range(rows)), SamplerSettings(steps=6))


def hearts_and_rate(pipeline):
    """Mean heart rate by label, and the share of the chart that is filled."""
    both = [drawn(pipeline, label) for label in (0, 1)]
    return np.array([np.nanmean(samples.values[:, 0]) for samples in both]), np.mean([samples.mask.mean() for samples in both])


def weights(pipeline):
    return torch.cat([p.flatten() for network in (pipeline.unet, pipeline.charting) for p in network.parameters()])


class TestChanges:
    class Toy(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.label, self.layer, self.norm = torch.nn.Embedding(3, 4), torch.nn.Linear(4, 5), torch.nn.LayerNorm(5)

        def forward(self, label):
            return self.norm(self.layer(self.label(label)))

    def test_nothing_is_changed_at_first_and_merged_weights_do_what_changed_ones_did(self):
        network, label = self.Toy(), torch.tensor([0, 2])
        before = network(label)
        changed = Changed(network, rank=2, seed=0)
        assert torch.equal(changed(label), before)
        for change in changed.changes.values():
            torch.nn.init.normal_(change)
        after = changed(label).detach()
        assert not torch.allclose(after, before)
        embedding = network.label.weight.clone()
        torch.testing.assert_close(changed.merged()(label), after)
        assert torch.equal(network.label.weight, embedding)

    @pytest.mark.parametrize(("rank", "names"), [(0, 3), (2, 5)])
    def test_what_is_trained_is_of_low_rank(self, rank, names):
        changed = Changed(self.Toy(), rank, seed=0)
        assert {name.split(".")[0] for name, p in changed.named_parameters() if p.requires_grad} == {"changes"}
        assert len(changed.changes) == names
        for change in changed.changes.values():
            torch.nn.init.normal_(change)
        moved = dict(changed.weights())["layer.weight"] - changed.networks.layer.weight if rank else torch.zeros(5, 4)
        assert torch.linalg.matrix_rank(moved.detach()) == rank


def test_what_moves_all_labels_alike_costs_nothing_and_what_moves_one_costs_its_square():
    """A network that predicts its weight times the label plus its bias: half of the batch is held for each of the labels 0 and 1."""

    class Line(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.line = torch.nn.Linear(1, 1)

        def forward(self, x_t, timestep, label, static, chart, keep):
            v = self.line(label[:, None].float())[..., None]
            return v, v[:, 0, 0] * 0 + 7

    changed = Changed(Line(), rank=1, seed=0)
    arguments = torch.zeros(4, 1, 1), None, torch.full((4,), 2), None, torch.ones(4, 1, 1, dtype=torch.int64), None
    torch.nn.init.constant_(changed.changes["line/bias/change"], 3.0)
    assert local_search.SameEffect(changed, 2)(*arguments)[1].tolist() == [7] * 4
    torch.nn.init.constant_(changed.changes["line/weight/left"], 0.5)
    torch.nn.init.constant_(changed.changes["line/weight/right"], 1.0)
    v, penalised = local_search.SameEffect(changed, 2)(*arguments)
    torch.testing.assert_close(v, changed(*arguments)[0])
    moved = torch.tensor([0.5 * -2, 0.5 * -1] * 2)
    torch.testing.assert_close(penalised, 7 + local_search.HELD * moved**2)


def test_a_hundred_rows_bring_a_shifted_mean_over_and_the_labels_effect_stays(run, tmp_path):
    local = hospital(shift=20)
    adapted = adapt(run[1], local, tmp_path / "out", NONE, progress=False)
    np.testing.assert_allclose(hearts_and_rate(adapted)[0] - hearts_and_rate(run[1])[0], 20, atol=4)
    assert adapted.card.adaptation["new_value_maps"] == ("hr",)
    loaded = TarDiffPipeline.from_pretrained(tmp_path / "out")
    assert torch.equal(drawn(loaded, 1, 20).x0, drawn(adapted, 1, 20).x0)
    card = loaded.card
    assert (card.source, card.data_hash) == ("elsewhere", local.manifest.content_hash)
    assert (card.adaptation["from_source"], card.adaptation["from_data"]) == ("toy 1", run[1].card.data_hash)
    assert card.adaptation["rows"] == 100
    assert card.class_counts == tuple(np.bincount(local.train.label))
    assert "## Adaptation" in (tmp_path / "out" / "README.md").read_text()


def test_rarer_charting_is_learnt_without_labels_and_the_labels_effect_stays(run, tmp_path, monkeypatch):
    monkeypatch.setattr(local_search, "FEWEST_OF_A_CLASS", {"train": 1000})
    local = hospital(charted=0.4)
    adapted = adapt(run[1], local, tmp_path / "out", FEW, progress=False)
    facts = adapted.card.adaptation
    assert facts["loss_after"] < facts["loss_before"] - 0.1
    assert facts["steps_kept"] > 0
    (hearts, rate), (hearts_there, rate_there) = (hearts_and_rate(pipeline) for pipeline in (run[1], adapted))
    assert rate_there < rate - 0.15  # .71 before, .27 there
    assert np.diff(hearts_there) == pytest.approx(np.diff(hearts), rel=0.25)
    flipped = {name: replace(split, label=1 - split.label) for name, split in local.splits.items() if name == "train"}
    again = adapt(run[1], Dataset(local.manifest, {**local.splits, **flipped}).completed(), tmp_path / "flipped", FEW, progress=False)
    assert torch.equal(weights(again), weights(adapted))


def test_another_effect_of_the_label_is_learnt_where_local_rows_tell_it(run, tmp_path):
    """The dying have the slow hearts here."""
    local = hospital(rows=160, validation=80)
    opposite = {name: replace(split, label=1 - split.label) for name, split in local.splits.items()}
    adapted = adapt(run[1], Dataset(local.manifest, opposite).completed(), tmp_path / "opposite", LABELS, progress=False)
    assert adapted.card.adaptation["label_effect"] == "of local rows"
    before, after = (np.diff(hearts_and_rate(pipeline)[0]) for pipeline in (run[1], adapted))
    assert after < before - 5


def test_private_generators_say_whom_they_do_not_cover(run, tmp_path, capsys):
    private = copy.copy(run[1])
    private.card = msgspec.structs.replace(run[1].card, privacy={"epsilon": 4.0, "delta": 1e-5})
    adapted = adapt(private, hospital(rows=30, shift=20, validation=15), tmp_path / "out", NONE, progress=False)
    assert "differential privacy of RUN covers its own rows" in capsys.readouterr().err
    assert adapted.card.privacy == {}
    assert adapted.card.adaptation["label_effect"] == "of the first source"  # with nine deaths no other one is looked for
    assert adapted.card.adaptation["privacy_of_first_training"]["epsilon"] == 4.0


def test_an_adapted_generator_is_refined_on_the_rows_that_it_was_adapted_to(run, clf, tmp_path):
    from tardiff.refine import DiscriminatorSettings, PPOSettings, RefineSettings, refine

    local = hospital(rows=60, shift=20, validation=60)
    adapted = adapt(run[1], local, tmp_path / "adapted", NONE, progress=False)
    settings = RefineSettings(iterations=1, rows=64, steps=3, check_every=1, check_rows=64, rewards="influence=1", allow_worse=True)
    small = PPOSettings(update_epochs=1, minibatch_size=64), DiscriminatorSettings(width=8, updates=1, warm_up=1)
    with pytest.raises(TardiffError, match="not the data set that the generator was adapted to"):
        refine(adapted, hospital(rows=60, validation=60), tmp_path / "other", settings, *small, progress=False)
    refined = refine(adapted, local, tmp_path / "refined", settings, *small, clf[1], progress=False)
    assert refined.pipeline.codec.digest() == adapted.codec.digest() != run[1].codec.digest()
    assert refined.pipeline.card.adaptation == adapted.card.adaptation


@pytest.mark.parametrize("seed", range(3))
def test_patients_like_the_sources_change_nothing(run, tmp_path, seed):
    with pytest.raises(TardiffError, match="not written, because RUN as it is fits"):
        adapt(run[1], hospital(rows=60, validation=40), tmp_path / "out", replace(NONE, seed=seed), progress=False)
    assert not list(tmp_path.iterdir())


def test_interrupted_adaptation_ends_in_the_same_weights(run, tmp_path, monkeypatch):
    local, settings = hospital(rows=40, charted=0.4, validation=20), replace(FEW, steps=12, validate_every=4)
    straight = adapt(run[1], local, tmp_path / "straight", settings, progress=False)
    gradients = local_search.Steps.gradients

    def stop_at_10(self, step):
        if step == 10:
            raise KeyboardInterrupt
        return gradients(self, step)

    monkeypatch.setattr(local_search.Steps, "gradients", stop_at_10)
    with pytest.raises(KeyboardInterrupt):
        adapt(run[1], local, tmp_path / "out", settings, progress=False)
    assert {path.name for path in tmp_path.iterdir()} == {"straight", "out.partial"}
    monkeypatch.undo()
    with pytest.raises(TardiffError, match="other settings or data"):
        adapt(run[1], local, tmp_path / "out", replace(settings, seed=1), progress=False)
    resumed = adapt(run[1], local, tmp_path / "out", settings, progress=False)
    assert torch.equal(weights(resumed), weights(straight))
    assert resumed.card == straight.card
    assert {path.name for path in tmp_path.iterdir()} == {"straight", "out"}


def test_variables_that_are_lacking_or_unknown_are_named(run, tmp_path, capsys):
    local = hospital(shift=20, validation=0)
    manifest = local.manifest
    channels = (*manifest.channels[:2], Channel("lactate", "mmol/L", (0, 30), "last", 1.0), manifest.channels[3])
    statics = (Static("weight", "kg"), manifest.statics[1])
    task = Task("readmission", "came back", ("no", "yes"))
    other = Dataset(
        msgspec.structs.replace(manifest, channels=channels, statics=statics, task=task, orderings=()), local.splits
    ).completed()
    adapted = adapt(run[1], other, tmp_path / "out", NONE, progress=False)
    said = capsys.readouterr().err
    assert "no value of sbp, age;" in said
    assert "lactate, weight of --data is unknown to RUN" in said
    assert "labels of --data are not those of RUN (task death)" in said
    assert "no validation rows; a fifth" in said
    samples = drawn(adapted, 1, 50)
    assert not samples.mask[:, 2].any()
    assert np.isnan(samples.static[:, 0]).all()
    assert np.isfinite(samples.static[:, 1]).any()
    assert adapted.card.class_counts == run[1].card.class_counts
    assert adapted.card.task == run[1].card.task


def test_a_generator_without_labels(toy, tmp_path):
    from tardiff.model.training import train
    from tardiff.settings import TrainSettings
    from tests.conftest import tiny_training

    free = train(toy[1].unlabelled(), tmp_path / "free", tiny_training(TrainSettings, steps=2, validate_every=2), progress=False)
    adapted = adapt(free, hospital(charted=0.4), tmp_path / "out", replace(FEW, steps=10, validate_every=10), progress=False)
    assert adapted.card.adaptation["steps_kept"] == 10
    assert adapted.card.class_counts == (100,)
    assert TarDiffPipeline.from_pretrained(tmp_path / "out").labelled is False


def test_on_the_command_line(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    hospital(rows=60, shift=20, validation=20).save("local")
    main(["adapt", str(run[0]), "--data", "local", "--steps", "1", "--out", "out"])
    said = capsys.readouterr().out
    assert said.startswith("out: networks as they were")
    assert "new distributions of hr" in said
    main(["audit", "local", "--run", "out"])
    assert "adapted from a generator of other data" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: {"step_hours": 2.0}, "a step is 2 h"),
        (lambda m: {"channels": (msgspec.structs.replace(m.channels[0], unit="Hz"), *m.channels[1:])}, "channel hr is in 'Hz'"),
        (
            lambda m: {"channels": tuple(msgspec.structs.replace(c, name=c.name * 2) for c in m.channels), "orderings": ()},
            "no channel of RUN",
        ),
        (lambda m: {"task": msgspec.structs.replace(m.task, classes=("alive", "dead"))}, "class 'survived' is missing"),
    ],
)
def test_records_that_cannot_be_meant_are_refused(run, tmp_path, change, message):
    local = hospital(rows=30, validation=10)
    with pytest.raises(TardiffError, match=message):
        adapt(
            run[1], Dataset(msgspec.structs.replace(local.manifest, **change(local.manifest)), local.splits).completed(), tmp_path / "out"
        )
    assert not list(tmp_path.iterdir())


def test_too_few_rows_are_refused(run, tmp_path):
    with pytest.raises(TardiffError, match="16 training rows are too few"):
        adapt(run[1], hospital(rows=20, validation=0), tmp_path / "out")
