import itertools

import numpy as np
import pytest
import torch

from tardiff.base.noise import row_seeds
from tardiff.data.resolution import ABSENT
from tardiff.model import charting as charting_module
from tardiff.model.charting import ChartingModel

RATES = ((0.5, 0.2, 0.3), (0.4, 0.0, 0.3, 0.3), (0.0, 0.5, 0.5))


def model(rates=RATES, static_features=2, seed=0):
    torch.manual_seed(seed)
    network = ChartingModel(rates, 2, static_features, width=16).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.2 * torch.randn(parameter.shape)
    return network


def every_chart(sizes, steps):
    """All charts of so few channels and steps, [N, C, T]."""
    return torch.tensor(list(itertools.product(*(range(size) for size in sizes for _ in range(steps))))).view(-1, len(sizes), steps)


@torch.no_grad()
@pytest.mark.parametrize("label", [0, 1, 2])
def test_probabilities_of_all_charts_add_up_to_one(label):
    network, charts = model(), every_chart((3, 4, 3), 1)
    static = torch.ones(len(charts), 2)
    of_one = (-network(charts, torch.full((len(charts),), label), static) * 3).exp()
    assert float(of_one.sum()) == pytest.approx(1, abs=1e-4)
    charts = every_chart((3, 3), 2)
    network = model(RATES[::2])
    of_two = (-network(charts, torch.full((len(charts),), label), torch.ones(len(charts), 2)) * 4).exp()
    assert float(of_two.sum()) == pytest.approx(1, abs=1e-4)


@torch.no_grad()
def test_charts_are_drawn_with_their_probability():
    network, charts = model(RATES[::2]), every_chart((3, 3), 2)
    likely = (-network(charts, torch.ones(len(charts), dtype=torch.int64), torch.zeros(len(charts), 2)) * 4).exp()
    rows = 6000
    drawn = network.sample(torch.ones(rows, dtype=torch.int64), row_seeds(0, range(rows)), 2, torch.zeros(rows, 2))
    number = {tuple(chart.flatten().tolist()): i for i, chart in enumerate(charts)}
    counts = np.bincount([number[tuple(chart.flatten().tolist())] for chart in drawn], minlength=len(charts))
    error = 4 * np.sqrt(likely.numpy() * (1 - likely.numpy()) / rows) + 2 / rows
    assert (np.abs(counts / rows - likely.numpy()) < error).all()


def test_what_training_never_saw_is_never_drawn():
    drawn = model().sample(torch.zeros(400, dtype=torch.int64), row_seeds(0, range(400)), 6, torch.zeros(400, 2))
    assert not (drawn[:, 1] == 1).any()
    assert not (drawn[:, 2] == ABSENT).any()
    assert drawn[:, 0].unique().tolist() == [0, 1, 2]


def test_a_row_does_not_depend_on_its_batch():
    network, label, static = model(), torch.arange(100) % 2, torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
    seeds = row_seeds(3, range(100))
    whole = network.sample(label, seeds, 7, static)
    assert torch.equal(network.sample(label[40:43], seeds[40:43], 7, static[40:43]), whole[40:43])


@torch.no_grad()
def test_what_comes_later_is_not_known_before():
    """Chart likelihoods, symbol by symbol: a change of the last symbol changes no other symbol's part."""
    network, label = model(static_features=0), torch.zeros(2, dtype=torch.int64)
    chart = network.sample(label[:1], row_seeds(0, range(1)), 5).repeat(2, 1, 1)
    chart[1, 2, 4] = 3 - chart[1, 2, 4]  # 1 and 2, the possible ones
    whole = network(chart, label)
    without = network(chart[..., :4], label)
    assert float(without[0]) == float(without[1])
    assert float(whole[0]) != float(whole[1])


@pytest.mark.parametrize("steps", [3, 40])
def test_a_channel_reads_its_own_last_steps(steps):
    chart = (torch.rand(2, 3, steps, generator=torch.Generator().manual_seed(0)) < 0.5).long()
    lags = charting_module._lags(chart, 0)
    assert lags.shape == (2, steps, 3, charting_module.LAGS)
    for t in range(steps):
        for lag in range(1, charting_module.LAGS + 1):
            expected = chart[:, :, t - lag].float() if lag <= t else torch.zeros(2, 3)
            assert torch.equal(lags[:, t, :, -lag], expected)
    assert torch.equal(charting_module._lags(chart, steps - 1), lags[:, -1:])


def test_label_descriptors_and_hidden_units_matter():
    network, chart = model(), every_chart((3, 4, 3), 1)[:20]
    label, static = torch.zeros(20, dtype=torch.int64), torch.zeros(20, 2)
    plain = network(chart, label, static)
    assert not torch.allclose(network(chart, label + 1, static), plain)
    assert not torch.allclose(network(chart, label, static + 1), plain)
    assert not torch.allclose(network(chart, label, static, torch.zeros(20, 16)), plain)
    assert torch.equal(network(chart, label, static, torch.ones(20, 16)), plain)


def test_every_weight_gets_a_gradient():
    network = model()
    chart = network.sample(torch.zeros(60, dtype=torch.int64), row_seeds(0, range(60)), 5, torch.zeros(60, 2))
    network(chart, torch.arange(60) % 3, torch.randn(60, 2)).mean().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_saved_and_loaded_is_the_same(tmp_path):
    network = model()
    network.save_pretrained(tmp_path)
    again = ChartingModel.from_pretrained(tmp_path).eval()
    chart = every_chart((3, 4, 3), 1)
    label, static = torch.zeros(len(chart), dtype=torch.int64), torch.zeros(len(chart), 2)
    assert torch.equal(again(chart, label, static), network(chart, label, static))
