import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from tardiff.data.codec import Codec, ValueMap
from tardiff.data.resolution import ABSENT, FIRST_GRID, REPEAT, chart_of
from tardiff.errors import TardiffError


@pytest.fixture(scope="module")
def codec(toy):
    return Codec.fit(toy[1].train, toy[1].manifest)


def ordered(split):
    """Rows whose chain is in order where it is charted: decoding leaves them as they are."""
    low, high = split.values[:, 1], split.values[:, 2]
    return ~(low > high).any(axis=1)


@pytest.mark.parametrize("place", [None, -0.49, 0.0, 0.49])
def test_decode_inverts_scores_wherever_a_value_stands_in_its_interval(toy, codec, place):
    split = toy[1].train
    split = split.take(np.flatnonzero(ordered(split)))
    entries = codec.entries(split)
    x0 = codec.scores(entries, None if place is None else torch.full((len(split), 4), place))
    values, mask = codec.decode(x0, entries.chart)
    np.testing.assert_array_equal(mask, split.mask)
    within = (mask == 1) & (np.abs(x0.numpy()) < 3.9)  # beyond, scores are clipped
    on_grid = entries.width > 0
    np.testing.assert_allclose(values[within & on_grid], split.values[within & on_grid], rtol=1e-6)
    np.testing.assert_allclose(values[within & ~on_grid], split.values[within & ~on_grid], rtol=1e-4, atol=1e-3)


@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=300), st.sampled_from([0.0, 0.5, 10.0]))
@settings(max_examples=100)
def test_value_map_is_monotone_and_inverts(values, width):
    observed = np.array(values, dtype=np.float64)
    value_map = ValueMap.fit(observed, np.full(len(observed), width))
    assert np.all(np.diff(value_map.value) > 0)
    assert np.all(np.diff(value_map.score) > 0)
    scores = value_map.to_score(np.sort(observed))
    assert np.all(np.diff(scores) >= 0)
    inside = np.abs(scores) < 3.99
    np.testing.assert_allclose(value_map.to_value(scores)[inside], np.sort(observed)[inside], rtol=1e-5, atol=1e-3)


def test_scores_are_normal():
    observed = np.random.default_rng(0).gamma(2, 10, 20_000)
    scores = ValueMap.fit(observed, np.zeros(len(observed))).to_score(observed)
    for q in (0.01, 0.25, 0.5, 0.75, 0.99):
        assert np.quantile(scores, q) == pytest.approx(norm.ppf(q), abs=0.02)


def test_a_tie_fills_the_scores_that_it_has_the_mass_of():
    observed = np.repeat([1.0, 2.0, 3.0], [2000, 5000, 3000])
    value_map = ValueMap.fit(observed, np.ones(len(observed)))
    np.testing.assert_allclose(value_map.to_score(np.array([1.5, 2.5])), norm.ppf([0.2, 0.7]), atol=0.05)
    scores = norm.ppf(np.random.default_rng(0).random(20_000))
    shares = np.bincount(np.rint(value_map.to_value(scores)).astype(int).clip(1, 3), minlength=4)[1:] / 20_000
    np.testing.assert_allclose(shares, [0.2, 0.5, 0.3], atol=0.015)


def test_no_knot_is_the_value_of_a_few_entries():
    observed = np.concatenate([np.random.default_rng(0).normal(80, 10, 5000), [500.0]])
    value_map = ValueMap.fit(observed, np.zeros(len(observed)))
    assert (observed > value_map.value[-1]).sum() >= 5
    assert (observed < value_map.value[0]).sum() >= 5


def test_constant_and_empty_channels_are_finite():
    constant = ValueMap.fit(np.array([5.0, 5.0]), np.zeros(2))
    assert constant.to_score(np.array([5.0]))[0] == 0
    assert np.isfinite(ValueMap.fit(np.array([]), np.array([])).to_score(np.array([3.0]))).all()


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
    seen = codec.encode(split).numpy()
    normal = [m.to_score(np.array(c.normal)) for c, m in zip(codec.channels, codec.maps, strict=True)]
    np.testing.assert_allclose(seen[:, :4], naive_fill(seen[:, :4], split.mask, normal), atol=1e-6)


def test_real_rows_look_the_same_from_their_scores_and_chart(toy, codec):
    entries = codec.entries(toy[1].train)
    torch.testing.assert_close(codec.seen(codec.scores(entries), entries.chart), codec.encode(toy[1].train))


def test_gradient_flows_through_what_is_charted_alone(toy, codec):
    chart = codec.entries(toy[1].train.take(np.arange(6))).chart
    x0 = torch.randn(chart.shape, generator=torch.Generator().manual_seed(0)).requires_grad_(True)
    codec.seen(x0, chart).square().sum().backward()
    assert (x0.grad[chart != ABSENT] != 0).all()
    assert (x0.grad[chart == ABSENT] == 0).all()


def test_symbol_rates_are_those_of_the_charts(toy, codec):
    chart = codec.entries(toy[1].train).chart.numpy()
    for c, rate in enumerate(codec.symbol_rate):
        np.testing.assert_allclose(rate, [(chart[:, c] == symbol).mean() for symbol in range(len(rate))])
        assert sum(rate) == pytest.approx(1)


