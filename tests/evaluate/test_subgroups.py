import json

import numpy as np
import pytest

from tardiff.data.dataset import Dataset
from tardiff.errors import TardiffError
from tardiff.evaluate import evaluate, table
from tardiff.evaluate.lookup import cell
from tardiff.evaluate.subgroups import FEWEST, groups
from tardiff.settings import EvaluateSettings
from tests.conftest import light_evaluation, make_dataset

SETTINGS = EvaluateSettings(models=("logistic",), seeds=3, ratios=(), bootstrap=50, workers=1)


@pytest.fixture(scope="module", autouse=True)
def _light_evaluation():
    with light_evaluation():
        yield


@pytest.fixture(scope="module")
def data():
    return make_dataset(400)


@pytest.fixture(scope="module")
def result(data):
    return evaluate(data, {"a": Dataset(data.manifest, {"train": data.split("validation")})}, SETTINGS)


def found(data, *wanted):
    test = data.split("test")
    return {(group.static, group.name): group.member for group in groups(test, data.manifest, data, wanted)}


def test_groups_are_bands_categories_and_the_missing(data):
    test, members = data.split("test"), found(data, "auto")
    age, sex = test.static.T
    np.testing.assert_array_equal(members["age", "<50"], age < 50)
    np.testing.assert_array_equal(members["age", "65-79"], (age >= 65) & (age < 80))
    np.testing.assert_array_equal(members["sex", "male"], sex == 1)
    np.testing.assert_array_equal(members["sex", "missing"], np.isnan(sex))
    for static in ("age", "sex"):
        assert (sum(member.astype(int) for key, member in members.items() if key[0] == static) == 1).all()  # each row once


def test_another_number_is_cut_where_training_rows_have_their_thirds(data):
    from msgspec.structs import replace

    renamed = replace(data.manifest, statics=(replace(data.manifest.statics[0], name="weight"), data.manifest.statics[1]))
    members = found(Dataset(renamed, data.splits), "Weight")
    low, high = np.nanquantile(data.train.static[:, 0], (1 / 3, 2 / 3))
    column = data.split("test").static[:, 0]
    expected = [column < low, (column >= low) & (column <= high), column > high, np.isnan(column)]
    assert len(members) == 4
    for member, wanted in zip(members.values(), expected, strict=True):
        np.testing.assert_array_equal(member, wanted)


def test_names_are_chosen(data):
    assert found(data, "none") == {}
    assert {static for static, _ in found(data, "SEX")} == {"sex"}
    with pytest.raises(TardiffError, match=r"--subgroups height: no such descriptor \(known: age, sex\)"):
        found(data, "height")


def test_groups_are_judged_by_their_own_rows(data, result):
    test = data.split("test")
    by_name = {(group["static"], group["group"]): group for group in result["subgroups"]}
    for (static, name), group in by_name.items():
        member = found(data, static)[static, name]
        assert group["n"] == member.sum()
        assert group["positives"] == test.label[member].sum()
        few = min(group["positives"], group["n"] - group["positives"]) < FEWEST
        assert (group["reason"] is not None) == few
        for judged in group["cells"]:
            assert (judged["metrics"] is None) == few
            if not few:
                auroc = judged["metrics"]["auroc"]
                assert auroc["low"] <= auroc["value"] <= auroc["high"]
                assert (auroc["n"], auroc["seeds"]) == (group["n"], 3)
        assert {judged["protocol"] for judged in group["cells"]} == {"mask-only", "TRTR", "TSTR"}
    assert any(group["reason"] for group in by_name.values())
    assert "fewer than 10 positives" in {group["reason"] for group in by_name.values()}
    json.dumps(result, allow_nan=False)


def test_brier_scores_of_groups_average_to_the_whole(result):
    """A check of rows and scores together: the Brier score is a mean over rows."""
    judged = [group for group in result["subgroups"] if group["static"] == "sex"]
    whole = cell(result, "logistic", "TSTR", "a")["metrics"]["brier"]
    parts = [(g["n"], next(c for c in g["cells"] if c["protocol"] == "TSTR")["metrics"]) for g in judged]
    if any(metrics is None for _, metrics in parts):  # the few whose sex is not known: bound what they can add
        n = sum(n for n, metrics in parts if metrics is not None)
        known = sum(n * metrics["brier"]["value"] for n, metrics in parts if metrics is not None)
        assert known <= whole["n"] * whole["value"] <= known + (whole["n"] - n)
    else:
        assert sum(n * metrics["brier"]["value"] for n, metrics in parts) == pytest.approx(whole["n"] * whole["value"])


def test_the_table_names_the_worst_served(result):
    text = table(result)
    assert "worst served" in text
    judged = {f"{g['static']}: {g['group']}" for g in result["subgroups"] if g["reason"] is None}
    assert any(name in text for name in judged)
    assert max(map(len, text.splitlines())) <= 120
