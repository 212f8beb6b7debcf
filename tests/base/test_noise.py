import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tardiff.base.noise import normal, row_seeds, stream
from tardiff.errors import TardiffError


@given(st.permutations(range(12)), st.integers(0, 2**31 - 1), st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_a_row_draws_the_same_in_any_batch(order, seed, step):
    seeds = row_seeds(seed, range(12))
    together = normal("noise", seeds, step, (3, 5))
    assert torch.equal(normal("noise", [seeds[i] for i in order], step, (3, 5)), together[list(order)])


def test_streams_differ_by_seed_row_step_and_purpose():
    draws = {
        stream(purpose, seed, step).random()
        for purpose in ("noise", "step", "start")
        for seed in row_seeds(0, range(3)) + row_seeds(1, range(3))
        for step in range(3)
    }
    assert len(draws) == 3 * 6 * 3


@pytest.mark.parametrize("seed", [0, 2**21, 20_240_101, 2**31 - 1])
@pytest.mark.parametrize("purpose", ["start", "step", "noise", "time", "static", "pilot"])
def test_no_two_rows_share_a_stream(seed, purpose):
    assert len({stream(purpose, row).random() for row in row_seeds(seed, range(256))}) == 256


def test_noise_is_standard_normal():
    x = normal("step", row_seeds(3, range(500)), 0, (4, 10))
    assert float(x.mean()) == pytest.approx(0, abs=0.03)
    assert float(x.std()) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("seed", [-1, 2**31])
def test_seed_outside_its_range_is_refused(seed):
    with pytest.raises(TardiffError, match="outside"):
        row_seeds(seed, range(2))
