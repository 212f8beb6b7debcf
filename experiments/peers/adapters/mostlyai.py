"""mostlyai-engine's TabularARGN (Apache-2.0), sequential: the label stands in the context table, a stay's hours in the other.

The engine's five steps are called by name, as its documentation shows. `TabularARGN.sample` is the same, but it sorts the rows by stay in a
way that may change the order of a stay's hours.
"""

import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from mostlyai import engine
from mostlyai.engine._tabular import training
from numpy.typing import NDArray

from experiments.peers.clock import Clock
from experiments.peers.records import Records
from experiments.peers.shapes import STAY, from_long_table, long_table, stays_table
from experiments.peers.worker import Sampler


def fit(train: Records, clock: Clock, seed: int, **setting: Any) -> Sampler:
    """Learn from gaps as they are; the engine stops by a fifth of the stays, and its own limit of time counts as everybody's does."""
    training.time = SimpleNamespace(time=clock.elapsed)  # clock
    engine.set_random_state(seed)
    folder = Path(tempfile.mkdtemp())
    hours, stays = long_table(train), stays_table(train.label)
    keys = {"tgt_context_key": STAY, "ctx_primary_key": STAY}
    engine.split(tgt_data=hours, ctx_data=stays, model_type="TABULAR", workspace_dir=folder, **keys)
    engine.analyze(workspace_dir=folder)
    engine.encode(workspace_dir=folder)
    engine.train(workspace_dir=folder, **setting, max_training_time=clock.left() / 60)

    def sample(label: NDArray[np.int64]) -> Records:
        engine.generate(ctx_data=stays_table(label), workspace_dir=folder)
        made = pd.concat([pd.read_parquet(part) for part in sorted((folder / "SyntheticData").glob("*.parquet"))])
        return from_long_table(made, label, train)

    return sample