def test_a_channel_never_observed_has_one_symbol_and_constants_stay_constant(toy):
    split = toy[1].train
    mask, values = split.mask.copy(), split.values.copy()
    mask[:, 0], values[:, 0] = 0, np.nan
    values[:, 3] = np.where(mask[:, 3] == 1, 7.0, np.nan)
    codec = Codec.fit(type(split)(**{**split.arrays(), "mask": mask, "values": values}), toy[1].manifest)
    assert codec.symbol_rate[0] == (1.0, 0.0, 0.0)
    chart = torch.full((30, 4, 10), REPEAT)
    chart[..., 0] = FIRST_GRID
    decoded, _ = codec.decode(torch.randn(30, 4, 10, generator=torch.Generator().manual_seed(2)), chart)
    assert set(np.unique(decoded[:, 3])) == {7.0}


def random_records(codec, seed=1, rows=50):
    random = np.random.default_rng(seed)
    chart = np.stack([random.integers(0, symbols, (rows, codec.steps)) for symbols in codec.symbols], axis=1)
    return 3 * torch.from_numpy(random.standard_normal(chart.shape).astype(np.float32)), torch.from_numpy(chart)


def test_decoded_values_keep_limits_order_and_whole_numbers(codec):
    values, mask = codec.decode(*random_records(codec))
    for c, channel in enumerate(codec.channels):
        observed = values[:, c][mask[:, c] == 1]
        assert observed.min() >= channel.limits[0]
        assert observed.max() <= channel.limits[1]
    gcs = values[:, 3][mask[:, 3] == 1]
    np.testing.assert_array_equal(gcs, np.rint(gcs))
    both = (mask[:, 1] & mask[:, 2]) == 1
    assert both.any()
    assert (values[:, 1][both] <= values[:, 2][both]).all()


def test_decoded_records_are_charted_as_their_chart_says(codec):
    x0, chart = random_records(codec)
    chart[..., 0] = FIRST_GRID
    values, mask = codec.decode(x0 / 3, chart)
    for c in (0, 3):  # members of a chain may change places
        again = chart_of(values[:, c].astype(np.float64), mask[:, c] == 1, codec.grids[c])
        assert (again == REPEAT).mean() == pytest.approx(float((chart[:, c] == REPEAT).double().mean()), abs=0.02)
        np.testing.assert_array_equal(again == ABSENT, chart[:, c].numpy() == ABSENT)


def test_repaired_counts_what_lies_out_of_limits_or_order(codec):
    x0, chart = torch.zeros(1, 4, 10), torch.full((1, 4, 10), FIRST_GRID)
    low, high = (codec.maps[c].to_score(np.array([v]))[0] for c, v in ((1, 90.0), (2, 60.0)))
    x0[0, 1], x0[0, 2] = -1.0, 1.0
    assert codec.repaired(x0, chart) == 0
    x0[0, 1, 0], x0[0, 2, 0] = float(low), float(high)
    assert codec.repaired(x0, chart) == pytest.approx(2 / 40)


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


def test_digest_is_of_what_was_fitted(toy, codec):
    assert Codec.fit(toy[1].train, toy[1].manifest).digest() == codec.digest()
    assert Codec.fit(toy[1].splits["test"], toy[1].manifest).digest() != codec.digest()


def test_other_shapes_are_refused(toy, codec):
    short = toy[1].train
    cut = type(short)(**{**short.arrays(), "values": short.values[..., :5], "mask": short.mask[..., :5]})
    for read in (codec.encode, codec.entries):
        with pytest.raises(TardiffError, match="shape"):
            read(cut)


class TestProjection:
    """What keeps a clean estimate possible."""

    def test_limits_and_order_hold_in_physical_units(self, codec):
        x0, chart = random_records(codec)
        projected = codec.project(x0, chart)
        raw = np.stack([m.to_value(projected[:, c].double().numpy()) for c, m in enumerate(codec.maps)], axis=1)
        for c, channel in enumerate(codec.channels):
            assert raw[:, c].min() >= channel.limits[0] - 1e-2
            assert raw[:, c].max() <= channel.limits[1] + 1e-2
        both = (chart[:, 1] != ABSENT).numpy() & (chart[:, 2] != ABSENT).numpy()
        assert both.any()
        assert (raw[:, 1] <= raw[:, 2] + 1e-2)[both].all()

    def test_possible_records_stay_as_they_are(self, toy, codec):
        entries = codec.entries(toy[1].train)
        x0 = codec.scores(entries)
        possible = torch.from_numpy(ordered(toy[1].train)) & (x0.abs().amax(dim=(1, 2)) < 3.9)
        charted = entries.chart[possible] != ABSENT
        assert possible.sum() > 50
        assert torch.equal(codec.project(x0, entries.chart)[possible][charted], x0[possible][charted])

    def test_twice_is_once(self, codec):
        x0, chart = random_records(codec)
        once = codec.project(x0, chart)
        torch.testing.assert_close(codec.project(once, chart), once, atol=1e-5, rtol=1e-5)
