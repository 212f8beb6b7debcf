from dataclasses import replace

import numpy as np
import pytest

from experiments.harness.row_models import Study, accuracy, copula, implausible, table
from tardiff.base.ledger import Ledger
from tardiff.base.noise import row_seeds
from tardiff.data.codec import Codec
from tardiff.data.dataset import Dataset
from tardiff.data.rows import as_rows
from tests.conftest import make_dataset


@pytest.fixture(scope="module")
def rows():
    return as_rows(make_dataset(160).completed())


@pytest.fixture(scope="module")
def codec(rows):
    return Codec.fit(rows.train, rows.manifest)


def test_real_rows_break_no_rule_and_broken_ones_are_counted(rows, codec):
    assert set(implausible(rows, codec).values()) == {0.0}
    values = rows.train.values.copy()
    values[:16, 0, 0], values[:16, 1, 0] = 150, 86  # the worst heart rate is normal, the mean is not
    values[16:24, 2, 0] = np.nan
    shares = implausible(Dataset(rows.manifest, {"train": replace(rows.train, values=values)}), codec)
    assert shares["worst nearer to normal"] == pytest.approx(0.1, abs=0.01)
    assert shares["half a summary"] == pytest.approx(0.05, abs=0.01)
    assert shares["any"] == pytest.approx(0.15, abs=0.01)


def test_accuracy_counts_rows_whose_likelier_class_is_theirs():
    label, score = np.array([0, 0, 1, 1]), np.array([0.1, 0.6, 0.7, 0.4])
    weights = np.array([[1, 1, 1, 1], [2, 0, 1, 1]], np.float32)
    assert accuracy(label, score, weights).tolist() == [0.5, 0.75]


def test_the_copula_draws_the_shares_and_means_of_the_real_rows(rows):
    made = copula(rows, rows.train.label, row_seeds(0, range(160)))
    made.check("copula")
    assert np.allclose(np.nanmean(made.train.values, axis=0), np.nanmean(rows.train.values, axis=0), rtol=0.05)


@pytest.mark.slow
def test_cells_are_run_once_and_refinement_is_compared_by_seed(rows, tmp_path, monkeypatch):
    study = Study(rows, tmp_path, Ledger(tmp_path / "rows.jsonl"), rows=120, steps=20, epochs=1, iterations=(1, 2, 2), resamples=20)
    ways = ("real", "copula", "diffusion", "policy", "gan", "language", "language-ppo")
    cells = [study.run(way, 0) for way in ways]
    monkeypatch.setattr(Study, "samples", None)
    assert [study.run(way, 0) for way in ways] == cells
    assert {"calibrated distance", "density ratio"} <= cells[-1]["records"]["attacks"].keys()
    lines = table(cells, 0.5).splitlines()
    assert lines[2].startswith("| real | 1 | ")
    assert lines[9].startswith("| language-ppo minus language | 1 | ")
