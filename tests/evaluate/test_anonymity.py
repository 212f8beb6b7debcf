"""k-anonymity by hand."""

from dataclasses import replace

import msgspec
import numpy as np

from tardiff.data.dataset import Static
from tardiff.evaluate.privacy.anonymity import Bands, k_anonymity

from .toys import MANIFEST, rows

STATICS = (Static("age", "years", limits=(0, 120)), Static("sex", kind="categorical", categories=("female", "male")))
WITH = msgspec.structs.replace(MANIFEST, statics=STATICS)


def people(*static):
    return replace(rows(max(4, len(static)), 1).take(slice(len(static))), static=np.array(static, np.float32).reshape(len(static), -1))


TRAIN = people(*([age, sex] for age in (10, 20, 30, 40, 50, 60, 70, 80, 90, 100) for sex in (0, 1)))


def test_bands_by_hand():
    bands = Bands.fit(TRAIN, WITH)
    levels = bands.levels(people([5, 0], [10, 1], [37, 0], [38, 1], [500, 0], [np.nan, np.nan]))
    np.testing.assert_allclose(bands.edges[0], [28, 46, 64, 82])
    assert levels.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1], [4, 0], [-1, -1]]


def test_k_by_hand():
    bands = Bands.fit(TRAIN, WITH)
    synthetic = people([10, 0], [20, 0], [11, 0], [99, 1], [95, 1], [100, 1], [90, 1])
    found = k_anonymity(synthetic, TRAIN, TRAIN, bands, 0)
    assert (found["k"], found["n"]) == (3, 7)
    assert found["unique_matches"]["count"] == 0  # every combination of training rows occurs twice
    alone = people([30, 0], *([age, 1] for age in (10, 20, 30, 40, 50, 60, 70, 80, 90, 100)))
    found = k_anonymity(people([40, 0], [31, 0], [10, 1], [np.nan, 0]), alone, people([10, 1], [35, 0]), bands, 0)
    assert found["k"] == 1
    assert (found["unique_matches"]["count"], found["unique_matches"]["value"]) == (2, 0.5)
    assert (found["stranger_matches"]["count"], found["stranger_matches"]["n"]) == (1, 2)


def test_without_descriptors_all_rows_are_one_group():
    some = rows(30, 1)
    found = k_anonymity(some, some, some, Bands.fit(some, MANIFEST), 0)
    assert (found["k"], found["unique_matches"]["count"]) == (30, 0)
