import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp

from tardiff.base.checkpoint import Checkpoint, Identity, pack, pack_adam, unpack, unpack_adam
from tardiff.data.codec import Codec
from tardiff.errors import TardiffError
from tardiff.evaluate.bootstrap import row_weights
from tardiff.model.pipeline import Samples
from tardiff.refine.early_stopping import Watch
from tardiff.refine.validation_checks import Exam, Examiner, compare, ks_distance

RANDOM = np.random.default_rng(0)


def exam(utility, distance, noise=0.0, marginal=0.05):
    draws = noise * RANDOM.normal(size=(3, 101))
    draws[:, 0] = 0
    return Exam(utility + draws[0], distance + draws[1], marginal + draws[2])


def test_distance_is_kolmogorov_and_smirnovs():
    ours, theirs = np.round(RANDOM.normal(size=(60, 3)), 1), np.round(RANDOM.normal(0.3, 1, size=(80, 3)), 1)  # with ties
    draws = ks_distance(ours, row_weights(60, 20, RANDOM), theirs, row_weights(80, 20, RANDOM))
    assert draws[0] == pytest.approx(np.mean([ks_2samp(ours[:, f], theirs[:, f]).statistic for f in range(3)]), abs=1e-6)
    assert draws[1:].std() > 0


def test_verdict_is_a_paired_difference():
    base = exam(0.3, 0.1)
    better, worse, unsure = compare(exam(0.35, 0.08), base), compare(exam(0.3, 0.13), base), compare(exam(0.29, 0.1, 0.02), base)
    assert better.score > 0 > worse.score
    assert worse.worse
    assert not better.worse
    assert not unsure.worse
    assert compare(exam(0.4, 0.1, marginal=0.09), base).worse
    assert compare(exam(0.3, 0.1, marginal=0.04), base).score > 0
    assert better.utility.value == pytest.approx(0.05)


def test_without_utility_the_distance_decides():
    nothing = np.empty(0)
    verdict = compare(Exam(nothing, np.full(11, 0.2), np.zeros(11)), Exam(nothing, np.full(11, 0.1), np.zeros(11)))
    assert verdict.utility is None
    assert verdict.worse
    assert str(verdict).startswith("TSTR unknown (it takes two classes, 5 samples of each), distance of features +0.100")


def test_scores_of_checkpoints_have_one_unit():
    """Twice the gains are twice the score, however much surer of the smaller ones one may be."""
    base = exam(0.3, 0.1, 0.01)
    near = Exam(base.utility + 0.01, base.distance - 0.01, base.marginal - 0.003)
    noise = 0.02 * RANDOM.normal(size=101) * (np.arange(101) > 0)
    far = Exam(base.utility + 0.02 + noise, base.distance - 0.02, base.marginal - 0.006)
    assert compare(far, base).score == pytest.approx(2 * compare(near, base).score)
    assert compare(base, base).score == 0


def test_resamples_that_lack_a_class_say_nothing():
    base, other = exam(0.3, 0.1, 0.01), exam(0.2, 0.1, 0.01)
    other.utility[5:9] = np.nan
    assert compare(other, base).worse
    assert np.isfinite(compare(other, base).score)
    other.utility[1:] = np.nan
    assert compare(other, base).utility is None


def test_interval_of_a_change_in_distance_lies_around_the_change():
    """Resampling adds the same noise to a small distance as to a large one, and more of it shows in the small one."""
    near, far = RANDOM.normal(size=(2, 300, 5))
    far[:, 0] += 0.8
    weights, real = (row_weights(300, 100, RANDOM) for _ in range(2))
    judge = RANDOM.normal(size=(300, 5))
    exams = [Exam(np.empty(0), ks_distance(rows, weights, judge, real), np.zeros(101)) for rows in (far, near)]
    change = compare(*exams).distance
    assert change.low < change.value < change.high
    assert (change.low + change.high) / 2 == pytest.approx(change.value, abs=(change.high - change.low) / 8)


def test_values_of_a_seldom_observed_channel_are_seen(toy):
    """As `evaluate` has it: the distance of observed values, mean over channels; a channel that samples never observe is 1 away."""
    data = toy[1]
    codec = Codec.fit(data.train, data.manifest)
    real, rows = data.split("validation"), data.train
    examine = Examiner(codec, data, 0)

    def marginal(values, mask):
        return examine(Samples(None, values, mask, rows.static, rows.label)).marginal[0]

    def ks(channel):
        return ks_2samp(*(split.values[:, channel][split.mask[:, channel] == 1] for split in (rows, real))).statistic

    each = [ks(channel) for channel in range(rows.mask.shape[1])]
    assert marginal(rows.values, rows.mask) == pytest.approx(np.mean(each), abs=1e-6)
    mask = rows.mask.copy()
    mask[:, 0] = 0
    assert marginal(np.where(mask == 1, rows.values, np.nan), mask) == pytest.approx(np.mean([1, *each[1:]]), abs=1e-6)


