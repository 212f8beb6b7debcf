import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from tardiff.data.codec import Codec, ValueMap
from tardiff.errors import TardiffError


@pytest.fixture(scope="module")
def codec(toy):
    return Codec.fit(toy[1].train, toy[1].manifest)


def test_decode_inverts_encode(toy, codec):
    split = toy[1].train
    values, mask = codec.decode(codec.encode(split))
    np.testing.assert_array_equal(mask, split.mask)
    in_range = np.abs(codec.encode(split)[:, :4].numpy()) < 3.9  # beyond, scores are clipped
    chosen = (mask == 1) & in_range
    expected, got = split.values, values
    unordered = chosen & ~((split.values[:, [1]] > split.values[:, [2]]).any(axis=2, keepdims=True))
    np.testing.assert_allclose(got[unordered], expected[unordered], rtol=1e-4, atol=1e-3)


@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=300))
@settings(max_examples=100, deadline=None)
def test_value_map_is_monotone_and_inverts(values):
    observed = np.array(values, dtype=np.float32)
    value_map = ValueMap.fit(observed)
    assert np.all(np.diff(value_map.value) > 0)
    assert np.all(np.diff(value_map.score) > 0)
    scores = value_map.to_score(np.sort(observed))
    assert np.all(np.diff(scores) >= 0)
    inside = np.abs(scores) < 3.99
    np.testing.assert_allclose(value_map.to_value(scores)[inside], np.sort(observed)[inside], rtol=1e-5, atol=1e-3)


def test_scores_are_normal():
    observed = np.random.default_rng(0).gamma(2, 10, 20_000).astype(np.float32)
    scores = ValueMap.fit(observed).to_score(observed)
    for q in (0.01, 0.25, 0.5, 0.75, 0.99):
        assert np.quantile(scores, q) == pytest.approx(norm.ppf(q), abs=0.02)


def test_ties_take_their_middle_rank():
    value_map = ValueMap.fit(np.array([1, 1, 1, 2], dtype=np.float32))
    np.testing.assert_allclose(value_map.to_score(np.array([1.0, 2.0])), norm.ppf([3 / 8, 7 / 8]))


def test_constant_and_empty_channels_are_finite():
    assert ValueMap.fit(np.array([5.0, 5.0], dtype=np.float32)).to_score(np.array([5.0]))[0] == 0
    assert np.isfinite(ValueMap.fit(np.array([], dtype=np.float32)).to_score(np.array([3.0]))).all()


def naive_fill(value, mask, normal):
    filled = np.empty_like(value)
    for row in range(value.shape[0]):
        for channel in range(value.shape[1]):
            last = normal[channel]
            for step in range(value.shape[2]):
                last = value[row, channel, step] if mask[row, channel, step] else last
                filled[row, channel, step] = last
    return filled


def test_fill_is_the_last_observation_then_the_normal_value(toy, codec):
    split = toy[1].train.take(np.arange(20))
    x = codec.encode(split).numpy()
    normal = [m.to_score(np.array(c.normal)) for c, m in zip(codec.channels, codec.maps, strict=True)]
    np.testing.assert_allclose(x[:, :4], naive_fill(x[:, :4], split.mask, normal), atol=1e-6)


def test_real_rows_look_the_same_whatever_the_thresholds(toy, codec):
    x = codec.encode(toy[1].train)
    other = msgspec.structs.replace(codec, thresholds=(0.9, -0.9, 0.3, 0.0))
    torch.testing.assert_close(codec.seen(x), other.seen(x), atol=1e-6, rtol=0)


def test_seen_blends_value_and_fill_by_hand(codec):
    x = torch.zeros(1, 8, 10)
    x[:, :4, 0], x[:, :4, 1] = 1.5, -2.0
    x[:, 4:, 0], x[:, 4:, 1:] = 1.0, -0.05  # the second step is unobserved, but only just
    soft = torch.sigmoid(torch.tensor(-0.05 / 0.1))
    seen = codec.seen(x)
    assert seen[0, 0, 1] == pytest.approx(float(soft * -2.0 + (1 - soft) * 1.5), abs=1e-3)
    assert seen[0, 4, 1] == pytest.approx(float(soft), abs=1e-6)


def test_gradient_flows_through_value_and_bit(codec):
    x = (0.1 * torch.randn(3, 8, 10)).requires_grad_(True)
    codec.seen(x).square().sum().backward()
    assert (x.grad[:, :4] != 0).any()
    assert (x.grad[:, 4:] != 0).any()


def test_thresholds_give_the_training_missingness(toy, codec):
    x = torch.randn(400, 8, 10, generator=torch.Generator().manual_seed(0)).clamp(-0.9, 0.9)
    _, mask = codec.fit_thresholds(x).decode(x)
    np.testing.assert_allclose(mask.mean(axis=(0, 2)), codec.observed_rate, atol=0.01)


