"""A slowdown shows itself, and the machine's noise does not."""

import io
import json
import math
import sys

import pytest

from experiments.benchmarks import bench


@pytest.mark.parametrize(
    ("ratios", "slower"),
    [
        ([1.3, 1.25, 1.4], True),
        ([1.3, 1.25, 0.9, 1.2], True),
        ([1.3, 1.25, 0.9, 0.95], False),
        ([1.05, 1.04, 1.06], False),
        ([0.7, 0.6, 0.8], False),
    ],
)
def test_a_loss_is_large_and_in_nearly_every_round(ratios, slower):
    assert bench.is_slower(ratios) is slower


def test_a_job_that_a_tree_cannot_do_ends_no_other(tmp_path, monkeypatch, capsys):
    def gone(things, out):
        raise TypeError("unexpected keyword argument 'objective'")

    monkeypatch.setattr(bench, "made", lambda folder: {})
    monkeypatch.setattr(bench, "JOBS", {"gone": gone, "there": lambda things, out: None})
    monkeypatch.setattr("sys.stdin", io.StringIO("gone\nthere\n"))
    monkeypatch.setattr("sys.stdout", sys.stdout)
    bench.work(tmp_path)
    first, second = map(json.loads, capsys.readouterr().out.split())
    assert math.isnan(first)
    assert second >= 0


@pytest.mark.slow
def test_every_job_runs_in_the_working_tree(tmp_path):
    side = bench.Side(bench.ROOT, tmp_path / "side")
    try:
        assert all(side.seconds(job) > 0 for job in bench.JOBS)
    finally:
        side.close()