def test_hardly_any_sample_of_a_class_makes_no_utility(toy):
    data = toy[1]
    codec = Codec.fit(data.train, data.manifest)
    examine = Examiner(codec, data, 0)

    def of(rows):
        return examine(Samples(codec.encode(rows), rows.values, rows.mask, rows.static, rows.label))

    died = np.flatnonzero(data.train.label == 1)
    few = data.train.take(np.sort(np.append(np.flatnonzero(data.train.label == 0), died[:1])))
    assert len(of(data.train).utility)
    assert not len(of(few).utility)
    assert compare(of(few), of(data.train)).utility is None


def watched(exams, patience=2, trained=True):
    module, average = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    average.load_state_dict(module.state_dict())
    optimizer = torch.optim.Adam(module.parameters(), 1e-2)
    queue = iter(exams)
    watch = Watch(lambda: next(queue), module, average, optimizer, patience, trained)
    watch.begin()
    return watch, module, average


def set_to(network, value):
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(value)


def test_watch_keeps_the_best_goes_back_to_it_and_stops():
    watch, module, average = watched([exam(0.3, 0.1), exam(0.32, 0.1), exam(0.2, 0.3), exam(0.31, 0.1)])
    set_to(average, 1.0)
    assert watch.check(1)["best"] == 1
    set_to(module, 2.0)
    set_to(average, 2.0)
    assert watch.check(2)["went_back"]
    assert module.weight.item() == average.weight.item() == 1.0
    assert watch.optimizer.param_groups[0]["lr"] == 0.5e-2
    assert not watch.stopped
    watch.check(3)
    assert watch.stopped
    assert watch.best.iteration == 1


def test_what_is_worse_is_never_better_than_what_is_not():
    """A gain in utility that outweighs a loss in closeness must not hide a checkpoint that may be written."""
    watch, *_ = watched([exam(0.3, 0.1), exam(0.9, 0.2), exam(0.301, 0.1)])
    assert watch.check(1)["worse"]
    assert watch.check(2)["best"] == 2


def test_what_begins_untrained_is_not_gone_back_to():
    watch, module, _ = watched([exam(0.3, 0.1), exam(0.2, 0.1)], trained=False)
    set_to(module, 2.0)
    checked = watch.check(1)
    assert checked["worse"]
    assert not checked["went_back"]
    assert module.weight.item() == 2.0


def test_watch_goes_back_to_the_base_where_nothing_was_good():
    watch, module, average = watched([exam(0.3, 0.1), exam(0.2, 0.3)])
    start = module.weight.item()
    set_to(module, 2.0)
    set_to(average, 2.0)
    watch.check(1)
    assert module.weight.item() == average.weight.item() == start


def test_checkpoint_gives_back_what_it_got(tmp_path):
    watch, module, _ = watched([Exam(np.empty(0), np.arange(3.0), np.arange(3.0))] * 2)
    watch.check(1)
    optimizer = watch.optimizer
    module(torch.ones(1, 1)).sum().backward()
    optimizer.step()
    checkpoint = Checkpoint(tmp_path / "partial", Identity({"a": 1}, "hash"))
    assert checkpoint.load() is None
    checkpoint.save({**pack("model", module.state_dict()), **pack_adam("adam", module, optimizer), **watch.tensors()}, watch.progress())
    tensors, progress = checkpoint.load()

    again, other, _ = watched([Exam(np.empty(0), np.zeros(3), np.zeros(3))])
    other.load_state_dict(unpack("model", tensors))
    unpack_adam("adam", tensors, other, again.optimizer)
    again.restore(tensors, progress)
    assert torch.equal(other.weight, module.weight)
    assert again.best.verdict == watch.best.verdict
    assert again.base.utility.size == 0
    for network, adam in ((module, optimizer), (other, again.optimizer)):
        adam.zero_grad()
        network(torch.full((1, 1), 2.0)).sum().backward()
        adam.step()
    assert torch.equal(other.weight, module.weight)

    with pytest.raises(TardiffError, match="other settings or data"):
        Checkpoint(tmp_path / "partial", Identity({"a": 2}, "hash")).load()
    file = tmp_path / "partial" / "checkpoint.safetensors"
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(TardiffError, match="damaged"):
        checkpoint.load()