def test_what_was_never_observed_never_is_and_constants_stay_constant(toy):
    split = toy[1].train
    mask, values = split.mask.copy(), split.values.copy()
    mask[:, 0], values[:, 0] = 0, np.nan
    values[:, 3] = np.where(mask[:, 3] == 1, 7.0, np.nan)
    codec = Codec.fit(type(split)(**{**split.arrays(), "mask": mask, "values": values}), toy[1].manifest)
    x = torch.randn(300, 8, 10, generator=torch.Generator().manual_seed(2)).clamp(-1, 1)
    decoded, observed = codec.fit_thresholds(x).decode(x)
    assert not observed[:, 0].any()
    assert set(np.unique(decoded[:, 3][observed[:, 3] == 1])) == {7.0}
    assert torch.isfinite(codec.fit_thresholds(x).seen(x)).all()


def test_decoded_values_keep_limits_order_and_whole_numbers(codec):
    x = 3 * torch.randn(50, 8, 10, generator=torch.Generator().manual_seed(1))
    values, mask = codec.decode(x)
    for c, channel in enumerate(codec.channels):
        observed = values[:, c][mask[:, c] == 1]
        assert observed.min() >= channel.limits[0]
        assert observed.max() <= channel.limits[1]
    gcs = values[:, 3][mask[:, 3] == 1]
    np.testing.assert_array_equal(gcs, np.rint(gcs))
    both = (mask[:, 1] & mask[:, 2]) == 1
    assert both.any()
    assert (values[:, 1][both] <= values[:, 2][both]).all()


def test_ordering_keeps_the_set_of_values():
    from tardiff.data.codec import _put_in_order

    values = np.array([[[3.0], [1.0], [2.0]]])
    mask = np.array([[[True], [False], [True]]])
    _put_in_order(values, mask, [0, 1, 2])
    assert values[0, :, 0].tolist() == [2.0, 1.0, 3.0]


def test_stored_codec_is_the_same(codec, tmp_path):
    codec.save(tmp_path / "codec.json")
    assert Codec.load(tmp_path / "codec.json") == codec
    (tmp_path / "codec.json").write_text("{}")
    with pytest.raises(TardiffError, match=r"codec\.json"):
        Codec.load(tmp_path / "codec.json")


def test_digest_ignores_thresholds_only(toy, codec):
    assert codec.fit_thresholds(torch.randn(50, 8, 10)).digest() == codec.digest()
    assert Codec.fit(toy[1].splits["test"], toy[1].manifest).digest() != codec.digest()


def test_other_shapes_are_refused(toy, codec):
    short = toy[1].train
    cut = type(short)(**{**short.arrays(), "values": short.values[..., :5], "mask": short.mask[..., :5]})
    with pytest.raises(TardiffError, match="shape"):
        codec.encode(cut)


class TestProjection:
    """What keeps a clean estimate possible."""

    def test_limits_and_order_hold_in_physical_units(self, codec):
        x = 3 * torch.randn(50, 8, 10, generator=torch.Generator().manual_seed(0))
        projected = codec.project(x)
        _values, mask = codec.decode(projected)
        raw = np.stack([m.to_value(projected[:, c].double().numpy()) for c, m in enumerate(codec.maps)], axis=1)
        for c, channel in enumerate(codec.channels):
            assert raw[:, c].min() >= channel.limits[0] - 1e-2
            assert raw[:, c].max() <= channel.limits[1] + 1e-2
        both = (mask[:, 1] == 1) & (mask[:, 2] == 1)
        assert both.any()
        assert (raw[:, 1] <= raw[:, 2] + 1e-2)[both].all()
        assert projected[:, 4:].abs().max() <= 1

    def test_possible_records_stay_as_they_are(self, toy, codec):
        x = codec.encode(toy[1].train)
        values = toy[1].train.values
        possible = ~((values[:, 1] > values[:, 2]).any(axis=1)) & (x[:, :4].abs().amax(dim=(1, 2)) < 3.9).numpy()
        assert possible.sum() > 50
        assert torch.equal(codec.project(x)[torch.from_numpy(possible)], x[torch.from_numpy(possible)])

    def test_twice_is_once(self, codec):
        x = codec.project(3 * torch.randn(50, 8, 10, generator=torch.Generator().manual_seed(1)))
        torch.testing.assert_close(codec.project(x), x, atol=1e-5, rtol=1e-5)


def test_repaired_counts_what_decoding_moves(toy, codec):
    x = codec.encode(toy[1].train.take(np.arange(1)))
    x[0, 4:] = -1
    for channel, score in ((0, 0.0), (1, 0.0), (2, 0.0)):  # ten observed steps of heart rate, diastolic and systolic pressure
        x[0, channel], x[0, 4 + channel] = score, 1.0
    assert codec.repaired(x) == 0
    x[0, 1, :3], x[0, 2, :3] = 3.0, -3.0  # diastolic above systolic: both move
    assert codec.repaired(x) == pytest.approx(6 / 30)
    x[0, 0, 0] = -60.0  # beyond the lower limit of the heart rate
    assert codec.repaired(x) == pytest.approx(7 / 30)
