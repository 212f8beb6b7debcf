"""Everything that is said of realism, in order: discriminators first, then the reasons, rules and profiles of a set."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tardiff.data.dataset import Manifest
from tardiff.evaluate.cache import Cache
from tardiff.evaluate.fidelity import FLOOR, Distances, Sample
from tardiff.evaluate.fidelity.distance import against_floor
from tardiff.evaluate.pool import run_fits
from tardiff.evaluate.realism.clinical import clinical
from tardiff.evaluate.realism.discriminators import fits, told_apart
from tardiff.evaluate.realism.profile import profiles
from tardiff.evaluate.realism.reasons import reasons
from tardiff.evaluate.realism.records import RecordSets
from tardiff.evaluate.realism.rules import Rule
from tardiff.settings import EvaluateSettings


@dataclass(frozen=True)
class Discriminated:
    """What discriminators read and found, by role: `told_apart_NAME`, and what the trees rest on, [C, aspects]."""

    records: RecordSets
    distances: Mapping[str, Distances]
    importance: Mapping[str, NDArray[np.float64]]


def discriminate(samples: Mapping[str, Sample], settings: EvaluateSettings, kept: Cache = Cache()) -> Discriminated:
    """Tell the records of every role from those of `train`."""
    records = RecordSets.of(samples)
    by_role = fits(records, settings)
    every = [fit for by_name in by_role.values() for fit in chain(*by_name.values())]
    done = run_fits(every, records, settings.workers, kept, "realism: fitting discriminators")
    importance = {role: np.mean([done[fit]["importance"] for fit in by_name["trees"]], axis=0) for role, by_name in by_role.items()}
    return Discriminated(records, told_apart(by_role, done, samples, settings), importance)


def realism(samples: Mapping[str, Sample], found: Discriminated, manifest: Manifest, rules: Mapping[str, Rule]) -> dict[str, Any]:
    """What stands beside the distances, as JSON.

    Returns:
        `reasons` by set, the first five things that give its records away, if trees tell them apart better than held-out real rows;
        `clinical`; and the `profiles` of `real`, `floor` and `sets`.
    """
    every = reasons(found.records.rows, found.importance, manifest)
    told = {
        name: against_floor(found.distances[f"synthetic/{name}"], found.distances[FLOOR])["told_apart_trees"]["worse"] for name in every
    }
    return {
        "reasons": {name: of if told[name] else [] for name, of in every.items()},
        "clinical": clinical(samples, manifest, rules),
        "profiles": profiles(samples, manifest),
    }
