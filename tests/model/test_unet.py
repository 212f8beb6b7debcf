import pytest
import torch

from tardiff.data.resolution import ABSENT, FIRST_GRID
from tardiff.model.unet import SMALL, TemporalUNet, before, character, distance_to_charted

SYMBOLS = 4


def network(channels=6, classes=2, static_features=3, widths=(16, 24, 24)):
    torch.manual_seed(0)
    unet = TemporalUNet((SYMBOLS,) * channels, classes, static_features, widths=widths).eval()
    for parameter in unet.parameters():  # new blocks are the identity; a test needs them awake
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return unet


def arguments(rows, channels=6, length=24, static_features=3):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(rows, channels, length, generator=generator)
    t = 1000 * torch.rand(rows, generator=generator)
    static = torch.randn(rows, static_features, generator=generator) if static_features else None
    return x, t, torch.arange(rows) % 3, static, torch.randint(0, SYMBOLS, x.shape, generator=generator)


@pytest.mark.parametrize("length", [1, 2, 3, 7, 24, 48, 101])
@pytest.mark.parametrize("channels", [2, 14, 74])
def test_any_length_and_channel_count(length, channels):
    out = network(channels)(*arguments(3, channels, length))
    assert out.shape == (3, channels, length)
    assert torch.isfinite(out).all()


@torch.no_grad()
def test_a_row_does_not_depend_on_its_neighbours_or_place():
    unet, (x, t, label, static, chart) = network(), arguments(64)
    out = unet(x, t, label, static, chart)
    order = torch.randperm(64, generator=torch.Generator().manual_seed(2))
    assert torch.equal(unet(x[order], t[order], label[order], static[order], chart[order]), out[order])
    others = torch.where(torch.arange(64)[:, None, None] == 5, x, -3 * x)
    assert torch.equal(unet(others, t, label, static, chart)[5], out[5])


@torch.no_grad()
@pytest.mark.parametrize("which", [0, 1, 2, 3, 4])
def test_every_input_matters(which):
    unet, inputs = network(), list(arguments(4))
    before = unet(*inputs)
    inputs[which] = {2: 2 - inputs[2], 4: SYMBOLS - 1 - inputs[4]}.get(which, inputs[which] * 0.5 + 0.3)
    assert not torch.allclose(unet(*inputs)[0], before[0], atol=1e-4)


@torch.no_grad()
def test_the_last_hour_is_heard_by_the_first():
    unet, (x, t, label, static, chart) = network(), arguments(2)
    changed = x.clone()
    changed[..., -1] += 1
    chart[..., -1] = FIRST_GRID
    assert not torch.equal(unet(changed, t, label, static, chart)[..., 0], unet(x, t, label, static, chart)[..., 0])


@torch.no_grad()
def test_what_is_not_charted_is_not_heard():
    unet, (x, t, label, static, chart) = network(), arguments(8)
    changed = torch.where(chart == ABSENT, x + 5, x)
    assert torch.equal(unet(changed, t, label, static, chart), unet(x, t, label, static, chart))


def test_neighbours_by_hand():
    charted = torch.tensor([[[True, False, False, True, True]]])
    x_t = torch.tensor([[[1.0, 2.0, 3.0, 4.0, 5.0]]])
    assert before(x_t, charted).tolist() == [[[0, 1, 1, 1, 4]]]
    chart = torch.where(charted, FIRST_GRID, ABSENT)
    torch.testing.assert_close(distance_to_charted(chart), torch.tensor([[[1.0, 1, 2, 3, 1]]]).log() / 3)


def test_a_new_network_predicts_zero_and_every_weight_gets_a_gradient():
    unet = TemporalUNet((SYMBOLS,) * 6, 2, 3, widths=(16, 24))
    assert not unet(*arguments(4)).any()
    awake = network()
    awake(*arguments(6)).square().mean().backward()
    assert [name for name, p in awake.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_without_statics():
    unet = network(static_features=0)
    assert unet(*arguments(3, static_features=0)).shape == (3, 6, 24)


def test_saved_and_loaded_is_the_same(tmp_path):
    unet = network()
    unet.save_pretrained(tmp_path)
    loaded = TemporalUNet.from_pretrained(tmp_path).to(memory_format=torch.channels_last).eval()
    with torch.no_grad():
        assert torch.equal(loaded(*arguments(64)), unet(*arguments(64)))


def test_the_character_of_a_record_is_its_mean_spread_and_restlessness():
    x = torch.tensor([[[1.0, 0.0, 3.0, 0.0, 2.0], [0.0, 0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 5.0, 0.0]]])
    charted = torch.tensor([[[1, 0, 1, 0, 1], [0, 0, 0, 0, 0], [0, 0, 0, 1, 0]]]).bool()
    found = character(x, before(x, charted), charted).reshape(3, 3)
    torch.testing.assert_close(found[0], torch.tensor([2.0, 0.0, 5.0]))
    variance, change = torch.tensor([2 / 3, 0.0, 0.0]), torch.tensor([(2**2 + 1**2) / 2, 0.0, 0.0])
    torch.testing.assert_close(found[1], (variance + SMALL).log())
    torch.testing.assert_close(found[2], (change + SMALL).log())
