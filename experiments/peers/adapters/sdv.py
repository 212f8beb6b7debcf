"""SDV's PARSynthesizer (Business Source License): an autoregressive network over a table of stays and hours, the label as context.

It makes one step of gradient a pass over all stays, and a pass is a loop in Python over stays and columns. `stays` takes only so many of
them, so that more passes fit into the same time. `sample_sequential_columns` fails if the label is all that the context holds (it draws the
rest of the context, which is nothing), so the step after that is called, which also keeps the stays in their order.
"""

from itertools import takewhile
from typing import Any

import numpy as np
import torch
from deepecho.models import par
from numpy.typing import NDArray
from sdv.metadata import Metadata
from sdv.sequential import PARSynthesizer

from experiments.peers.clock import Clock
from experiments.peers.records import Records
from experiments.peers.shapes import LABEL, STAY, from_long_table, long_table, stays_table
from experiments.peers.worker import Sampler


def fit(train: Records, clock: Clock, seed: int, stays: int | None = None, **setting: Any) -> Sampler:
    """Learn from gaps as they are; training ends before the first pass for which `clock` has no time."""
    par.tqdm = lambda epochs, **_: takewhile(lambda _: not clock.spent(), epochs)  # clock
    np.random.seed(seed)  # noqa: NPY002 - SDV draws from it
    torch.manual_seed(seed)
    table = long_table(train.first(stays)).merge(stays_table(train.first(stays).label), on=STAY)
    columns = {name: {"sdtype": "numerical"} for name in train.channels}
    columns |= {STAY: {"sdtype": "id"}, LABEL: {"sdtype": "categorical"}}
    metadata = Metadata.load_from_dict({"tables": {"hours": {"columns": columns, "sequence_key": STAY}}, "relationships": []})
    model = PARSynthesizer(metadata, context_columns=[LABEL], cuda=False, **setting)
    model.fit({"hours": table})

    def sample(label: NDArray[np.int64]) -> Records:
        context = model._process_context_columns(stays_table(label))
        return from_long_table(model._sample(context, train.values.shape[2]), label, train)

    return sample
