import json

import numpy as np
import pytest

from experiments.harness.row_models import copula, implausible, run
from tardiff.base.noise import row_seeds
from tardiff.data.rows import as_rows
from tardiff.evaluate import table
from tardiff.settings import EvaluateSettings
from tests.conftest import make_dataset


@pytest.fixture(scope="module")
def rows():
    return as_rows(make_dataset(160).completed())


def test_real_rows_break_no_rule_and_broken_ones_are_counted(rows):
    assert set(implausible(rows).values()) == {0.0}
    values = rows.train.values.copy()
    values[:16, 0, 0], values[:16, 1, 0] = 150, 86  # the worst heart rate is normal, the mean is not
    values[16:24, 2, 0] = np.nan
    rows.train.values[:], values = values, rows.train.values.copy()
    shares = implausible(rows)
    rows.train.values[:] = values
    assert shares["worst nearer to normal"] == pytest.approx(0.1, abs=0.01)
    assert shares["half a summary"] == pytest.approx(0.05, abs=0.01)


def test_the_copula_draws_the_shares_and_means_of_the_real_rows(rows):
    made = copula(rows, rows.train.label, row_seeds(0, range(160)))
    made.check("copula")
    assert np.allclose(np.nanmean(made.train.values, axis=0), np.nanmean(rows.train.values, axis=0), rtol=0.05)


@pytest.mark.slow
def test_ways_are_judged_from_end_to_end(rows, tmp_path):
    judge = EvaluateSettings(models=("logistic",), seeds=1, ratios=(1.0,), bootstrap=20, workers=1, attack_rows=40)
    found = run(rows, tmp_path, ["copula", "language"], 1, 160, 1, 2, judge)
    assert found["implausible"].keys() == {"copula 0", "language 0", "real"}
    json.dumps(found, allow_nan=False)
    assert "language 0" in table(found["evaluation"])
