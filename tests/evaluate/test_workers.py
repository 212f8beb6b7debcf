"""Several processes give what one gives; models are those of users, because processes of their own see no patched constant."""

import json
from dataclasses import replace

import pytest

from tardiff.evaluate import evaluate
from tardiff.evaluate.lookup import cell
from tardiff.settings import EvaluateSettings

from .toys import real, rows, synthetic

SETTINGS = EvaluateSettings(models=("logistic", "trees"), seeds=1, ratios=(0.5,), bootstrap=20, workers=1)
pytestmark = pytest.mark.slow


def test_workers_and_other_sets_change_nothing():
    good, short = synthetic(rows(300, 8)), synthetic(rows(60, 7))
    one, two = evaluate(real(), {"good": good, "short": short}, SETTINGS), evaluate(real(), {"good": good}, replace(SETTINGS, workers=2))
    identities = [
        ("trees", "TRTR"),
        ("trees", "TRTS", "good"),
        ("trees", "TSTR", "good"),
        ("trees", "TSRTR", "good", 0.5),
        ("logistic", "TSTR", "good"),
    ]
    for identity in identities:
        assert cell(two, *identity) == cell(one, *identity)
    assert two["forecast"]["sets"]["good"] == one["forecast"]["sets"]["good"]


def test_workers_change_no_bit_of_a_gru():
    settings = replace(SETTINGS, models=("gru",), ratios=())
    one, two = (evaluate(real(120), {"good": synthetic(rows(300, 8))}, replace(settings, workers=workers)) for workers in (1, 2))
    assert json.dumps(one) == json.dumps(two)
