import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from tardiff.base.noise import normal, philox, row_seeds, stream, uniform
from tardiff.errors import TardiffError


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([2**32 - 1] * 4, [2**32 - 1] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xA4093822, 0x299F31D0],
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_philox_gives_the_known_answers_of_random123(counter, key, words):
    found = philox(tuple(torch.tensor([word]) for word in counter), tuple(torch.tensor([word]) for word in key))
    assert [int(word) for word in found] == words


@given(st.permutations(range(12)), st.integers(0, 2**31 - 1), st.integers(0, 2**31))
@settings(max_examples=20)
def test_a_row_draws_the_same_in_any_batch(order, seed, step):
    seeds = row_seeds(seed, range(12))
    together = normal("noise", seeds, step, (3, 5))
    assert torch.equal(normal("noise", [seeds[i] for i in order], step, (3, 5)), together[list(order)])


def test_streams_differ_by_seed_row_step_and_purpose():
    seeds = row_seeds(0, range(3)) + row_seeds(1, range(3))
    every = [(purpose, step) for purpose in ("noise", "step", "start") for step in range(3)]
    assert len({stream(purpose, seed, step).random() for purpose, step in every for seed in seeds}) == 3 * 6 * 3
    assert len({float(draw) for purpose, step in every for draw in uniform(purpose, seeds, step)}) == 3 * 6 * 3


@pytest.mark.parametrize("seed", [0, 2**21, 20_240_101, 2**31 - 1])
@pytest.mark.parametrize("purpose", ["start", "step", "noise", "time", "static", "pilot"])
def test_no_two_rows_share_a_stream(seed, purpose):
    rows = row_seeds(seed, range(256))
    assert len({stream(purpose, row).random() for row in rows}) == len({*uniform(purpose, rows, 0).tolist()}) == 256


@pytest.mark.parametrize("shape", [(), (1,), (7,), (4, 10), (3, 1, 5)])
def test_draws_follow_their_distributions(shape):
    seeds = row_seeds(3, range(3000))
    x, u = normal("step", seeds, 0, shape), uniform("step", seeds, 0, shape)
    assert x.shape == u.shape == (3000, *shape)
    assert kstest(x.flatten().numpy(), "norm").pvalue > 1e-3
    assert kstest(u.flatten().numpy(), "uniform").pvalue > 1e-3
    numbers = x.reshape(3000, -1).T
    if len(numbers) > 1:  # neither the numbers of a row nor neighbouring rows hang together
        assert torch.corrcoef(numbers).fill_diagonal_(0).abs().max() < 0.09
    assert abs(torch.corrcoef(torch.stack([x[1:].flatten(), x[:-1].flatten()]))[0, 1]) < 0.06


def test_no_rows_draw_nothing():
    assert normal("step", [], 0, (2, 3)).shape == uniform("step", [], 0, (2, 3)).shape == (0, 2, 3)


@pytest.mark.parametrize("seed", [-1, 2**31])
def test_seed_outside_its_range_is_refused(seed):
    with pytest.raises(TardiffError, match="outside"):
        row_seeds(seed, range(2))
