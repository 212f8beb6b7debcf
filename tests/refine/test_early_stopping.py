import numpy as np
import pytest
import torch

from tardiff.base.checkpoint import Checkpoint, Identity, pack, pack_adam, unpack, unpack_adam
from tardiff.errors import TardiffError
from tardiff.refine.early_stopping import EarlyStopping
from tardiff.refine.validation_checks import CheckFigures


def figures(utility, distance):
    return CheckFigures(np.full(101, utility), np.full(101, distance), np.full(101, 0.05))


def started(measured, patience=2, trained=True):
    module, average = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    average.load_state_dict(module.state_dict())
    optimizer = torch.optim.Adam(module.parameters(), 1e-2)
    queue = iter(measured)
    stopping = EarlyStopping(lambda: next(queue), module, average, optimizer, patience, trained)
    stopping.begin()
    return stopping, module, average


def set_to(network, value):
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(value)


def test_it_keeps_the_best_goes_back_to_it_and_stops():
    stopping, module, average = started([figures(0.3, 0.1), figures(0.32, 0.1), figures(0.2, 0.3), figures(0.31, 0.1)])
    set_to(average, 1.0)
    assert stopping.check(1)["best"] == 1
    set_to(module, 2.0)
    set_to(average, 2.0)
    assert stopping.check(2)["went_back"]
    assert module.weight.item() == average.weight.item() == 1.0
    assert stopping.optimizer.param_groups[0]["lr"] == 0.5e-2
    assert not stopping.stopped
    stopping.check(3)
    assert stopping.stopped
    assert stopping.best.iteration == 1


def test_what_is_worse_is_never_better_than_what_is_not():
    """A gain in utility that outweighs a loss in closeness must not hide a checkpoint that may be written."""
    stopping, *_ = started([figures(0.3, 0.1), figures(0.9, 0.2), figures(0.301, 0.1)])
    assert stopping.check(1)["worse"]
    assert stopping.check(2)["best"] == 2


def test_what_begins_untrained_is_not_gone_back_to():
    stopping, module, _ = started([figures(0.3, 0.1), figures(0.2, 0.1)], trained=False)
    set_to(module, 2.0)
    checked = stopping.check(1)
    assert checked["worse"]
    assert not checked["went_back"]
    assert module.weight.item() == 2.0


def test_it_goes_back_to_the_base_where_nothing_was_good():
    stopping, module, average = started([figures(0.3, 0.1), figures(0.2, 0.3)])
    start = module.weight.item()
    set_to(module, 2.0)
    set_to(average, 2.0)
    stopping.check(1)
    assert module.weight.item() == average.weight.item() == start


def test_checkpoint_gives_back_what_it_got(tmp_path):
    stopping, module, _ = started([CheckFigures(np.empty(0), np.arange(3.0), np.arange(3.0))] * 2)
    stopping.check(1)
    optimizer = stopping.optimizer
    module(torch.ones(1, 1)).sum().backward()
    optimizer.step()
    checkpoint = Checkpoint(tmp_path / "partial", Identity({"a": 1}, "hash"))
    assert checkpoint.load() is None
    model = pack("model", module.state_dict()) | pack_adam("adam", module, optimizer)
    checkpoint.save(model | stopping.tensors(), stopping.progress())
    tensors, progress = checkpoint.load()

    again, other, _ = started([CheckFigures(np.empty(0), np.zeros(3), np.zeros(3))])
    other.load_state_dict(unpack("model", tensors))
    unpack_adam("adam", tensors, other, again.optimizer)
    again.restore(tensors, progress)
    assert torch.equal(other.weight, module.weight)
    assert again.best.check == stopping.best.check
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
